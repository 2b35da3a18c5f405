package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
	"pierhead.dev/pierhead/oci"
	ociserver "pierhead.dev/pierhead/oci/server"
)

// Bounds of what runtimes may take of the mirror. A blob may take as long as it needs, as long as whoever wants it reads.
const (
	mirrorAtOnce     = 256              // requests being answered
	mirrorQueue      = 15 * time.Second // that a request waits for its turn
	mirrorConns      = 1024             // connections
	mirrorMaxHeader  = 64 << 10         // bytes: runtimes send logins that are not wanted here, and those may be long
	mirrorIdle       = 2 * time.Minute
	mirrorStall      = 2 * time.Minute // for the client to take what it was sent
	mirrorFirstReply = 5 * time.Second // for the first snapshot that this node ever gets
)

// A mirror is the node's door for runtimes that pull from a registry mirror: it reads any image that the organization may
// pull, with the broker's credential, and shows it without a login on loopback. It is for pulling only. What runtimes offer as
// a login is meant for somebody else: nobody is asked for one here, and it is neither looked at nor passed on.
type mirror struct {
	listener net.Listener
	handler  http.Handler
	log      *slog.Logger
	broker   *broker.Broker
	snapshot *Snapshot
	caller   pierhead.Caller
	home     string          // Config.Organization
	hosts    []image.Pattern // that it answers for beside those of the organization's registries
	trouble  func(door doors.Door, asked, reason, hint string)

	pulls pulls
	turns chan struct{}
}

func newMirror(a *Agent) *mirror {
	m := &mirror{listener: a.Endpoint, log: a.Log, broker: a.Broker, snapshot: a.Snapshot, caller: a.doorCaller(),
		home: a.Organization, hosts: a.MirrorHosts, trouble: a.trouble, turns: make(chan struct{}, mirrorAtOnce)}
	m.pulls.now, m.pulls.open = a.now, func(ctx context.Context, organizationID string, reference image.Reference) (*broker.Access, error) {
		return m.broker.Open(ctx, m.caller, broker.Question{OrganizationID: organizationID, Reference: reference, Door: doors.Mirror})
	}
	m.handler = ociserver.New(ociserver.Config{Authorizer: ociserver.Open{}, Open: m.open})
	return m
}

// Address is where it listens, "127.0.0.1:5050".
func (m *mirror) Address() string { return m.listener.Addr().String() }

// serve answers until ctx ends.
func (m *mirror) serve(ctx context.Context) error {
	server := &http.Server{Handler: m, ReadHeaderTimeout: endpointHeaderTimeout, IdleTimeout: mirrorIdle, MaxHeaderBytes: mirrorMaxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug)}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(&limited{Listener: m.listener, slots: make(chan struct{}, mirrorConns)}); ctx.Err() == nil {
		return fmt.Errorf("the mirror: %w", err)
	}
	return ctx.Err()
}

// ServeHTTP lets in who is meant to be here, so many at once.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !meantForLoopback(r):
		http.Error(w, "this address answers to loopback names only", http.StatusMisdirectedRequest)
		return
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Mode") != "": // no runtime sends these
		http.Error(w, "this address is for container runtimes, not for browsers", http.StatusForbidden)
		return
	}
	r.Header.Del("Authorization")
	release, err := m.turn(r.Context())
	if err == nil {
		defer release()
		err = misspelt(r.URL.Path)
	}
	if err != nil {
		ociserver.WriteError(w, err)
		return
	}
	answer := &mirrorAnswer{header: w.Header(), control: http.NewResponseController(w)}
	m.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), mirrorAnswerKey{}, answer)))
}

// turn waits until there is room for one more request.
func (m *mirror) turn(ctx context.Context) (release func(), err error) {
	select {
	case m.turns <- struct{}{}:
		return func() { <-m.turns }, nil
	default:
	}
	wait := time.NewTimer(mirrorQueue)
	defer wait.Stop()
	select {
	case m.turns <- struct{}{}:
		return func() { <-m.turns }, nil
	case <-wait.C:
	case <-ctx.Done():
	}
	return nil, &oci.Error{Code: oci.ErrTooManyRequests.Code, Status: http.StatusTooManyRequests,
		Text: fmt.Sprintf("%d requests are being answered by this node's mirror, and none has ended for %v; try again", mirrorAtOnce, mirrorQueue)}
}

// A mirrorAnswer is what a reader may do to the answer that it is read for.
type mirrorAnswer struct {
	header  http.Header
	control *http.ResponseController
}

type mirrorAnswerKey struct{}

// reads are the requests that a mirror answers.
var reads = map[ociserver.Kind]bool{ociserver.KindManifest: true, ociserver.KindBlob: true, ociserver.KindTags: true, ociserver.KindReferrers: true}

// open finds out what a request is about, and whether this mirror answers for it.
func (m *mirror) open(r *http.Request, q ociserver.Request, _ ociserver.Grant) (oci.Registry, error) {
	switch {
	case q.Kind == ociserver.KindPing:
		return oci.Unsupported{}, nil
	case !reads[q.Kind]:
		return nil, &oci.Error{Code: oci.ErrUnsupported.Code, Status: oci.ErrUnsupported.Status,
			Text: "this node's mirror is for pulling; push to the registry by its own name"}
	}
	reference, err := mirrored(r.URL.Query(), q.Repository)
	if err != nil {
		return nil, err
	}
	answer, _ := r.Context().Value(mirrorAnswerKey{}).(*mirrorAnswer)
	reader := &mirrorReader{mirror: m, answer: answer, reference: reference}
	if reader.wanted, err = m.admit(r.Context(), reference); err != nil {
		return nil, reader.failed(r.Context(), reference, err)
	}
	return oci.ReadOnly(reader), nil
}

