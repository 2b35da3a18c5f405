package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// An Access reads one image's repository as one caller may: with the login of the decided registry, or anonymously. It
// is an oci.Reader of the image's host. Falling back happens here and once: when the registry, its token server or the
// exchange refuses the login, the one anonymous try follows, unless the registry says `when_refused: fail`.
type Access struct {
	broker   *Broker
	question Question
	decision decision
	caller   pierhead.Caller

	mu      sync.Mutex
	reader  oci.Reader
	refusal error // why the login was given up; nil while it serves, or when there is none
	login   bool  // a login is in use
}

// Open decides which login is for a question and returns the access with it. Every opening is recorded, with its
// outcome. Errors: pierhead.ErrConflict when the answer is ambiguous; pierhead.ErrPull when the secret cannot be had
// or the login is refused and must not be done without.
func (b *Broker) Open(ctx context.Context, caller pierhead.Caller, q Question) (*Access, error) {
	access, err := b.open(ctx, caller, q)
	if err != nil {
		b.record(q, caller, "credential.refused", "", map[string]string{"error": err.Error()})
		return nil, err
	}
	return access, nil
}

func (b *Broker) open(ctx context.Context, caller pierhead.Caller, q Question) (*Access, error) {
	d, err := b.decide(ctx, q)
	if err != nil {
		return nil, err
	}
	a := &Access{broker: b, question: q, decision: d, caller: caller}
	if d.step == stepAnonymous {
		a.reader, err = b.reader(q, pierhead.Registry{}, nil)
		return a, err
	}
	c, err := b.credential(ctx, d.registry, q.Reference, nil)
	switch {
	case err != nil && a.fallsBack(err):
		if err := a.becomeAnonymous(err); err != nil {
			return nil, err
		}
		return a, nil
	case err != nil:
		return nil, forPeople(d.registry, err)
	case c.Empty():
		a.reader, err = b.reader(q, d.registry, nil)
		return a, err
	}
	a.login = true
	a.reader, err = b.reader(q, d.registry, source{broker: b, registry: d.registry, reference: q.Reference})
	b.record(q, caller, "credential.used", d.registry.Name, map[string]string{"pattern": d.pattern})
	return a, err
}

// reader makes the client for the question's host under the registry's rules.
func (b *Broker) reader(q Question, registry pierhead.Registry, logins client.Credentials) (oci.Reader, error) {
	return client.New(client.Config{Rules: b.rules(registry, q.Reference), Credentials: logins})
}

// Registry is the name of the registry whose login serves, or "" for an anonymous pull.
func (a *Access) Registry() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.login {
		return ""
	}
	return a.decision.registry.Name
}

// GaveUp is why the login of the registry was not used or refused, when an anonymous pull took its place; else nil.
func (a *Access) GaveUp() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refusal
}

// Resolve implements oci.Reader.
func (a *Access) Resolve(ctx context.Context, repository, reference string) (oci.Descriptor, error) {
	return try(a, func(r oci.Reader) (oci.Descriptor, error) { return r.Resolve(ctx, repository, reference) })
}

// Manifest implements oci.Reader.
func (a *Access) Manifest(ctx context.Context, repository, reference string) (oci.Manifest, error) {
	return try(a, func(r oci.Reader) (oci.Manifest, error) { return r.Manifest(ctx, repository, reference) })
}

// Blob implements oci.Reader.
func (a *Access) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	return try(a, func(r oci.Reader) (*oci.Blob, error) { return r.Blob(ctx, repository, d, offset, length) })
}

// try asks with what is in use, and once more anonymously when that was a login and is refused.
func try[T any](a *Access, ask func(oci.Reader) (T, error)) (T, error) {
	reader, login := a.inUse()
	answer, err := ask(reader)
	if err == nil {
		return answer, nil
	}
	if login && a.fallsBack(err) {
		if failed := a.becomeAnonymous(err); failed != nil {
			return answer, failed
		}
		reader, _ = a.inUse()
		if answer, err = ask(reader); err == nil {
			return answer, nil
		}
	}
	if gaveUp := a.GaveUp(); gaveUp != nil {
		return answer, bothRefused(a.decision.registry, gaveUp, err)
	}
	return answer, err
}

func (a *Access) inUse() (oci.Reader, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reader, a.login
}

// fallsBack tells whether err is one of the refusals that an anonymous pull may follow. What cannot be reached, a
// secret that is missing or malformed, and everything else is no refusal: there the failure is the answer.
func (a *Access) fallsBack(err error) bool {
	if errors.Is(err, exchange.ErrHostMismatch) {
		return a.decision.registry.WhenRefused != pierhead.RefusedFail
	}
	refused := errors.Is(err, exchange.ErrRefused) || client.Refused(err)
	return refused && a.decision.registry.WhenRefused != pierhead.RefusedFail
}

func (a *Access) becomeAnonymous(cause error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal != nil {
		return nil // another request of the same pull came here first
	}
	reader, err := a.broker.reader(a.question, a.decision.registry, nil)
	if err != nil {
		return err
	}
	a.reader, a.login, a.refusal = reader, false, cause
	a.broker.record(a.question, a.caller, "pull.anonymous", a.decision.registry.Name, map[string]string{"because": cause.Error()})
	return nil
}

// source hands a registry's login to the client, and a new one when the client says that it was refused.
type source struct {
	broker    *Broker
	registry  pierhead.Registry
	reference image.Reference
}

func (s source) Credential(ctx context.Context, stale *credential.Credential) (credential.Credential, error) {
	c, err := s.broker.credential(ctx, s.registry, s.reference, stale)
	if host := s.reference.Host(); err == nil && !c.Empty() && !c.For(host) {
		return credential.Credential{}, fmt.Errorf("%w: the login of registry %s is not for %s", exchange.ErrHostMismatch, s.registry.Name, host)
	}
	return c, err
}

func (b *Broker) record(q Question, caller pierhead.Caller, kind, registry string, detail map[string]string) {
	detail["caller"] = caller.Name
	b.Events.Record(pierhead.Event{
		At: b.Now(), OrganizationID: q.OrganizationID, Kind: kind, ExecutionID: q.ExecutionID,
		Image: q.Reference.String(), Registry: registry, Detail: detail,
	})
}
