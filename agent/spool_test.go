package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead"
)

// Events outlive the process and the control plane's absence, keep their order, and are told apart by their id.
func TestSpoolDeliversEachEventOnceWhateverBreaks(t *testing.T) {
	directory := t.TempDir()
	open := func() *Spool {
		s, err := OpenSpool(directory, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	at := time.Unix(1_800_000_000, 0)
	first := open()
	for i := range 3 {
		first.Record(pierhead.Event{At: at.Add(time.Duration(i)), Kind: "credential.used"})
	}
	second := open() // the process was killed in between
	second.Record(pierhead.Event{At: at.Add(time.Hour), Kind: "pull.failed"})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		second.arrived = make(chan struct{}, 1) // a channel of this bubble
		second.wake()
		seen := make(map[string]bool)
		var kinds []string
		tries := 0
		send := func(_ context.Context, events []pierhead.Event) error {
			for _, event := range events {
				if !seen[event.ID] { // as the control plane does
					kinds = append(kinds, event.Kind)
				}
				seen[event.ID] = true
			}
			if tries++; tries == 1 {
				return errors.New("the answer was lost")
			}
			return nil
		}
		done := make(chan error)
		go func() { done <- second.deliver(ctx, send) }()
		time.Sleep(time.Minute) // of the bubble's clock
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(kinds) != 4 || kinds[3] != "pull.failed" || tries != 2 {
			t.Errorf("%d tries brought %v", tries, kinds)
		}
	})
	if left := open(); len(left.names) != 0 {
		t.Errorf("%d events are still on disk", len(left.names))
	}
}

// One event that the control plane does not take costs no other.
func TestSpoolDropsOnlyWhatIsRefused(t *testing.T) {
	spool, err := OpenSpool(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"a", "bad", "b"} {
		spool.Record(pierhead.Event{Kind: kind})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err = spool.deliver(ctx, func(_ context.Context, events []pierhead.Event) error {
		for _, event := range events {
			if event.Kind == "bad" {
				return pierhead.NewProblem(pierhead.ErrBadInput, "no such kind", "")
			}
		}
		for _, event := range events {
			if got = append(got, event.Kind); event.Kind == "b" {
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(got) != 2 {
		t.Errorf("%v; delivered: %q", err, got)
	}
}
