package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/oci"
)

// pulled counts an image's bytes on their way to the engine.
type pulled struct {
	done  atomic.Int64
	total atomic.Int64
}

// prepare has the image on the engine when it returns, and its id. The tag becomes a digest once; a restart in the
// middle goes on with that digest.
func (r *run) prepare(ctx context.Context) (imageID string, err error) {
	if _, err := r.agent.mounts.admit(r.rec.Execution.Spec.Mounts); err != nil {
		return "", err // before anything is fetched
	}
	reference, err := image.Parse(r.rec.Execution.Spec.Image)
	if err != nil {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	if r.rec.Head == "" { // not said by an earlier start
		err := r.update(func(p *pierhead.Progress) { p.State = pierhead.ExecutionPulling }, "Pulling image: "+reference.String())
		if err != nil {
			return "", err
		}
	}
	repository, err := endpointRepository(reference)
	if err != nil {
		return "", err
	}
	if id, ok, err := r.local(ctx, reference); ok || err != nil {
		return id, err
	}
	access, err := r.agent.Broker.Open(ctx, r.caller(), r.question(reference))
	if err != nil {
		return "", r.pullFailed(ctx, reference, err)
	}
	if err := r.fix(ctx, reference, access); err != nil {
		return "", r.pullFailed(ctx, reference, err)
	}
	return r.fetch(ctx, reference, repository, access)
}

// fix resolves the tag, logs the digest and chooses the platform.
func (r *run) fix(ctx context.Context, reference image.Reference, access *broker.Access) error {
	digest := r.rec.Progress.Digest // of an earlier start, if any
	if digest == "" {
		descriptor, err := access.Resolve(ctx, reference.Repository(), tagOrDigest(reference))
		if err != nil {
			return err
		}
		digest = descriptor.Digest.String()
		r.rec.Phase = phaseResolved
		if err := r.update(func(p *pierhead.Progress) { p.Digest = digest }, "Image digest: "+digest); err != nil {
			return err
		}
	}
	chosen, err := choosePlatform(ctx, access, reference.Repository(), digest)
	if err != nil {
		return err
	}
	if err := r.tellAnonymous(access); err != nil {
		return err
	}
	r.pulled.total.Store(chosen.bytes)
	return r.update(func(p *pierhead.Progress) { p.PlatformDigest, p.Registry = chosen.digest, access.Registry() })
}

// tellAnonymous says, once, that the registry's login was given up.
func (r *run) tellAnonymous(access *broker.Access) error {
	gaveUp := access.GaveUp()
	if gaveUp == nil || r.rec.Progress.Anonymous {
		return nil
	}
	return r.update(func(p *pierhead.Progress) { p.Anonymous, p.Registry = true, "" }, fmt.Sprintf("Image pulled anonymously: %v", gaveUp))
}

// fetch lets the engine pull the digest from our loopback end-point, with a login that is good for this alone.
func (r *run) fetch(ctx context.Context, reference image.Reference, repository string, access *broker.Access) (id string, err error) {
	ticket := r.agent.endpoint.admit(r.rec.Execution.ID, repository, reference.Repository(), countingReader{Reader: access, run: r})
	defer r.agent.endpoint.revoke(ticket)
	source := engine.ImageSource{
		Reference: r.agent.endpoint.Address() + "/" + repository + "@" + r.rec.Progress.Digest,
		Username:  endpointUser, Password: ticket.password,
	}
	if reference.Tag() != "" {
		source.Tags = []string{reference.Name() + ":" + reference.Tag()}
	}
	err = r.agent.reach(ctx, "pulling an image", func() (err error) {
		id, err = r.agent.Engine.Pull(ctx, source)
		return err
	})
	if err != nil {
		cause := ticket.failure() // what the registry said, rather than what the engine made of it
		if cause == nil {
			cause = engineFailed(reference, source, err)
		}
		return "", r.pullFailed(ctx, reference, cause)
	}
	if err := r.tellAnonymous(access); err != nil { // the login may have been refused in the middle
		return "", err
	}
	r.agent.images.remember(r.scope(), reference, r.rec.Progress, id)
	return id, nil
}

// engineFailed is what stopped a pull for which the registry gave all that it was asked for.
func engineFailed(reference image.Reference, source engine.ImageSource, err error) error {
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err,
		Text: fmt.Sprintf("%s cannot be pulled: the engine says: %s", reference, strings.TrimPrefix(err.Error(), "pulling "+source.Reference+": ")),
		Hint: "the registry gave what was asked of it; the node's operator looks at the engine, its log and its disk"}
}

// pullFailed makes any error of a pull one for people, and an event. A pull that was given up is neither.
func (r *run) pullFailed(ctx context.Context, reference image.Reference, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.agent.events.Record(pierhead.Event{
		At: r.agent.now(), OrganizationID: r.rec.Execution.OrganizationID, Kind: "pull.failed",
		ExecutionID: r.rec.Execution.ID, Image: reference.String(), Detail: map[string]string{"error": err.Error()},
	})
	var problem *pierhead.Problem
	switch {
	case durable.Full(err) || errors.Is(err, pierhead.ErrPull):
		return err
	case errors.As(err, &problem):
		return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err, Text: err.Error(), Hint: problem.Hint}
	}
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err, Text: fmt.Sprintf("pulling %s: %v", reference, err),
		Hint: "see which credential was used and why: pier explain " + reference.Written() + " --project " + r.rec.Execution.Project}
}

func (r *run) question(reference image.Reference) broker.Question {
	execution := r.rec.Execution
	return broker.Question{
		OrganizationID: execution.OrganizationID, Project: projectName(execution.Project), Personal: execution.OrganizationID == "",
		Reference: reference, LoginSecret: execution.Spec.RegistryLoginSecret, ExecutionID: execution.ID,
	}
}

func (r *run) caller() pierhead.Caller {
	return pierhead.Caller{Name: r.rec.Execution.CreatedBy}
}

func tagOrDigest(reference image.Reference) string {
	if reference.Digest() != "" {
		return reference.Digest()
	}
	return reference.Tag()
}

// A countingReader counts blob bytes on their way to the engine.
type countingReader struct {
	oci.Reader
	run *run
}

type countingBody struct {
	io.ReadCloser
	run *run
}

func (c countingBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.run.pulled.done.Add(int64(n))
	c.run.report()
	return n, err
}

// Blob implements oci.Reader.
func (c countingReader) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	b, err := c.Reader.Blob(ctx, repository, d, offset, length)
	if err == nil && b.Body != nil {
		b.Body = countingBody{ReadCloser: b.Body, run: c.run}
	}
	return b, err
}
