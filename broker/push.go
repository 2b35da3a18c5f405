package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// A Push writes one image's repository with the login of its registry, never without one: nothing falls back. Where the
// registry says create_repositories, a repository that is not there is made first. It is an oci.Writer and an
// oci.Uploader of that repository and no other; what it answers is for people, as Access's errors are.
type Push struct {
	broker   *Broker
	question Question
	decision decision
	client   *client.Client

	mu      sync.Mutex
	created bool  // CreateRepository was called
	failed  error // what it answered
}

var (
	_ oci.Writer   = (*Push)(nil)
	_ oci.Uploader = (*Push)(nil)
)

// OpenPush decides which registry's login is for pushing an image. Errors: pierhead.ErrPull, with a hint: no registry with
// a login covers the image, or its login cannot be had; the context's own error.
func (b *Broker) OpenPush(ctx context.Context, caller pierhead.Caller, q Question) (*Push, error) {
	q.push, q.LoginSecret = true, ""
	table, err := b.Registries.Table(ctx, q.OrganizationID)
	if err != nil {
		return nil, forPeople(q, decision{}, err)
	}
	d, err := b.decide(table, q)
	d.push = true
	if err != nil {
		return nil, forPeople(q, d, err)
	}
	if d.step != stepRegistry {
		return nil, pierhead.NewProblem(pierhead.ErrPull, q.Reference.String()+" cannot be pushed: no registry of the organization covers it, and nothing is pushed anonymously or by the node's identity alone",
			"an organization admin adds one: "+addRegistry(q, " ..."))
	}
	login, err := b.credential(ctx, d, q.Reference, nil)
	switch {
	case err != nil:
		b.record(q, caller, "credential.refused", d.lent(), map[string]string{"error": err.Error(), "action": "push"})
		return nil, forPeople(q, d, err)
	case login.Empty():
		return nil, pierhead.NewProblem(pierhead.ErrPull, q.Reference.String()+" cannot be pushed: registry "+d.lender.Name+" has no login, and nothing is pushed anonymously",
			"an organization admin gives it one: pier registry update "+d.lender.Name+" --secret REF")
	}
	c, err := b.client(q, d, login)
	if err != nil {
		return nil, forPeople(q, d, err)
	}
	b.record(q, caller, "credential.used", d.lent(), map[string]string{"pattern": d.pattern, "action": "push"})
	return &Push{broker: b, question: q, decision: d, client: c}, nil
}

// PutManifest implements oci.Writer.
func (p *Push) PutManifest(ctx context.Context, repository string, m oci.Manifest, tags []string) (oci.Pushed, error) {
	return write(ctx, p, repository, func() (oci.Pushed, error) { return p.client.PutManifest(ctx, repository, m, tags) })
}

// Mount implements oci.Writer.
func (p *Push) Mount(ctx context.Context, repository string, d digest.Digest, from []string) (oci.Descriptor, error) {
	return write(ctx, p, repository, func() (oci.Descriptor, error) { return p.client.Mount(ctx, repository, d, from) })
}

// StartUpload implements oci.Uploader.
func (p *Push) StartUpload(ctx context.Context, repository string, algorithm digest.Algorithm) (oci.Upload, error) {
	return write(ctx, p, repository, func() (oci.Upload, error) { return p.client.StartUpload(ctx, repository, algorithm) })
}

// Upload implements oci.Uploader.
func (p *Push) Upload(ctx context.Context, repository, id string) (oci.Upload, error) {
	return write(ctx, p, repository, func() (oci.Upload, error) { return p.client.Upload(ctx, repository, id) })
}

// write does one step of a push, and does it again once the repository was made that it needed.
func write[T any](ctx context.Context, p *Push, repository string, do func() (T, error)) (T, error) {
	var nothing T
	if repository != p.question.Reference.Repository() {
		return nothing, oci.ErrDenied.With("the login was chosen for " + p.question.Reference.Name() + " only")
	}
	answer, err := do()
	if errors.Is(err, oci.ErrNameUnknown) && p.decision.lender.CreateRepositories {
		if err = p.create(ctx); err == nil {
			answer, err = do()
		}
	}
	switch {
	case err == nil || ended(err):
		return answer, err
	case errors.Is(err, oci.ErrBlobUnknown), errors.Is(err, oci.ErrBlobUploadUnknown), errors.Is(err, oci.ErrUnsupported):
		return nothing, err // an answer to whoever pushes, rather than a failure
	}
	return nothing, p.forPeople(err)
}

// create has the repository made, once.
func (p *Push) create(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.created {
		return p.failed
	}
	creator, ok := p.broker.Exchangers[p.decision.lender.Type].(exchange.Creator)
	if !ok {
		return oci.ErrNameUnknown
	}
	request, err := p.broker.filled(ctx, p.decision, p.question.Reference)
	if err != nil {
		return err
	}
	defer request.Out.Close()
	err = creator.CreateRepository(ctx, request)
	if ctx.Err() == nil {
		p.created, p.failed = true, err
	}
	return err
}

func (p *Push) forPeople(err error) error {
	told := told(p.question, err)
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err, Text: p.question.Reference.String() + " cannot be pushed: " + told, Hint: hint(p.question, p.decision, err)}
}
