package enginetest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/engine"
)

func testVersion(t *testing.T, b *bench) {
	version, err := b.engine.Version(b.context(t))
	must(t, err)
	if !regexp.MustCompile(`^(docker|podman) \d`).MatchString(version) {
		t.Errorf("the engine calls itself %q", version)
	}
	t.Log(version)
}

func testWrongPassword(t *testing.T, b *bench) {
	source := b.hello
	source.Password = "wrong-" + random(t)
	refused := b.registry.Refused.Load()
	_, err := b.engine.Pull(b.context(t), source)
	if err == nil {
		t.Fatal("an image was pulled with a wrong password")
	}
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("a refused password is neither: %v", err)
	}
	if strings.Contains(err.Error(), source.Password) {
		t.Error("the error has the password in it")
	}
	if b.registry.Refused.Load() == refused {
		t.Error("the registry was not asked")
	}
	t.Log(err)
	source.Username, source.Password = "", ""
	if _, err := b.engine.Pull(b.context(t), source); err == nil {
		t.Error("an image was pulled without a login")
	}
}

func testPull(t *testing.T, b *bench) {
	source := b.hello
	source.Tags = []string{"registry.example.test/team/hello:1", "registry.example.test/team/hello:latest", "registry_5000.example.test/x/y:z"}
	id, err := b.engine.Pull(b.context(t), source)
	must(t, err)
	for _, tag := range append(source.Tags, id) {
		b.named(t, tag, id)
	}
	// The name that it was fetched by is nobody's business.
	// Podman finds an image by any name with its digest, so it is not asked for.
	names := b.Names(t, id)
	if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, b.registry.Host) }) {
		t.Errorf("the loopback name is still there: %q", names)
	}
	again, err := b.engine.Pull(b.context(t), source)
	must(t, err)
	if again != id {
		t.Errorf("pulled again it is %s, before %s", again, id)
	}
	b.named(t, source.Tags[0], id)
}

func (b *bench) named(t *testing.T, name, id string) {
	t.Helper()
	if got, err := b.engine.ImageID(b.context(t), name); err != nil || got != id {
		t.Errorf("%s is %s (%v), want %s", name, got, err, id)
	}
}

func (b *bench) newHello(t *testing.T, repository string) engine.ImageSource {
	t.Helper()
	return b.registry.Push(t, repository, NewImage(t, []string{"/hello"}, []string{"say", "new"}, Entry{Name: "hello", Content: b.program}))
}

func testPullIndex(t *testing.T, b *bench) {
	image := NewImage(t, []string{"/hello"}, []string{"say", "from an index"}, Entry{Name: "hello", Content: b.program})
	source := b.registry.PushIndex(t, "registry.example.test/team/index", NewIndex(t, image))
	id, err := b.engine.Pull(b.context(t), source)
	must(t, err)
	b.named(t, source.Tags[0], id)
	b.says(t, b.create(t, func(spec *engine.Spec) { spec.Image = id }), "from an index\n")
}

func testPullWithoutTags(t *testing.T, b *bench) {
	source := b.newHello(t, "registry.example.test/team/untagged")
	source.Tags = nil
	id, err := b.engine.Pull(b.context(t), source)
	must(t, err)
	b.named(t, source.Reference, id) // its only name
	b.says(t, b.create(t, func(spec *engine.Spec) { spec.Image = id }), "new\n")
}

// A tag that moved on leaves the older image nameless, and an execution may just be about to run it.
func testPullMovesTag(t *testing.T, b *bench) {
	older, newer := b.newHello(t, "registry.example.test/team/moving"), b.newHello(t, "registry.example.test/team/moving")
	olderID, err := b.engine.Pull(b.context(t), older)
	must(t, err)
	newerID, err := b.engine.Pull(b.context(t), newer)
	must(t, err)
	b.named(t, older.Tags[0], newerID)
	b.says(t, b.create(t, func(spec *engine.Spec) { spec.Image = olderID }), "new\n")
}

// Executions of one image start together: each gives and drops the same names.
func testPullAtOnce(t *testing.T, b *bench) {
	source := b.newHello(t, "registry.example.test/team/together")
	other := b.newHello(t, "registry.example.test/team/together") // the same tag, another image
	errs := make(chan error)
	for _, s := range []engine.ImageSource{source, source, other, source, other} {
		go func() {
			id, err := b.engine.Pull(b.context(t), s)
			if err == nil {
				_, err = b.engine.ImageID(b.context(t), id)
			}
			errs <- err
		}()
	}
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// A pull that is given up returns at once, whatever the registry does.
func testPullGivenUp(t *testing.T, b *bench) {
	asked, done := make(chan struct{}, 100), make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-done
	}))
	defer silent.Close()
	defer close(done)
	ctx, cancel := context.WithCancel(b.context(t))
	go func() { <-asked; cancel() }()
	source := b.hello
	_, path, _ := strings.Cut(source.Reference, "/")
	source.Reference = silent.Listener.Addr().String() + "/" + path
	if _, err := b.engine.Pull(ctx, source); !errors.Is(err, context.Canceled) {
		t.Errorf("a pull that was given up says %v", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	source.Reference = closed.Addr().String() + "/" + path
	if _, err := b.engine.Pull(b.context(t), source); err == nil || errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("a registry that is not there is not the engine's absence: %v", err)
	}
}
