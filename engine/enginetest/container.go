package enginetest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/engine"
)

func testRun(t *testing.T, b *bench) {
	ctx, begun := b.context(t), time.Now().Add(-time.Second)
	spec := engine.Spec{Name: "pier-test-" + random(t), Image: b.image(t), Labels: map[string]string{"dev.pierhead.test": "1"}}
	id, err := b.engine.Create(ctx, spec)
	must(t, err)
	defer b.remove(t, id)
	created, err := b.engine.Find(ctx, spec.Name)
	must(t, err)
	if created.ID != id || created.Running || created.Exited || !created.StartedAt.IsZero() {
		t.Errorf("before its start: %+v", created)
	}
	if _, err := b.engine.Create(ctx, spec); err == nil {
		t.Error("a second container got the same name")
	}
	must(t, b.engine.Start(ctx, id))
	state, log := b.finish(t, id)
	if log != "hello\n" {
		t.Errorf("it said %q", log)
	}
	if !state.Exited || state.Running || state.ExitCode != 0 || state.OOMKilled || state.ID != id {
		t.Errorf("at its end: %+v", state)
	}
	if state.StartedAt.Before(begun) || state.FinishedAt.Before(state.StartedAt) {
		t.Errorf("it ran from %s to %s", state.StartedAt, state.FinishedAt)
	}
	if again, err := b.engine.Wait(ctx, id); err != nil || !again.Exited {
		t.Errorf("waiting for what has ended: %+v, %v", again, err)
	}
	must(t, b.engine.Stop(ctx, id, time.Second))
	must(t, b.engine.Remove(ctx, id))
	if _, err := b.engine.Find(ctx, spec.Name); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
}

func testArgv(t *testing.T, b *bench) {
	for name, c := range map[string]struct {
		entrypoint, command []string
		want                string
	}{
		"of the image":       {nil, nil, "hello\n"},
		"command":            {nil, []string{"say", "a", "", "b c", "$HOME"}, "a  b c $HOME\n"},
		"entrypoint":         {[]string{"/hello", "say"}, []string{"x"}, "x\n"},
		"entrypoint alone":   {[]string{"/hello"}, nil, "no arguments\n"},
		"no entrypoint":      {[]string{}, []string{"/hello", "say", "y"}, "y\n"},
		"no entrypoint, one": {[]string{}, []string{"/hello"}, "no arguments\n"},
		"looks like JSON":    {nil, []string{"say", `["a","b"]`, "{}"}, `["a","b"] {}` + "\n"},
		"looks like a flag":  {[]string{"/hello", "say", "--"}, []string{"--privileged"}, "-- --privileged\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b.says(t, b.create(t, func(spec *engine.Spec) { spec.Entrypoint, spec.Command = c.entrypoint, c.command }), c.want)
		})
	}
}

func testExitCode(t *testing.T, b *bench) {
	for _, code := range []string{"1", "7", "255"} {
		state, _ := b.finish(t, b.start(t, "exit", code))
		if !state.Exited || state.ExitCode != map[string]int{"1": 1, "7": 7, "255": 255}[code] {
			t.Errorf("exit %s gives %+v", code, state)
		}
	}
}

func testEnvironment(t *testing.T, b *bench) {
	id := b.create(t, func(spec *engine.Spec) {
		spec.Environment = []string{"CHANGED=yes", "EMPTY=", "MANY=a=b, c\nd\"e\"", "ÜMLAUT=ü"}
		spec.Command = []string{"env", "OF_THE_IMAGE", "CHANGED", "EMPTY", "MANY", "ÜMLAUT", "PIER_TEST_ENGINE", "HTTP_PROXY"}
	})
	b.says(t, id, "OF_THE_IMAGE=1 set=true\nCHANGED=yes set=true\nEMPTY= set=true\nMANY=a=b, c\nd\"e\" set=true\nÜMLAUT=ü set=true\n"+
		"PIER_TEST_ENGINE= set=false\nHTTP_PROXY= set=false\n")
	// Podman would give it the engine's own variable.
	for _, variable := range []string{"PATH", "P*", "=x"} {
		_, err := b.engine.Create(b.context(t), engine.Spec{Name: "pier-test-" + random(t), Image: b.image(t), Environment: []string{variable}})
		if err == nil {
			t.Errorf("a container was made with the environment entry %q", variable)
		}
	}
}

func testMounts(t *testing.T, b *bench) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "given"), []byte("from the node "), 0o644))
	with := func(readOnly bool, command ...string) string {
		return b.create(t, func(spec *engine.Spec) {
			spec.Mounts = []engine.Mount{{Source: dir, Destination: "/data of it", ReadOnly: readOnly}}
			spec.Command = command
		})
	}
	b.says(t, with(true, "read", "/data of it/given"), "from the node <nil>\n")
	b.says(t, with(true, "write", "/data of it/new", "x"), "open /data of it/new: read-only file system\n")
	b.says(t, with(false, "write", "/data of it/new", "result"), "<nil>\n")
	if content, err := os.ReadFile(filepath.Join(dir, "new")); string(content) != "result" {
		t.Errorf("on the node it reads %q (%v)", content, err)
	}
	missing := filepath.Join(dir, "missing")
	for _, m := range []engine.Mount{
		{Source: missing, Destination: "/data"},
		{Source: dir, Destination: "/data,source=/etc"}, // Podman would mount /etc
		{Source: dir, Destination: "/data,ro=false", ReadOnly: true},
		{Source: dir, Destination: "relative"},
	} {
		spec := engine.Spec{Name: "pier-test-" + random(t), Image: b.image(t), Mounts: []engine.Mount{m}}
		id, err := b.engine.Create(b.context(t), spec)
		if err == nil {
			t.Errorf("a container was made with the mount %+v", m)
			b.remove(t, id)
		}
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a missing directory was made on the node")
	}
}

