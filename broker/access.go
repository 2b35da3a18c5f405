package broker

import (
	"context"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// An Access reads one image's repository as one caller may: with the login of the decided registry, or anonymously. It
// is an oci.Reader and an oci.Lister of that repository and no other. Falling back happens here and once: when the registry, its token
// server or the exchange refuses the login, the one anonymous try follows, unless the registry says `when_refused: fail`.
//
// What it answers is for people: a *pierhead.Problem of kind pierhead.ErrPull in which errors.Is finds oci's errors too,
// or the context's own error when that ended.
type Access struct {
	broker   *Broker
	question Question
	decision decision
	caller   pierhead.Caller

	mu      sync.Mutex
	client  *client.Client
	login   bool  // a login is in use
	refusal error // why the login was given up; nil while it serves, or when there is none
}

var (
	_ oci.Reader     = (*Access)(nil)
	_ oci.BlobStater = (*Access)(nil)
	_ oci.Lister     = (*Access)(nil)
)

// Open decides which login is for a question and returns the access with it. Every login that is taken into use, given up
// or not to be had is recorded. Errors: pierhead.ErrPull, with a hint: no registry can be chosen (pierhead.ErrConflict
// too), the secret cannot be had, or the login is refused and must not be done without; the context's own error.
func (b *Broker) Open(ctx context.Context, caller pierhead.Caller, q Question) (*Access, error) {
	p, err := b.open(ctx, q)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		b.record(q, caller, "credential.refused", p.lent(), map[string]string{"error": err.Error()})
		return nil, err
	case p.gaveUp != nil:
		b.record(q, caller, "pull.anonymous", p.lent(), map[string]string{"because": told(q, p.gaveUp)})
	case !p.login.Empty():
		b.record(q, caller, "credential.used", p.lent(), usedDetail(p))
	}
	return &Access{broker: b, question: q, caller: caller, decision: p.decision, client: p.client, login: !p.login.Empty(), refusal: p.gaveUp}, nil
}

func (b *Broker) open(ctx context.Context, q Question) (plan, error) {
	if q.Personal {
		return b.plan(ctx, nil, q) // no organization's table is looked at
	}
	table, err := b.Registries.Table(ctx, q.OrganizationID)
	if err != nil {
		return plan{}, forPeople(q, decision{}, err)
	}
	return b.plan(ctx, table, q)
}

// usedDetail is what the event says of a login that was taken into use.
func usedDetail(p plan) map[string]string {
	detail := map[string]string{}
	for key, value := range map[string]string{"pattern": p.pattern, "principal": p.login.Principal()} {
		if value != "" {
			detail[key] = value
		}
	}
	return detail
}

// Registry is the name of the registry whose login serves, "registry_login_secret" or "node identity" where it is one of
// these, or "" for an anonymous pull.
func (a *Access) Registry() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.login {
		return ""
	}
	return a.decision.lent()
}

// GaveUp is why the login of the registry was not used or refused, when an anonymous pull took its place; else nil. Its
// text leaves out the image.
func (a *Access) GaveUp() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal == nil {
		return nil
	}
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: a.refusal,
		Text: givenUp(a.decision, a.refusal) + ": " + told(a.question, a.refusal), Hint: hint(a.question, a.decision, a.refusal)}
}

// Resolve implements oci.Reader.
func (a *Access) Resolve(ctx context.Context, repository, reference string) (oci.Descriptor, error) {
	return try(ctx, a, repository, func(r *client.Client) (oci.Descriptor, error) { return r.Resolve(ctx, repository, reference) })
}

// Manifest implements oci.Reader.
func (a *Access) Manifest(ctx context.Context, repository, reference string) (oci.Manifest, error) {
	return try(ctx, a, repository, func(r *client.Client) (oci.Manifest, error) { return r.Manifest(ctx, repository, reference) })
}

// Blob implements oci.Reader. What breaks off while the body is read is for people too.
func (a *Access) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	b, err := try(ctx, a, repository, func(r *client.Client) (*oci.Blob, error) { return r.Blob(ctx, repository, d, offset, length) })
	if err == nil && b.Body != nil {
		b.Body = toldBody{ReadCloser: b.Body, access: a}
	}
	return b, err
}

// StatBlob implements oci.BlobStater.
func (a *Access) StatBlob(ctx context.Context, repository string, d digest.Digest) (oci.Descriptor, error) {
	return try(ctx, a, repository, func(r *client.Client) (oci.Descriptor, error) { return r.StatBlob(ctx, repository, d) })
}

// Tags implements oci.Lister.
func (a *Access) Tags(ctx context.Context, repository string, page oci.Page) (oci.List, error) {
	return try(ctx, a, repository, func(r *client.Client) (oci.List, error) { return r.Tags(ctx, repository, page) })
}

// Referrers implements oci.Lister.
func (a *Access) Referrers(ctx context.Context, repository string, d digest.Digest, filter oci.ReferrerFilter) (oci.Referrers, error) {
	return try(ctx, a, repository, func(r *client.Client) (oci.Referrers, error) { return r.Referrers(ctx, repository, d, filter) })
}

// Close drops idle connections. What is being read goes on.
func (a *Access) Close() {
	reader, _, _ := a.inUse()
	reader.Close()
}

type toldBody struct {
	io.ReadCloser
	access *Access
}

func (b toldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = forPeople(b.access.question, b.access.decision, err)
	}
	return n, err
}

// try asks with what is in use, and once more anonymously when that was a login and is refused.
func try[T any](ctx context.Context, a *Access, repository string, ask func(*client.Client) (T, error)) (T, error) {
	var nothing T
	if repository != a.question.Reference.Repository() {
		return nothing, oci.ErrDenied.With("the login was chosen for " + a.question.Reference.Name() + " only")
	}
	reader, login, gaveUp := a.inUse()
	answer, err := ask(reader)
	if login && a.decision.fallsBack(err) && ctx.Err() == nil {
		reader, gaveUp = a.becomeAnonymous(err)
		answer, err = ask(reader)
	}
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nothing, ctx.Err()
	case gaveUp != nil:
		return nothing, bothFailed(a.question, a.decision, gaveUp, err)
	}
	return nothing, forPeople(a.question, a.decision, err)
}

func (a *Access) inUse() (reader *client.Client, login bool, gaveUp error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.client, a.login, a.refusal
}

// becomeAnonymous gives the login up because of cause, or finds that another request of the same pull did.
func (a *Access) becomeAnonymous(cause error) (reader *client.Client, gaveUp error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal == nil {
		a.client, a.login, a.refusal = a.client.Anonymous(), false, cause
		a.broker.record(a.question, a.caller, "pull.anonymous", a.decision.lent(), map[string]string{"because": told(a.question, cause)})
	}
	return a.client, a.refusal
}

// source hands a decision's login to the client, and a new one when the client says that it was refused.
type source struct {
	broker    *Broker
	decision  decision
	reference image.Reference
}

// Credential implements client.Credentials.
func (s source) Credential(ctx context.Context, stale *credential.Credential) (credential.Credential, error) {
	return s.broker.credential(ctx, s.decision, s.reference, stale)
}

func (b *Broker) record(q Question, caller pierhead.Caller, kind, registry string, detail map[string]string) {
	if detail["caller"] = caller.Name; q.Door != "" {
		detail["door"] = string(q.Door)
	}
	b.Events.Record(pierhead.Event{
		At: b.Now(), OrganizationID: q.OrganizationID, Kind: kind, ExecutionID: q.ExecutionID,
		Image: q.Reference.String(), Registry: registry, Detail: detail,
	})
}
