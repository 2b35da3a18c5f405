package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

// credential returns the login of a decision for an image. An empty credential means that there is none: the image is read
// anonymously, which is no falling back. A login is remembered for its host, unless it turns out to be for a part of it:
// then each repository has its own.
func (b *Broker) credential(ctx context.Context, d decision, reference image.Reference, stale *credential.Credential) (credential.Credential, error) {
	key := keyOf(d, reference)
	get := func() (credential.Credential, error) {
		if d.away {
			return b.logins.latest(ctx, key, b.fetch(d, reference, stale))
		}
		return b.logins.get(ctx, key, stale, b.fetch(d, reference, stale))
	}
	c, err := get()
	// A mismatch may be that of another repository, whose asker came first and whose answer this one waited for.
	if !c.IsForPart() && !errors.Is(err, exchange.ErrHostMismatch) {
		return c, err
	}
	if key.repository = reference.Repository(); key.repository == "" {
		key.repository = "/" // only the host is known: whoever came before was perhaps given the login of one part
	}
	return get()
}

// fetch makes a login, by what the secret held before where what it holds now was refused.
func (b *Broker) fetch(d decision, reference image.Reference, stale *credential.Credential) fetchFunc {
	return func(ctx context.Context) (credential.Credential, error) {
		ctx, cancel := context.WithTimeout(ctx, exchangeWithin)
		defer cancel()
		c, err := b.exchange(ctx, d, reference, stale)
		if errors.Is(err, exchange.ErrRefused) || err == nil && stale != nil && c.ID() == stale.ID() {
			return b.previous(ctx, d, reference, c, err)
		}
		return c, err
	}
}

// exchangeWithin bounds one fetch of a login, secret store and issuer together.
const exchangeWithin = time.Minute

// exchange makes the login of what its secret, its sealed text or the node's identity is now. stale is one that was refused.
func (b *Broker) exchange(ctx context.Context, d decision, reference image.Reference, stale *credential.Credential) (credential.Credential, error) {
	if !d.lender.HasCredential() && d.lender.Type != pierhead.RegistryHosted {
		return credential.Credential{}, nil
	}
	request, err := b.filled(ctx, d, reference)
	if err != nil {
		return credential.Credential{}, err
	}
	defer request.Out.Close()
	if stale != nil {
		request.Refused = stale.ID()
	}
	return b.exchangeFor(ctx, d.lender.Type, request)
}

// filled is a request with what the login is made of. Close its Out.
func (b *Broker) filled(ctx context.Context, d decision, reference image.Reference) (exchange.Request, error) {
	request, err := b.request(d, reference)
	if err != nil {
		return request, err
	}
	switch c := d.lender.Credential; {
	case c.Secret != "":
		request.Secret, err = b.secret(ctx, d, secret.Source.Get)
	case c.Sealed != "":
		request.Sealed = true
		request.Secret, err = b.Sealed.Unseal(d.lender, request.Hosts)
	}
	if err != nil {
		request.Out.Close()
	}
	return request, err
}

// request is what an exchange may use, but for the secret.
func (b *Broker) request(d decision, reference image.Reference) (exchange.Request, error) {
	out, err := egress.New(b.rules(d.way, reference), b.Network)
	if err != nil {
		return exchange.Request{}, err
	}
	c := d.lender.Credential
	r := exchange.Request{Host: reference.Host(), Repository: reference.Repository(), Hosts: literalHosts(d.lender), Out: out, Push: d.push,
		Identity: c.Identity == pierhead.IdentityNode, AssumeRole: c.AssumeRole, Impersonate: c.Impersonate}
	if c.AssumeRole != "" {
		// Without one of its own, an organization is told apart by its id: another's role that trusts this node is not its.
		if r.ExternalID = c.ExternalID; r.ExternalID == "" {
			r.ExternalID = d.lender.OrganizationID
		}
	}
	return r, nil
}

func (b *Broker) exchangeFor(ctx context.Context, kind pierhead.RegistryType, request exchange.Request) (credential.Credential, error) {
	exchanger := b.Exchangers[kind]
	if exchanger == nil {
		return credential.Credential{}, pierhead.NewProblem(pierhead.ErrPull, fmt.Sprintf("this node does not know registries of type %s", kind), "upgrade the agent of this node")
	}
	c, err := exchanger.Exchange(ctx, request)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return credential.Credential{}, fmt.Errorf("%w within %v", exchange.ErrUnreachable, exchangeWithin)
	case err != nil:
		return credential.Credential{}, err
	case !c.For(request.Host): // an exchange's mistake, which must not become a leak
		return credential.Credential{}, fmt.Errorf("%w: it is for %s and the image is at %s", exchange.ErrHostMismatch, strings.Join(c.Hosts(), ", "), request.Host)
	}
	return c, nil
}

// previous tries what the secret held before its last rotation, after what it holds now was refused: a rotation changes the
// secret and the account one after the other, and in between one of the two logins is good. Where there is no such content,
// or it makes no other login, the answer stays what it was.
func (b *Broker) previous(ctx context.Context, d decision, reference image.Reference, c credential.Credential, refused error) (credential.Credential, error) {
	rotated, ok := b.Secrets.(secret.Rotated)
	if !ok || d.lender.Credential.Secret == "" {
		return c, refused
	}
	before, err := b.secret(ctx, d, func(_ secret.Source, ctx context.Context, ref secret.Ref) (secret.Value, error) {
		return rotated.Previous(ctx, ref)
	})
	if err != nil {
		return c, refused
	}
	request, err := b.request(d, reference)
	if err != nil {
		return c, refused
	}
	defer request.Out.Close()
	request.Secret = before
	if earlier, err := b.exchangeFor(ctx, d.lender.Type, request); err == nil {
		return earlier, nil
	}
	return c, refused
}

// secret reads the decision's secret with get.
func (b *Broker) secret(ctx context.Context, d decision, get func(secret.Source, context.Context, secret.Ref) (secret.Value, error)) (secret.Value, error) {
	ref, err := secret.Parse(d.lender.Credential.Secret)
	var value secret.Value
	if err == nil {
		value, err = get(b.Secrets, ctx, ref)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w within %v", secret.ErrUnreachable, exchangeWithin)
	}
	switch {
	case err != nil && d.step == stepSecret:
		return secret.Value{}, fmt.Errorf("the registry_login_secret cannot be read on this node: %w", err)
	case err != nil:
		return secret.Value{}, fmt.Errorf("the secret of registry %s cannot be read on this node: %w", d.lender.Name, err)
	}
	return value, nil
}
