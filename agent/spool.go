package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/ids"
)

// maxSpooled bounds the spool when the control plane is away for long; the oldest go first, and that is logged.
const maxSpooled = 100_000

// eventBatch is how many events go in one request.
const eventBatch = 500

// A Spool keeps events on disk until the control plane has them. Every event has an id of its own, by which the control
// plane knows a second delivery; so each counts once whatever breaks in between.
type Spool struct {
	directory string
	log       *slog.Logger
	mu        sync.Mutex
	names     []string // file names, oldest first
	arrived   chan struct{}
}

// OpenSpool opens the spool in a directory, with what an earlier start left in it.
func OpenSpool(directory string, log *slog.Logger) (*Spool, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("event spool: %w", err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("event spool: %w", err)
	}
	s := &Spool{directory: directory, log: log, arrived: make(chan struct{}, 1)}
	for _, entry := range entries { // sorted by name, and names begin with the time
		if strings.HasSuffix(entry.Name(), ".json") {
			s.names = append(s.names, entry.Name())
		}
	}
	s.wake()
	return s, nil
}

// Record keeps an event for delivery. An event that cannot be kept is logged: it must not stop a pull.
func (s *Spool) Record(event pierhead.Event) {
	event.ID = ids.New("evt")
	text, err := json.Marshal(event)
	if err == nil {
		name := fmt.Sprintf("%020d-%s.json", event.At.UnixNano(), event.ID)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err = durable.WriteFile(durable.OS{}, filepath.Join(s.directory, name), text); err == nil {
			s.names = append(s.names, name)
			s.trim()
			s.wake()
			return
		}
	}
	s.log.Error("an event could not be kept", "kind", event.Kind, "error", err)
}

func (s *Spool) trim() {
	for len(s.names) > maxSpooled {
		s.log.Error("the event spool is full; the oldest event is dropped", "event", s.names[0])
		os.Remove(filepath.Join(s.directory, s.names[0]))
		s.names = s.names[1:]
	}
}

func (s *Spool) wake() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// deliver hands events to send, oldest first, until ctx ends.
func (s *Spool) deliver(ctx context.Context, send func(context.Context, []pierhead.Event) error) error {
	wait := newBackoff()
	for {
		names, events := s.batch()
		if len(names) == 0 {
			select {
			case <-s.arrived:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := send(ctx, events)
		if permanent(err) {
			err = s.oneByOne(ctx, events, send)
		}
		if err != nil {
			if err := wait.pause(ctx); err != nil {
				return err
			}
			continue
		}
		wait.reset()
		s.drop(names)
	}
}

// oneByOne drops, of events that are refused together, those that are refused alone too.
func (s *Spool) oneByOne(ctx context.Context, events []pierhead.Event, send func(context.Context, []pierhead.Event) error) error {
	for _, event := range events {
		err := send(ctx, []pierhead.Event{event})
		if err != nil && !permanent(err) {
			return err
		}
		if err != nil {
			s.log.Error("the control plane refuses an event; it is dropped", "event", event.ID, "kind", event.Kind, "error", err)
		}
	}
	return nil
}

func (s *Spool) batch() (names []string, events []pierhead.Event) {
	s.mu.Lock()
	names = slices.Clone(s.names[:min(len(s.names), eventBatch)])
	s.mu.Unlock()
	for _, name := range names {
		var event pierhead.Event
		text, err := os.ReadFile(filepath.Join(s.directory, name))
		if err == nil {
			err = json.Unmarshal(text, &event)
		}
		if err != nil {
			s.log.Error("a spooled event is unreadable and dropped", "event", name, "error", err)
			continue
		}
		events = append(events, event)
	}
	return names, events
}

func (s *Spool) drop(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		os.Remove(filepath.Join(s.directory, name))
	}
	s.names = slices.DeleteFunc(s.names, func(name string) bool { return slices.Contains(names, name) })
}
