package enginetest

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/engine"
)

// lines keeps what is written to it and tells who waits for a line.
type lines struct {
	mutex   sync.Mutex
	content bytes.Buffer
	changed chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	n, err := l.content.Write(p)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return n, err
}

func (l *lines) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.content.String()
}

// wait returns when the content has the text.
func (l *lines) wait(ctx context.Context, text string) error {
	for {
		l.mutex.Lock()
		if strings.Contains(l.content.String(), text) {
			l.mutex.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mutex.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q in %q: %w", text, l, ctx.Err())
		}
	}
}

// reads returns when a running container has said a text.
func (b *bench) reads(t *testing.T, id, text string) {
	t.Helper()
	ctx, cancel := context.WithCancel(b.context(t))
	log, ended := &lines{}, make(chan error, 1)
	go func() { ended <- b.engine.Logs(ctx, id, true, log) }()
	must(t, log.wait(ctx, text))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("reading a log that is given up ends with %v", err)
	}
}

func testLogOrder(t *testing.T, b *bench) {
	const n = 200
	id := b.start(t, "order", fmt.Sprint(n))
	log := &lines{}
	must(t, b.engine.Logs(b.context(t), id, true, log))
	_, again := b.finish(t, id)
	for _, text := range []string{log.String(), again} {
		// Each stream's order is the program's; how the two mix is the engine's, and the same every time.
		var streams = map[string]int{}
		for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			stream, number, _ := strings.Cut(line, " ")
			if number != fmt.Sprint(streams[stream]) {
				t.Fatalf("line %q comes after %d of its stream", line, streams[stream])
			}
			streams[stream]++
		}
		if streams["out"] != n || streams["err"] != n || len(streams) != 2 {
			t.Errorf("there are %v lines", streams)
		}
	}
	if log.String() != again {
		t.Error("the log that was followed differs from the one read afterwards")
	}
}

func testLogOdd(t *testing.T, b *bench) {
	want := "progress 1%\rprogress 100%\r\n\n" + strings.Repeat("x", 100_000) + "\ntab\tand ümläut\nno newline at the end"
	id := b.start(t, "odd")
	followed := &lines{}
	must(t, b.engine.Logs(b.context(t), id, true, followed))
	_, again := b.finish(t, id)
	for how, got := range map[string]string{"followed": followed.String(), "afterwards": again} {
		if got != want {
			t.Errorf("%s: %d bytes, want %d; begins %.60q, ends %.60q", how, len(got), len(want), got, got[max(0, len(got)-60):])
		}
	}
}

func testLogLong(t *testing.T, b *bench) {
	const n = 100_000
	var want bytes.Buffer
	for i := range n {
		fmt.Fprintf(&want, "line %07d of a long log\n", i)
	}
	id := b.start(t, "long", fmt.Sprint(n))
	var followed bytes.Buffer
	must(t, b.engine.Logs(b.context(t), id, true, &followed))
	_, again := b.finish(t, id)
	for how, got := range map[string]string{"followed": followed.String(), "afterwards": again} {
		if got != want.String() {
			t.Errorf("%s: %d bytes of log, want %d, or others", how, len(got), want.Len())
		}
	}
}

func testLogFollow(t *testing.T, b *bench) {
	dir := t.TempDir()
	id := b.create(t, func(spec *engine.Spec) {
		spec.Mounts = []engine.Mount{{Source: dir, Destination: "/signal"}}
		spec.Command = []string{"until", "/signal/go"}
	})
	ctx := b.context(t)
	must(t, b.engine.Start(ctx, id))
	log, ended := &lines{}, make(chan error, 1)
	go func() { ended <- b.engine.Logs(ctx, id, true, log) }()
	must(t, log.wait(ctx, "first\n")) // it is there while the container runs
	if log.String() != "first\n" {
		t.Errorf("while it runs the log is %q", log)
	}
	var so strings.Builder
	must(t, b.engine.Logs(ctx, id, false, &so)) // without follow it is what there is so far
	if so.String() != "first\n" {
		t.Errorf("so far the log is %q", so.String())
	}
	must(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	begun := time.Now()
	must(t, <-ended)
	if log.String() != "first\nsecond\n" {
		t.Errorf("at its end the log is %q", log)
	}
	t.Logf("the log ended %s after the container was told to", time.Since(begun).Round(time.Millisecond))
	if state, err := b.engine.Find(ctx, id); err != nil || !state.Exited {
		t.Errorf("the log ended and the container is %+v, %v", state, err)
	}
}

func testLogGivenUp(t *testing.T, b *bench) {
	id := b.start(t, "polite")
	b.reads(t, id, "ready\n")
	ctx, cancel := context.WithCancel(b.context(t))
	ended := make(chan error, 1)
	go func() { _, err := b.engine.Wait(ctx, id); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is given up ends with %v", err)
	}
	broken := errors.New("the reader is gone")
	if err := b.engine.Logs(b.context(t), id, false, writer(func([]byte) (int, error) { return 0, broken })); err == nil {
		t.Error("a log that could not be written is no error")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// A container outlives the client, and the engine's service where it can be ended by itself; another client finds it
// by its name and reads its whole log.
func testOutlives(t *testing.T, b *bench) {
	dir := t.TempDir()
	spec := engine.Spec{
		Name: "pier-test-" + random(t), Image: b.image(t), Command: []string{"until", "/signal/go"},
		Mounts: []engine.Mount{{Source: dir, Destination: "/signal"}},
	}
	ctx := b.context(t)
	id, err := b.engine.Create(ctx, spec)
	must(t, err)
	defer func() { b.remove(t, id) }()
	must(t, b.engine.Start(ctx, id))
	log, ended := &lines{}, make(chan error, 1)
	go func() { ended <- b.engine.Logs(ctx, id, true, log) }()
	must(t, log.wait(ctx, "first\n"))
	if b.Restart != nil {
		b.Restart(t)
		// The container runs, so its log has not ended, whatever the service did.
		if err := <-ended; !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("the log of a running container ended with %v when the service did", err)
		}
	}
	b.engine = b.Open(t)
	found, err := b.engine.Find(ctx, spec.Name)
	must(t, err)
	if found.ID != id || !found.Running {
		t.Fatalf("found again: %+v", found)
	}
	must(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	again := &lines{}
	must(t, b.engine.Logs(ctx, id, true, again))
	state, _ := b.finish(t, id)
	if again.String() != "first\nsecond\n" || !state.Exited || state.ExitCode != 0 {
		t.Errorf("at its end: %+v, %q", state, again)
	}
}

// static tells a program that needs no library: it names no interpreter.
func static(content []byte) bool {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return false
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
