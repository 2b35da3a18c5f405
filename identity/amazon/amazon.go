// Package amazon is who this node is at Amazon, and how Amazon's services are asked in that name.
//
// It is for exchange/ecr and secret/awssm. The node's identity is what the SDK's chain finds: keys in the environment, a
// web identity (IRSA), a profile of the shared files, the credentials of an ECS task or of EKS Pod Identity, the instance's
// role (IMDSv2, and never IMDSv1). The SDK's environment variables and files are the operator's configuration, with one
// exception: region and partition come from the registry's host or the secret's ARN, never from the process.
//
// Nothing is done when it is made: a node off that cloud starts and pulls at once. The first who asks looks, one look serves
// all who wait, and that there is no identity here is found within about two seconds and remembered for a minute.
package amazon

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/secret"
)

// The kinds of failure, found with errors.Is.
var (
	ErrNone        = errors.New("the node has no identity at Amazon")
	ErrRefused     = errors.New("refused by Amazon")
	ErrUnreachable = errors.New("no answer from Amazon")
)

// An Error is what came of asking Amazon, for people. It contains no part of a secret.
type Error struct {
	Kind   error  // one of the kinds above
	Code   string // the service's own, as in "AccessDeniedException"; "" when no service said anything
	Action string // what was asked for, as in "ecr:GetAuthorizationToken"; "" when nothing was
	Text   string // one sentence, without a trailing full stop
	Hint   string // whose turn it is and what to do
}

// Error is the sentence.
func (e *Error) Error() string { return e.Text }

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

// A Config says what an Identity needs to know; its zero value works.
type Config struct {
	Node      string            // the node's name: sessions of assumed roles are called pierhead-<node>
	Transport http.RoundTripper // how requests leave; nil is the network
}

// An Identity is this node's. It is safe for use by many at once.
type Identity struct {
	session  string
	config   Config
	metadata aws.HTTPClient // of the instance's metadata service: short times

	mu         sync.Mutex
	now        *look
	forKeys    *aws.Config // what keys out of secrets are used with, once it was needed
	roles      map[string]*role
	principals map[string]*principal
}

// New makes an Identity; it reads, asks and starts nothing.
func New(c Config) *Identity {
	return &Identity{config: c, session: sessionName(c.Node), metadata: metadataClient(c.Transport), roles: map[string]*role{}, principals: map[string]*principal{}}
}

// notInSession is what the name of a session cannot have in it.
var notInSession = regexp.MustCompile(`[^\w+=,.@-]+`)

// sessionName is how sessions are called at Amazon, where audit logs (CloudTrail) show it.
func sessionName(node string) string {
	name := "pierhead"
	if node = strings.Trim(notInSession.ReplaceAllString(node, "-"), "-"); node != "" {
		name += "-" + node
	}
	return name[:min(len(name), 64)]
}

// A Source says in whose name Amazon is asked: the node's where Keys is nil, and that of Role where it is not empty.
type Source struct {
	Keys       *Keys
	Role       string // ARN of a role that is assumed first
	ExternalID string // sent with it
}

// Keys are an access key out of a secret.
type Keys struct {
	ID     string
	Secret secret.Value
	Token  secret.Value // of temporary keys; else empty
}

// ID is the same for the same source in this process, and tells nothing of it: for cache keys.
func (s Source) ID() string {
	id := "node"
	if s.Keys != nil {
		id = credential.New(s.Keys.ID, string(s.Keys.Secret.Reveal())+"\n"+string(s.Keys.Token.Reveal()), time.Time{}, nil).ID()
	}
	return id + "\n" + s.Role + "\n" + s.ExternalID
}

// A Place is where a service is asked.
type Place struct {
	Region    string
	FIPS      bool // at the FIPS end-point
	DualStack bool // at the one that has IPv6 too
}

// Partition is the Amazon that the region belongs to: "aws", "aws-cn", "aws-us-gov", …; each has its own accounts and keys.
func (p Place) Partition() string {
	for _, known := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"},
		{"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(p.Region, known.prefix) {
			return known.partition
		}
	}
	return "aws"
}

// askWithin bounds one question, all its tries together: well under the minute that a pull waits for a login.
const askWithin = 25 * time.Second

// Ask asks one service in the source's name: ask makes its client of the configuration and calls it once. Throttling and
// broken connections are retried with jitter meanwhile; where the answer is that the credentials have run out, new ones are
// fetched and it is asked once more. Errors: an *Error, or the context's own.
func Ask[T any](ctx context.Context, i *Identity, s Source, p Place, ask func(context.Context, aws.Config) (T, error)) (T, error) {
	var nothing T
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	config, used, err := i.open(within, s, p)
	if err != nil {
		return nothing, explain(ctx, s, p, used, err)
	}
	answer, err := ask(within, config)
	if err != nil && ranOut(err) {
		if again, renewed, newErr := i.renew(within, s, p, used); newErr == nil && again != nil {
			used = renewed
			answer, err = ask(within, *again)
		}
	}
	if err != nil {
		return nothing, explain(ctx, s, p, used, err)
	}
	return answer, nil
}

// Current is the same as long as the source's credentials are, and tells nothing of them. Errors: as for Ask.
func (i *Identity) Current(ctx context.Context, s Source, p Place) (string, error) {
	within, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, used, err := i.open(within, s, p)
	if err != nil {
		return "", explain(ctx, s, p, used, err)
	}
	return idOf(used), nil
}

func idOf(c aws.Credentials) string {
	return credential.New(c.AccessKeyID, c.SecretAccessKey+"\n"+c.SessionToken, time.Time{}, nil).ID()
}

// open returns the configuration to ask a place with, and the credentials in it. On an error the credentials are those
// that were used for what went wrong, if any.
func (i *Identity) open(ctx context.Context, s Source, p Place) (aws.Config, aws.Credentials, error) {
	base, used, err := i.base(ctx, s, p)
	if err != nil || s.Role == "" {
		return base, used, err
	}
	provider, err := i.role(s, p, base)
	if err != nil {
		return aws.Config{}, used, err
	}
	assumed, err := provider.Retrieve(ctx)
	if err != nil {
		return aws.Config{}, used, err
	}
	base.Credentials = provider
	return base, assumed, nil
}

// renew fetches credentials anew and returns nil where there are no others.
func (i *Identity) renew(ctx context.Context, s Source, p Place, used aws.Credentials) (*aws.Config, aws.Credentials, error) {
	if s.Keys == nil {
		i.mu.Lock()
		if i.now != nil {
			i.now.invalidate()
		}
		i.mu.Unlock()
	}
	i.dropRole(s)
	config, now, err := i.open(ctx, s, p)
	if err != nil || idOf(now) == idOf(used) {
		return nil, used, err
	}
	return &config, now, nil
}
