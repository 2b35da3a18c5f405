// Package store keeps everything that the control plane knows: persons, organizations, projects, registries, tokens,
// executions and their logs, nodes, events, and the audit log. It is for the server.
//
// Every method but Authenticate takes the pierhead.Caller who asks. It first asks package access, and writes the audit
// log: a change and its entry are one transaction, a refusal or failure has an entry of its own, and so have reads of
// what is sensitive. Nothing here opens a credential: it has secret references, and sealed credentials that only agents
// can open.
//
// Errors that a person can do something about are a *pierhead.Problem, found by kind with errors.Is:
// pierhead.ErrNotFound for what is not there and for what the caller may not know of, ErrNotAllowed, ErrBadInput,
// ErrConflict, and ErrUnreachable when the disk is full or the database locked or damaged (ErrDiskFull, ErrBusy,
// ErrDamaged tell which). Each method's comment names those that it adds to ErrNotFound, ErrNotAllowed and
// ErrUnreachable, which all of them have. What a method acknowledged is on the disk.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"

	"pierhead.dev/pierhead"
)

// Options is how a store is opened.
type Options struct {
	URL string           // the server's public URL, "http://127.0.0.1:7070": the hosted registry's host comes from it
	Now func() time.Time // the clock; nil is time.Now
}

// A Store is one open database. Its methods may be called at the same time.
type Store struct {
	write     *sql.DB // one connection: SQLite has one writer
	read      *sql.DB // a pool that cannot write
	now       func() time.Time
	hosted    hosted
	changes   broadcast
	snapshots snapshotCache
}

// Open opens the database at place, "sqlite:PATH", and makes it when it is not there. The directory must exist. An
// older schema N is copied beside the file ("<PATH>.before-<N+1>") and then brought up to date; a newer one is
// refused with ErrConflict. That no other process uses the file is the caller's affair.
func Open(ctx context.Context, place string, o Options) (*Store, error) {
	schema, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return nil, err
	}
	return open(ctx, place, o, schema)
}

func open(ctx context.Context, place string, o Options, schema fs.FS) (*Store, error) {
	path, found := strings.CutPrefix(place, "sqlite:")
	if !found || path == "" {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("no database can be opened at %q", place), "write it as sqlite:PATH")
	}
	s := &Store{now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.hosted, err = parseHosted(o.URL); err != nil {
		return nil, err
	}
	if s.write, s.read, err = openSQLite(ctx, path); err != nil {
		return nil, mapError(err)
	}
	if err := s.prepare(ctx, path, schema); err != nil {
		return nil, errors.Join(mapError(err), s.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, path string, schema fs.FS) error {
	if err := migrate(ctx, s.write, path, schema); err != nil {
		return err
	}
	return s.noteURL(ctx)
}

// Close ends all connections. Methods that are under way fail.
func (s *Store) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

// Changed returns a channel that is closed at the next committed change of anything but the audit log and the times of
// last use. For a long poll: take the channel, then look, then wait.
func (s *Store) Changed() <-chan struct{} { return s.changes.wait() }

// stamp is the clock's time as the database keeps it.
func (s *Store) stamp() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// micros and fromMicros are the form of times in the database; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// A broadcast wakes everybody who waits, once per send.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}

// hosted is where the hosted registry is, as references name it.
type hosted struct {
	url   string
	host  string
	plain bool // over HTTP
}

func parseHosted(text string) (hosted, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return hosted{}, pierhead.NewProblem(pierhead.ErrBadInput, "the server's URL is not of the form http://HOST[:PORT] or https://HOST[:PORT]", "set it with --url")
	}
	return hosted{url: strings.TrimSuffix(text, "/"), host: u.Host, plain: u.Scheme == "http"}, nil
}
