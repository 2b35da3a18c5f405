package amazon

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go/logging"
)

// noneFor is how long it is remembered that there is no identity here.
const noneFor = time.Minute

// A look is one search for the node's identity; it serves all who wait for it.
type look struct {
	ready  chan struct{} // closed when it ended; what follows is set by then
	config aws.Config
	err    error
	until  time.Time // of an error: it is the answer until then
}

func (l *look) ended() bool {
	select {
	case <-l.ready:
		return true
	default:
		return false
	}
}

// invalidate makes the next one who asks fetch credentials, once the look has found where from.
func (l *look) invalidate() {
	if !l.ended() || l.err != nil {
		return
	}
	if cache, ok := l.config.Credentials.(*aws.CredentialsCache); ok {
		cache.Invalidate()
	}
}

// base is the configuration for a place with the keys or the node's identity in it, before any role.
func (i *Identity) base(ctx context.Context, s Source, p Place) (aws.Config, aws.Credentials, error) {
	if s.Keys != nil {
		c := i.keysConfig(ctx, p)
		c.Credentials = credentials.NewStaticCredentialsProvider(s.Keys.ID, string(s.Keys.Secret.Reveal()), string(s.Keys.Token.Reveal()))
		used, err := c.Credentials.Retrieve(ctx)
		return at(c, p), used, err
	}
	l := i.looking(ctx, p)
	select {
	case <-l.ready:
	case <-ctx.Done():
		return aws.Config{}, aws.Credentials{}, ctx.Err()
	}
	if l.err != nil {
		return aws.Config{}, aws.Credentials{}, l.err
	}
	used, err := l.config.Credentials.Retrieve(ctx) // those at hand, unless they have run out
	if err != nil && errors.Is(err, ErrNone) {
		i.lost(l, err)
	}
	return at(l.config, p), used, err
}

// at is the configuration for a place. What the host says of FIPS and dual-stack is added to what the operator says.
func at(c aws.Config, p Place) aws.Config {
	c = c.Copy()
	c.Region = p.Region
	options := config.LoadOptions{}
	if p.FIPS {
		options.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if p.DualStack {
		options.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	c.ConfigSources = append([]any{options}, c.ConfigSources...)
	return c
}

// looking returns the look whose outcome counts, and starts one where there is none.
func (i *Identity) looking(ctx context.Context, p Place) *look {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l := i.now; l != nil && (!l.ended() || l.err == nil || time.Now().Before(l.until)) {
		return l
	}
	l := &look{ready: make(chan struct{})}
	i.now = l
	// It belongs to all who wait, so it outlives the one who began it.
	go i.look(context.WithoutCancel(ctx), l, p)
	return l
}

// look finds where the node's credentials come from and fetches the first.
func (i *Identity) look(ctx context.Context, l *look, p Place) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	c, err := i.load(ctx, p)
	if err == nil {
		_, err = c.Credentials.Retrieve(ctx)
	}
	if err != nil {
		l.err = explain(ctx, Source{}, p, aws.Credentials{}, err)
		if errors.Is(l.err, ErrNone) { // other errors are the answer for those who waited, not for the next
			l.until = time.Now().Add(noneFor)
		}
	}
	l.config = c
	close(l.ready)
}

// lost remembers that an identity which was there is gone.
func (i *Identity) lost(l *look, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == l {
		clear(i.roles) // they would go on with what was there
		gone := &look{ready: make(chan struct{}), err: err, until: time.Now().Add(noneFor)}
		close(gone.ready)
		i.now = gone
	}
}

// load reads the operator's configuration and sets up the SDK's chain; it asks nobody. A web identity or a profile's role
// is exchanged in the region that the process is set to, or else in the first one asked about: they are good in all of the
// partition's.
func (i *Identity) load(ctx context.Context, p Place) (aws.Config, error) {
	instance := &instanceRole{}
	c, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(chainClient(i.config.Transport)),
		config.WithAfterTransmit(boundAnswer{}),
		config.WithRetryer(newRetryer),
		config.WithLogger(logging.Nop{}), // what matters comes back as an error
		config.WithDefaultRegion(p.Region),
		config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = instance }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = shared{serviceClient(i.config.Transport, nil)} }),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			if o.RoleSessionName == "" {
				o.RoleSessionName = i.session
			}
		}),
		config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			if o.RoleSessionName == "" {
				o.RoleSessionName = i.session
			}
		}),
		config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow, o.ExpiryWindowJitterFrac = renewBefore, 0.5 }),
	)
	if err != nil {
		return aws.Config{}, err
	}
	instance.client = metadataService(c, i.metadata)
	c.HTTPClient = shared{serviceClient(i.config.Transport, c.HTTPClient)}
	return c, nil
}

// renewBefore is how long before their end credentials are renewed: a token that they make must not be their last deed.
const renewBefore = 2 * time.Minute

// keysConfig is the configuration for keys of a secret. They need nothing of the node's own, so a broken profile of the
// operator's does not stop them.
func (i *Identity) keysConfig(ctx context.Context, p Place) aws.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.forKeys == nil {
		c, err := i.load(ctx, p)
		if err != nil {
			c = aws.Config{HTTPClient: shared{serviceClient(i.config.Transport, nil)}, Retryer: newRetryer, Logger: logging.Nop{}}
			if env, err := config.NewEnvConfig(); err == nil {
				c.ConfigSources = []any{env}
			}
		}
		i.forKeys = &c
	}
	return *i.forKeys
}

// newRetryer retries what may pass: throttling, broken connections, the service's own trouble. Four tries, with up to 1,
// 2 and 4 seconds between them, drawn at random.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = 4, 4*time.Second
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notCertificates)}, o.Retryables...)
	})
}

// notCertificates: a certificate that is not trusted is not trusted the next time either.
func notCertificates(err error) aws.Ternary {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