// The host's processes, name and network are not the container's.
func testIsolation(t *testing.T, b *bench) {
	host, err := os.Hostname()
	must(t, err)
	_, log := b.finish(t, b.start(t, "id"))
	pid, name, _ := strings.Cut(strings.TrimSpace(log), " ")
	if pid != "1" || name == host {
		t.Errorf("the container sees itself as process %s on %s", pid, name)
	}
	_, log = b.finish(t, b.start(t, "interfaces"))
	bridged := false
	for _, name := range strings.Fields(log) {
		bridged = bridged || strings.HasPrefix(name, "eth")
		if name != "lo" && !strings.HasPrefix(name, "eth") {
			t.Errorf("the container sees the interface %s", name)
		}
	}
	if bridged != b.Network {
		t.Errorf("the container has these interfaces: %q", log)
	}
}

func testStop(t *testing.T, b *bench) {
	ctx := b.context(t)
	polite := b.start(t, "polite")
	b.reads(t, polite, "ready")
	if state, err := b.engine.Find(ctx, polite); err != nil || !state.Running || state.Exited {
		t.Errorf("while it runs: %+v, %v", state, err)
	}
	if err := b.engine.Remove(ctx, polite); err == nil {
		t.Error("a running container was removed")
	}
	must(t, b.engine.Stop(ctx, polite, 20*time.Second))
	if state, log := b.finish(t, polite); !state.Exited || state.ExitCode != 3 || log != "ready\nasked to end\n" {
		t.Errorf("asked to end: %+v, %q", state, log)
	}
	stubborn := b.start(t, "stubborn")
	b.reads(t, stubborn, "ready")
	begun := time.Now()
	must(t, b.engine.Stop(ctx, stubborn, 300*time.Millisecond))
	if state, log := b.finish(t, stubborn); !state.Exited || state.ExitCode != 137 || log != "ready\nasked to end\n" {
		t.Errorf("killed: %+v, %q", state, log)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("the kill took %s", took)
	}
	must(t, b.engine.Stop(ctx, stubborn, 0))                                                   // it has ended
	must(t, b.engine.Stop(ctx, b.create(t, func(s *engine.Spec) {}), 0))                       // it never ran
	if err := b.engine.Stop(ctx, "pier-test-nobody", 0); !errors.Is(err, engine.ErrNotFound) { // it never was
		t.Errorf("stopping what is not there: %v", err)
	}
}

func testNoCommand(t *testing.T, b *bench) {
	for _, argv := range [][]string{{"/bin/missing"}, {"missing", "argument"}, {"sh", "-ec", "true"}} {
		id := b.create(t, func(spec *engine.Spec) { spec.Entrypoint, spec.Command = []string{}, argv })
		err := b.engine.Start(b.context(t), id)
		if !errors.Is(err, engine.ErrNoCommand) {
			t.Errorf("%q gives %v", argv, err)
		}
		state, err := b.engine.Find(b.context(t), id)
		if err != nil || state.Running || state.Exited {
			t.Errorf("after the start of %q: %+v, %v", argv, state, err)
		}
	}
	// What else is missing is not the command.
	dir := t.TempDir()
	id := b.create(t, func(spec *engine.Spec) { spec.Mounts = []engine.Mount{{Source: dir, Destination: "/data"}} })
	must(t, os.Remove(dir))
	err := b.engine.Start(b.context(t), id)
	if err == nil || errors.Is(err, engine.ErrNoCommand) || errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a mount that vanished gives %v", err)
	}
}

func testNotFound(t *testing.T, b *bench) {
	ctx, nobody := b.context(t), "pier-test-nobody"
	_, imageErr := b.engine.ImageID(ctx, "registry.example.test/no/such:image")
	_, findErr := b.engine.Find(ctx, nobody)
	_, waitErr := b.engine.Wait(ctx, nobody)
	_, createErr := b.engine.Create(ctx, engine.Spec{Name: "pier-test-" + random(t), Image: "sha256:" + strings.Repeat("0", 64)})
	for what, err := range map[string]error{
		"image": imageErr, "find": findErr, "wait": waitErr, "create": createErr,
		"start": b.engine.Start(ctx, nobody), "remove": b.engine.Remove(ctx, nobody),
		"logs": b.engine.Logs(ctx, nobody, false, &lines{}), "follow": b.engine.Logs(ctx, nobody, true, &lines{}),
	} {
		if !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// How executions run several lines: `sh -ec`, in an image that has a shell.
func testShell(t *testing.T, b *bench) {
	if b.Shell == nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no static busybox here: install busybox-static")
		}
		t.Skip("there is no static busybox here: install busybox-static")
	}
	image := NewImage(t, nil, []string{"/bin/sh"}, Entry{Name: "bin/busybox", Content: b.Shell}, Entry{Name: "bin/sh", Link: "busybox"})
	id, err := b.engine.Pull(b.context(t), b.registry.Push(t, "registry.example.test/team/shell", image))
	must(t, err)
	script := "echo one; X=two\necho $X\nfalse\necho three"
	container := b.create(t, func(spec *engine.Spec) { spec.Image, spec.Command = id, []string{"sh", "-ec", script} })
	must(t, b.engine.Start(b.context(t), container))
	if state, log := b.finish(t, container); state.ExitCode != 1 || log != "one\ntwo\n" {
		t.Errorf("it ended with %d and said %q", state.ExitCode, log)
	}
}
