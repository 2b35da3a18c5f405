package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
	ociserver "pierhead.dev/pierhead/oci/server"
)

// endpointUser is the user name that engines get; the password says which execution it is.
const endpointUser = "execution"

// endpointHeaderTimeout and the rest bound what an engine may take; a blob itself may take as long as it needs.
const endpointHeaderTimeout = 15 * time.Second

// An endpoint is where the engine pulls from: a registry on loopback that shows, to whoever has a ticket's password, one
// repository of one registry. What it shows is read with the broker's credential, which the engine never gets. It has a port
// of its own beside the mirror's: engines send a login only where they were challenged before they said what they want, and
// a mirror that challenges is sent logins that are none of its business.
type endpoint struct {
	listener net.Listener
	handler  http.Handler
	log      *slog.Logger

	mu      sync.Mutex
	tickets map[string]*ticket // by id
}

// A ticket lets the engine read one repository while one execution pulls.
type ticket struct {
	id         string
	password   string
	execution  string
	repository string // as the engine names it: "<host>/<repository>"
	reader     oci.Reader

	mu     sync.Mutex
	failed []failure // what the registry failed to give and did not give later, in order
}

// A failure is what the registry said to a request for one digest.
type failure struct {
	digest string
	err    error
}

// ListenEndpoint takes a loopback address for Config.Endpoint, the mirror's. Everything else is refused: what is shown here needs no TLS because it does
// not leave the machine.
func ListenEndpoint(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the mirror's address, %q, is not a loopback address and port", address), "the default is 127.0.0.1:5050")
	}
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("the address %s, which the mirror should have, is in use", address), "stop what uses it, or choose another port with --mirror")
	}
	if err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("cannot listen on %s: %v", address, err), "choose another address with --mirror")
	}
	return listener, nil
}

// listenBeside takes any free port of the same loopback address.
func listenBeside(other net.Listener) (net.Listener, error) {
	host, _, err := net.SplitHostPort(other.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("the engine's end-point: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("the engine's end-point: %w", err)
	}
	return listener, nil
}

func newEndpoint(listener net.Listener, log *slog.Logger) *endpoint {
	e := &endpoint{listener: listener, log: log, tickets: make(map[string]*ticket)}
	e.handler = ociserver.New(ociserver.Config{Authorizer: e, Open: e.open, Log: log})
	return e
}

// Address is where it listens, "127.0.0.1:34567".
func (e *endpoint) Address() string { return e.listener.Addr().String() }

// serve answers until ctx ends.
func (e *endpoint) serve(ctx context.Context) error {
	server := &http.Server{Handler: e, ReadHeaderTimeout: endpointHeaderTimeout, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(e.listener); ctx.Err() == nil {
		return fmt.Errorf("the engine's end-point: %w", err)
	}
	return ctx.Err()
}

// ServeHTTP refuses requests that did not mean this address: a page in a browser on this machine could name any host.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !meantForLoopback(r) {
		http.Error(w, "this address answers to loopback names only", http.StatusMisdirectedRequest)
		return
	}
	e.handler.ServeHTTP(w, r)
}

func meantForLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// admit makes a ticket: the engine sees repository, as it names it, and reads what reader has under real.
func (e *endpoint) admit(execution, repository, real string, reader oci.Reader) *ticket {
	t := &ticket{id: rand.Text(), password: rand.Text(), execution: execution, repository: repository}
	t.reader = renamed{ticket: t, reader: reader, real: real}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tickets[t.id] = t
	return t
}

func (e *endpoint) revoke(t *ticket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.tickets, t.id)
}

// Authorize implements ociserver.Authorizer: the password finds the ticket, and the ticket its one repository.
func (e *endpoint) Authorize(r *http.Request, q ociserver.Request) (ociserver.Grant, error) {
	_, password, ok := r.BasicAuth()
	t := e.find(password)
	if !ok || t == nil {
		return ociserver.Grant{}, &ociserver.Refusal{Err: oci.ErrUnauthorized, Challenge: `Basic realm="pierhead"`}
	}
	if q.Kind != ociserver.KindPing && q.Repository != t.repository {
		return ociserver.Grant{}, &ociserver.Refusal{Err: oci.ErrDenied, Detail: "this login is for one execution's image only"}
	}
	return ociserver.Grant{Caller: t.id}, nil
}

func (e *endpoint) find(password string) *ticket {
	given := sha256.Sum256([]byte(password))
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tickets {
		if expected := sha256.Sum256([]byte(t.password)); subtle.ConstantTimeCompare(given[:], expected[:]) == 1 {
			return t
		}
	}
	return nil
}

func (e *endpoint) open(_ *http.Request, _ ociserver.Request, grant ociserver.Grant) (oci.Registry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.tickets[grant.Caller]
	if t == nil {
		return nil, oci.ErrDenied
	}
	return oci.ReadOnly(t.reader), nil
}

// failure is what the registry said last about content that it did not give, or nil. What a retry got is no failure, and
// neither is a tag: engines ask for tags of signatures that need not be there, for the image they ask by digest.
func (t *ticket) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failed) == 0 {
		return nil
	}
	return t.failed[len(t.failed)-1].err
}

func (t *ticket) saw(reference string, err error) {
	if errors.Is(err, context.Canceled) || !strings.Contains(reference, ":") {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = slices.DeleteFunc(t.failed, func(f failure) bool { return f.digest == reference })
	if err != nil {
		t.failed = append(t.failed, failure{reference, err})
	}
}

// renamed reads a repository under the name that the engine knows it by.
type renamed struct {
	ticket *ticket
	reader oci.Reader
	real   string
}

func (r renamed) Resolve(ctx context.Context, _, reference string) (oci.Descriptor, error) {
	d, err := r.reader.Resolve(ctx, r.real, reference)
	r.ticket.saw(reference, err)
	return d, err
}

func (r renamed) Manifest(ctx context.Context, _, reference string) (oci.Manifest, error) {
	m, err := r.reader.Manifest(ctx, r.real, reference)
	r.ticket.saw(reference, err)
	return m, err
}

func (r renamed) Blob(ctx context.Context, _ string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	b, err := r.reader.Blob(ctx, r.real, d, offset, length)
	if err != nil {
		r.ticket.saw(d.String(), err)
	} else if b.Body != nil {
		b.Body = &seenBody{ReadCloser: b.Body, left: b.Length, ticket: r.ticket, digest: d.String()}
	}
	return b, err
}

// A seenBody tells the ticket how a blob's transfer ends.
type seenBody struct {
	io.ReadCloser
	left   int64 // bytes to come; below zero where that is not known
	ticket *ticket
	digest string
}

func (s *seenBody) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.left -= int64(n)
	switch {
	case s.left == 0 || errors.Is(err, io.EOF): // who knows the length reads no further
		s.ticket.saw(s.digest, nil)
	case err != nil:
		s.ticket.saw(s.digest, err)
	}
	return n, err
}

// endpointRepository is what the engine calls an image's repository at the end-point: "<host>/<repository>", a port
// written with an underscore, because a repository's name has no colon.
func endpointRepository(reference image.Reference) (string, error) {
	host := reference.Host()
	if strings.HasPrefix(host, "[") {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the host %s is an IPv6 address, which engines cannot pull from through this node", host),
			"give the registry a name")
	}
	name := strings.ReplaceAll(host, ":", "_") + "/" + reference.Repository()
	if !oci.ValidRepository(name) {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the host %s cannot be part of a repository's name", host), "give the registry a plainer name")
	}
	return name, nil
}