// admit looks whether the mirror answers for a host: one that a registry of the organization covers, or one of the operator's
// list.
func (m *mirror) admit(ctx context.Context, reference image.Reference) (wanted, error) {
	ctx, cancel := context.WithTimeout(ctx, mirrorFirstReply)
	defer cancel()
	organization, table, err := m.snapshot.home(ctx, m.home)
	if err != nil {
		return wanted{}, err
	}
	w := wanted{organizationID: organization.ID, table: table}
	if table.CoversHost(reference.Host()) {
		return w, nil
	}
	for _, listed := range m.hosts {
		if listed.MatchesHost(reference.Host()) {
			return w, nil
		}
	}
	return w, pierhead.NewProblem(pierhead.ErrNotAllowed, fmt.Sprintf("this node's mirror does not answer for %s: no registry of %s covers that host", reference.Host(), organization.Name),
		"an organization admin adds one, or the node's operator lists the host: --mirror-host "+reference.Host())
}

// A mirrorReader reads one repository for one request. The repository that it is told is the one of the request's path, and
// not asked for.
type mirrorReader struct {
	mirror    *mirror
	answer    *mirrorAnswer
	reference image.Reference // tag and digest unknown
	wanted    wanted
}

// with is the reference with the tag or digest that a request names.
func (r *mirrorReader) with(tagOrDigest string) (image.Reference, error) {
	if _, err := oci.ParseDigest(tagOrDigest); err == nil {
		return r.reference.WithDigest(tagOrDigest)
	}
	return r.reference.WithTag(tagOrDigest)
}

// mirrorRead asks for content with the access of the pull that it belongs to.
func mirrorRead[T any](ctx context.Context, r *mirrorReader, reference image.Reference, manifest bool, ask func(*pull, string) (T, error)) (T, error) {
	w := r.wanted
	w.reference, w.manifest = reference, manifest
	var answer T
	one, err := r.mirror.pulls.of(ctx, w)
	if err == nil {
		if answer, err = ask(one, reference.Repository()); err != nil && ctx.Err() == nil && !optional(reference, err) {
			r.mirror.pulls.failing(one)
		}
	}
	if err != nil {
		return answer, r.failed(ctx, reference, err)
	}
	return answer, nil
}

func (r *mirrorReader) Resolve(ctx context.Context, _, tagOrDigest string) (oci.Descriptor, error) {
	reference, err := r.with(tagOrDigest)
	if err != nil {
		return oci.Descriptor{}, badName(err.Error(), "")
	}
	return mirrorRead(ctx, r, reference, true, func(one *pull, repository string) (oci.Descriptor, error) {
		d, err := one.access.Resolve(ctx, repository, tagOrDigest)
		if err == nil {
			r.mirror.pulls.learn(one, d.Digest, nil)
		}
		return d, err
	})
}

func (r *mirrorReader) Manifest(ctx context.Context, _, tagOrDigest string) (oci.Manifest, error) {
	reference, err := r.with(tagOrDigest)
	if err != nil {
		return oci.Manifest{}, badName(err.Error(), "")
	}
	return mirrorRead(ctx, r, reference, true, func(one *pull, repository string) (oci.Manifest, error) {
		m, err := one.access.Manifest(ctx, repository, tagOrDigest)
		if err == nil {
			r.mirror.pulls.learn(one, m.Digest, m.Content)
		}
		return m, err
	})
}

func (r *mirrorReader) Blob(ctx context.Context, _ string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	reference, err := r.with(d.String())
	if err != nil {
		return nil, badName(err.Error(), "")
	}
	b, err := mirrorRead(ctx, r, reference, false, func(one *pull, repository string) (*oci.Blob, error) {
		return one.access.Blob(ctx, repository, d, offset, length)
	})
	if err == nil && b.Body != nil {
		b.Body = &mirrorBody{ReadCloser: b.Body, ctx: ctx, reader: r, reference: reference}
	}
	return b, err
}

func (r *mirrorReader) StatBlob(ctx context.Context, _ string, d digest.Digest) (oci.Descriptor, error) {
	reference, err := r.with(d.String())
	if err != nil {
		return oci.Descriptor{}, badName(err.Error(), "")
	}
	return mirrorRead(ctx, r, reference, false, func(one *pull, repository string) (oci.Descriptor, error) {
		return one.access.StatBlob(ctx, repository, d)
	})
}

func (r *mirrorReader) Tags(ctx context.Context, _ string, page oci.Page) (oci.List, error) {
	return mirrorRead(ctx, r, r.reference, false, func(one *pull, repository string) (oci.List, error) {
		return one.access.Tags(ctx, repository, page)
	})
}

func (r *mirrorReader) Referrers(ctx context.Context, _ string, d digest.Digest, filter oci.ReferrerFilter) (oci.Referrers, error) {
	reference, err := r.with(d.String())
	if err != nil {
		return oci.Referrers{}, badName(err.Error(), "")
	}
	return mirrorRead(ctx, r, reference, false, func(one *pull, repository string) (oci.Referrers, error) {
		return one.access.Referrers(ctx, repository, d, filter)
	})
}

// A mirrorBody tells of a transfer that breaks off, and gives a client so much time for each piece: what it does not take
// stays with the registry, and one that takes nothing at all is let go.
type mirrorBody struct {
	io.ReadCloser
	ctx       context.Context
	reader    *mirrorReader
	reference image.Reference
	allowed   time.Time // when the client's time was set last
}

func (b *mirrorBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if now := time.Now(); b.reader.answer != nil && now.Sub(b.allowed) > time.Second {
		b.allowed = now
		_ = b.reader.answer.control.SetWriteDeadline(now.Add(mirrorStall)) // where it cannot be set, the connection is none of the mirror's
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.reader.failed(b.ctx, b.reference, err)
	}
	return n, err
}
