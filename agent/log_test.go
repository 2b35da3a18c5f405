package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"pierhead.dev/pierhead"
)

func logOf(t *testing.T) *executionLog {
	t.Helper()
	l, err := openLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A server that is away, forgets, and already has a part gets every byte once.
func TestLogIsShippedFromWhereTheServerStands(t *testing.T) {
	l := logOf(t)
	text := strings.Repeat("0123456789abcdef", 100_000)
	if _, err := l.Write([]byte(text[:1000])); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		server := []byte(text[:300]) // of an earlier start
		calls := 0
		send := func(_ context.Context, offset int64, data []byte) (int64, error) {
			calls++
			switch {
			case calls%3 == 0:
				return 0, errors.New("away")
			case offset > int64(len(server)):
				t.Errorf("a gap: offset %d, the server has %d", offset, len(server))
			}
			if have := int64(len(server)) - offset; have < int64(len(data)) {
				server = append(server, data[have:]...)
			}
			return int64(len(server)), nil
		}
		done := make(chan error)
		go func() { done <- l.ship(t.Context(), send) }()
		if _, err := l.Write([]byte(text[1000:])); err != nil {
			t.Fatal(err)
		}
		l.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if string(server) != text {
			t.Errorf("the server has %d bytes, not the %d that were written", len(server), len(text))
		}
	})
}

func TestLogShippingEndsWithItsContextAndWithADeletedExecution(t *testing.T) {
	l := logOf(t)
	if err := l.Note("a line"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	away := func(context.Context, int64, []byte) (int64, error) { return 0, errors.New("away") }
	if err := l.ship(ctx, away); !errors.Is(err, context.Canceled) {
		t.Errorf("ship with an ended context: %v", err)
	}
	gone := func(context.Context, int64, []byte) (int64, error) {
		return 0, pierhead.NewProblem(pierhead.ErrNotFound, "no such execution", "")
	}
	if err := l.ship(t.Context(), gone); !errors.Is(err, pierhead.ErrNotFound) {
		t.Errorf("ship of a deleted execution: %v", err)
	}
}

// A server that was set back to a backup has less than it said: it gets the log from the beginning, once.
func TestLogIsShippedAgainToAServerThatWasSetBack(t *testing.T) {
	l := logOf(t)
	text := strings.Repeat("0123456789abcdef", 50_000)
	if _, err := l.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	l.End()
	var server []byte
	setBack := 0
	send := func(_ context.Context, offset int64, data []byte) (int64, error) {
		if len(server) > 0 && setBack < 1 || setBack > 1 {
			setBack++
			server = server[:100]
		}
		if offset > int64(len(server)) {
			return 0, pierhead.NewProblem(pierhead.ErrConflict, "a gap", "")
		}
		if have := int64(len(server)) - offset; have < int64(len(data)) {
			server = append(server, data[have:]...)
		}
		return int64(len(server)), nil
	}
	if err := l.ship(t.Context(), send); err != nil || string(server) != text {
		t.Errorf("%v; the server has %d bytes of %d", err, len(server), len(text))
	}
	setBack, server = 2, server[:0]
	server = append(server, text[:200]...)
	if err := l.ship(t.Context(), send); !errors.Is(err, pierhead.ErrConflict) {
		t.Errorf("a server that always conflicts: %v", err)
	}
}

// A log that is too long keeps its end as well as its beginning: there stands why the program failed.
func TestLogIsBounded(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	for _, test := range []struct {
		name, written, end string
		dropped            int64
	}{
		{"the end fits", "abcdef", "abcdef", 3},
		{"lines are left out", strings.Repeat(line, 30_000) + "Traceback", "are left out here.]\n" + strings.Repeat(line, maxTail/100) + "Traceback", 3_000_006},
		{"no lines", strings.Repeat("y", 3_000_000), "are left out here.]\n" + strings.Repeat("y", maxTail), 2_999_997},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := logOf(t)
			l.size = maxLog - 3
			for rest := test.written; rest != ""; rest = rest[min(len(rest), 32<<10):] {
				part := []byte(rest[:min(len(rest), 32<<10)])
				if n, err := l.Write(part); n != len(part) || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			if l.Size() != maxLog || l.Dropped() != test.dropped {
				t.Errorf("size %d, dropped %d, want %d", l.Size(), l.Dropped(), test.dropped)
			}
			if err := l.Finish(); err != nil {
				t.Fatal(err)
			}
			kept := make([]byte, l.Size()-maxLog+3)
			if _, err := l.file.ReadAt(kept, maxLog-3); err != nil || !strings.HasSuffix(string(kept), test.end) {
				t.Errorf("%v; it ends in %q", err, kept[max(0, len(kept)-200):])
			}
			if err := l.Note("still said"); err != nil || l.Size() > 64<<20 {
				t.Errorf("a note in a full log: %v, size %d", err, l.Size())
			}
		})
	}
}
