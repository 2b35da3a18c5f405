package amazon

import (
	"context"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// roleLife is how long sessions of assumed roles last: as long as every role allows, and as an assumed role may.
const roleLife = time.Hour

// A role is the session of an assumed role that is remembered.
type role struct {
	credentials *aws.CredentialsCache
	usedAt      time.Time
}

var roleARN = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::\d{12}:role/[\w+=,.@/-]{1,512}$`)

// role is where the sessions of the source's role come from, with the credentials before it in base. They are asked for at
// the regional STS of the place.
func (i *Identity) role(s Source, p Place, base aws.Config) (*aws.CredentialsCache, error) {
	parts := roleARN.FindStringSubmatch(s.Role)
	switch {
	case parts == nil:
		return nil, &Error{Kind: ErrRefused, Action: "sts:AssumeRole", Text: "what is to be assumed is not the ARN of a role",
			Hint: "an organization admin writes assume_role as arn:aws:iam::123456789012:role/name"}
	case parts[1] != p.Partition():
		return nil, &Error{Kind: ErrRefused, Action: "sts:AssumeRole", Text: "role " + s.Role + " cannot be used in " + p.Region + ", which is in partition " + p.Partition(),
			Hint: "an organization admin names a role of that partition in assume_role"}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	for key, r := range i.roles {
		if now.Sub(r.usedAt) > roleLife {
			delete(i.roles, key)
		}
	}
	if r := i.roles[s.ID()]; r != nil {
		r.usedAt = now
		return r.credentials, nil
	}
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), s.Role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = i.session, roleLife
		if s.ExternalID != "" {
			o.ExternalID = aws.String(s.ExternalID)
		}
	})
	r := &role{usedAt: now, credentials: aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow, o.ExpiryWindowJitterFrac = renewBefore, 0.5
	})}
	i.roles[s.ID()] = r
	return r.credentials, nil
}

func (i *Identity) dropRole(s Source) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.roles, s.ID())
}

// A principal is the name of some credentials' holder.
type principal struct {
	ready chan struct{} // closed when it is known, or known not to be
	name  string
	until time.Time // it is asked for again then
}

// How long an unknown name is not asked for again, and how long one is waited for: it is for people, so where STS is not
// reached (a subnet with an end-point for ECR only) nothing else may wait for it.
const (
	unknownFor      = 10 * time.Minute
	principalWithin = 2 * time.Second
)

// Principal is who the source is at Amazon, as STS names it ("arn:aws:sts::123456789012:assumed-role/node/i-0abc"), or ""
// where that cannot be found out within two seconds. It is remembered as long as the credentials are the same.
func (i *Identity) Principal(ctx context.Context, s Source, p Place) string {
	ctx, cancel := context.WithTimeout(ctx, principalWithin)
	defer cancel()
	config, used, err := i.open(ctx, s, p)
	if err != nil {
		return ""
	}
	known := i.naming(ctx, config, idOf(used))
	select {
	case <-known.ready:
		return known.name
	case <-ctx.Done():
		return ""
	}
}

func (i *Identity) naming(ctx context.Context, config aws.Config, id string) *principal {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	if known := i.principals[id]; known != nil && now.Before(known.until) {
		return known
	}
	for other, known := range i.principals {
		if !now.Before(known.until) {
			delete(i.principals, other)
		}
	}
	naming := &principal{ready: make(chan struct{}), until: now.Add(unknownFor)}
	i.principals[id] = naming
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
		defer cancel()
		out, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err == nil {
			i.mu.Lock()
			naming.name, naming.until = clean(aws.ToString(out.Arn), 300), time.Now().Add(24*time.Hour)
			i.mu.Unlock()
		}
		close(naming.ready)
	}()
	return naming
}
