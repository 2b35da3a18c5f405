// Package enginetest says what every engine.Engine must do, with real containers. It is for the tests of engines, and its
// registry and images are for whoever tests with one.
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"pierhead.dev/pierhead/engine"
)

// patience is how long one of the tests may take when the machine is busy; none needs a tenth of it.
const patience = 60 * time.Second

// A Harness is an engine to be tested.
type Harness struct {
	// Open returns a new client of the engine. The test closes nothing; t.Cleanup may.
	Open func(t *testing.T) engine.Engine
	// Names returns all names that the engine has for an image, with tags and with digests.
	Names func(t *testing.T, image string) []string
	// Restart ends the engine's service without ending its containers, and returns when a new one answers. Nil where
	// that is not possible.
	Restart func(t *testing.T)
	// Shell is a static busybox, or nil for no tests with a shell.
	Shell []byte
	// Simulated says that nothing really runs: the tests of what only the kernel can give (Isolation) and of a real
	// shell (Shell) are left out, and no program is built.
	Simulated bool
	// Network says that containers have more than a loopback.
	Network bool
}

// bench is what the tests share: an engine, a registry, and images in both.
type bench struct {
	Harness
	engine   engine.Engine
	registry *Registry
	hello    engine.ImageSource
	helloID  string
	program  []byte
}

// Run tests an engine. It leaves no container; images stay in the engine.
func Run(t *testing.T, harness Harness) {
	b := &bench{Harness: harness, engine: harness.Open(t), registry: NewRegistry(t), program: []byte("simulated")}
	if !harness.Simulated {
		b.program = HelloProgram(t)
	}
	image := NewImage(t, []string{"/hello"}, []string{"say", "hello"}, Entry{Name: "hello", Content: b.program})
	b.hello = b.registry.Push(t, "registry.example.test/team/hello", image)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Version", testVersion},
		{"WrongPassword", testWrongPassword},
		{"Pull", testPull},
		{"PullIndex", testPullIndex},
		{"PullWithoutTags", testPullWithoutTags},
		{"PullMovesTag", testPullMovesTag},
		{"PullAtOnce", testPullAtOnce},
		{"PullGivenUp", testPullGivenUp},
		{"Run", testRun},
		{"Argv", testArgv},
		{"ExitCode", testExitCode},
		{"Environment", testEnvironment},
		{"Mounts", testMounts},
		{"Isolation", testIsolation},
		{"LogOrder", testLogOrder},
		{"LogOdd", testLogOdd},
		{"LogLong", testLogLong},
		{"LogFollow", testLogFollow},
		{"LogGivenUp", testLogGivenUp},
		{"Stop", testStop},
		{"NoCommand", testNoCommand},
		{"NotFound", testNotFound},
		{"Shell", testShell},
		{"Outlives", testOutlives},
	} {
		if harness.Simulated && (test.name == "Isolation" || test.name == "Shell") {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			begun := time.Now()
			test.run(t, b)
			t.Logf("%s took %s", test.name, time.Since(begun).Round(time.Millisecond))
		})
	}
}

func (b *bench) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// image is the id of the hello image, pulled when it is needed first.
func (b *bench) image(t *testing.T) string {
	t.Helper()
	if b.helloID == "" {
		id, err := b.engine.Pull(b.context(t), b.hello)
		must(t, err)
		b.helloID = id
	}
	return b.helloID
}

// create makes a container of the hello image that is removed at the end of the test.
func (b *bench) create(t *testing.T, change func(*engine.Spec)) string {
	t.Helper()
	spec := engine.Spec{Name: "pier-test-" + random(t), Image: b.image(t), Labels: map[string]string{"dev.pierhead.test": "a=b"}}
	change(&spec)
	id, err := b.engine.Create(b.context(t), spec)
	must(t, err)
	t.Cleanup(func() { b.remove(t, id) })
	return id
}

func (b *bench) remove(t *testing.T, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own is over
	defer cancel()
	err := b.engine.Stop(ctx, id, 0)
	if err == nil {
		err = b.engine.Remove(ctx, id)
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("removing a container at the end: %v", err)
	}
}

// start makes and starts a container of the hello program with arguments.
func (b *bench) start(t *testing.T, arguments ...string) string {
	t.Helper()
	id := b.create(t, func(spec *engine.Spec) { spec.Command = arguments })
	must(t, b.engine.Start(b.context(t), id))
	return id
}

// finish waits for a container and returns how it ended and what it said.
func (b *bench) finish(t *testing.T, id string) (engine.State, string) {
	t.Helper()
	state, err := b.engine.Wait(b.context(t), id)
	must(t, err)
	var log bytes.Buffer
	must(t, b.engine.Logs(b.context(t), id, false, &log))
	return state, log.String()
}

// says runs a container to its end and compares what it said.
func (b *bench) says(t *testing.T, id, want string) {
	t.Helper()
	must(t, b.engine.Start(b.context(t), id))
	state, log := b.finish(t, id)
	if log != want || !state.Exited || state.Running || state.ExitCode != 0 {
		t.Errorf("the container said %q, want %q; it ended with %+v", log, want, state)
	}
}

// Busybox is the static busybox of this machine. Without one the tests with a shell are left out, which says why, and
// fails where CI is set.
func Busybox(t *testing.T) []byte {
	t.Helper()
	for _, place := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if content, err := os.ReadFile(place); err == nil && static(content) {
			return content
		}
	}
	return nil
}
