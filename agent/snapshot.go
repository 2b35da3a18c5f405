package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/resolve"
)

// snapshotWait is how long one question for a newer snapshot stays open.
const snapshotWait = 45 * time.Second

// A Snapshot is what the node knows of its organizations' registries: kept on disk, so that pulls go on while the
// control plane is away, and compiled once per change.
type Snapshot struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[compiled]
	loaded  chan struct{} // closed once there is any
}

type compiled struct {
	snapshot pierhead.Snapshot
	tables   map[string]*resolve.Table // by organization id
}

// OpenSnapshot reads what was kept at path, if anything.
func OpenSnapshot(path string, log *slog.Logger) (*Snapshot, error) {
	s := &Snapshot{path: path, log: log, loaded: make(chan struct{})}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var kept pierhead.Snapshot
	if err := json.Unmarshal(text, &kept); err != nil {
		log.Error("the kept snapshot is unreadable; waiting for the control plane", "error", err)
		return s, nil
	}
	if err := s.use(kept); err != nil {
		log.Error("the kept snapshot is of no use; waiting for the control plane", "error", err)
	}
	return s, nil
}

// Table returns the compiled registries of an organization; an unknown one, and the empty id of a personal project, has
// an empty table. It waits for the first snapshot that this node ever gets, within ctx.
func (s *Snapshot) Table(ctx context.Context, organizationID string) (*resolve.Table, error) {
	select {
	case <-s.loaded:
	case <-ctx.Done():
		return nil, pierhead.NewProblem(pierhead.ErrUnreachable, "this node has not heard from the control plane yet", "")
	}
	if table := s.current.Load().tables[organizationID]; table != nil {
		return table, nil
	}
	return resolve.Compile(nil)
}

// URL is the control plane's address in references, or "" before the first snapshot.
func (s *Snapshot) URL() string {
	if current := s.current.Load(); current != nil {
		return current.snapshot.URL
	}
	return ""
}

// use makes a snapshot the current one.
func (s *Snapshot) use(snapshot pierhead.Snapshot) error {
	next := &compiled{snapshot: snapshot, tables: make(map[string]*resolve.Table)}
	for _, organization := range snapshot.Organizations {
		table, err := resolve.Compile(organization.Registries)
		if err != nil {
			return fmt.Errorf("registries of %s: %w", organization.Organization.Name, err)
		}
		next.tables[organization.Organization.ID] = table
	}
	if s.current.Swap(next) == nil {
		close(s.loaded)
	}
	return nil
}

// follow asks for newer snapshots until ctx ends. ask answers ok=false when nothing changed while it waited.
func (s *Snapshot) follow(ctx context.Context, ask func(ctx context.Context, after int64, wait time.Duration) (snapshot pierhead.Snapshot, ok bool, err error)) error {
	wait := newBackoff()
	first := true
	for {
		var after int64
		// The first question is for whatever there is: versions count for one control plane's life of its database.
		if current := s.current.Load(); current != nil && !first {
			after = current.snapshot.Version
		}
		asked := time.Now()
		newer, ok, err := ask(ctx, after, snapshotWait)
		if err == nil && ok {
			if err = s.accept(newer); err == nil {
				first = false
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("no newer snapshot; going on with the kept one", "error", err, "hint", pierhead.HintOf(err))
		}
		if err != nil || !ok && time.Since(asked) < tooSoon {
			if err := wait.pause(ctx); err != nil {
				return err
			}
			continue
		}
		wait.reset()
	}
}

func (s *Snapshot) accept(newer pierhead.Snapshot) error {
	if err := s.use(newer); err != nil {
		return err
	}
	text, err := json.Marshal(newer)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := durable.WriteFile(durable.OS{}, s.path, text); err != nil {
		s.log.Error("the snapshot is in use but could not be kept", "error", err)
	}
	return nil
}
