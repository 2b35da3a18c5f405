package docker

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"

	"pierhead.dev/pierhead/engine"
)

func TestVersion(t *testing.T) {
	for want, f := range map[string]*fake{"podman 4.3.1": newPodman(t), "docker 1.2.3": newDocker(t)} {
		if got, err := f.engine(t).Version(t.Context()); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	f := newDocker(t)
	f.answer("/", http.StatusNotFound, message("no such thing"))
	f.answer("GET /v1.41/containers/broken/json", http.StatusInternalServerError, message("database is locked"))
	f.HandleFunc("GET /v1.41/containers/cut/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{"))
	})
	f.HandleFunc("GET /v1.41/containers/slow/json", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	e := f.engine(t)

	_, err := e.Find(t.Context(), "missing")
	if !errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), "looking for container missing") || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("404 gives %v", err)
	}
	_, err = e.Find(t.Context(), "broken")
	if err == nil || errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrUnreachable) || err.Error() != "looking for container broken: database is locked" {
		t.Errorf("500 gives %v", err)
	}
	if _, err = e.Find(t.Context(), "cut"); !errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("an answer that broke off gives %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err = e.Find(ctx, "slow"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("a deadline gives %v", err)
	}
	f.server.CloseClientConnections()
	f.server.Close()
	for _, err := range []error{
		e.Start(t.Context(), "x"), e.Remove(t.Context(), "x"), e.Stop(t.Context(), "x", 0),
		e.Logs(t.Context(), "x", true, &strings.Builder{}),
	} {
		if !errors.Is(err, engine.ErrUnreachable) || !strings.Contains(err.Error(), f.socket) {
			t.Errorf("an engine that is gone gives %v", err)
		}
	}
}

// What engines were seen to say, and what it means.
func TestStartErrors(t *testing.T) {
	for words, isNoCommand := range map[string]bool{
		`failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown`:                                        true,
		`runc: runc create failed: unable to start container process: exec: "/bin/missing": stat /bin/missing: no such file or directory: OCI runtime attempted to invoke a command that was not found`:                  true,
		`crun: executable file ` + "`nope`" + ` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found`:                                                             true,
		`crun: executable file '/nope' not found: No such file or directory: OCI runtime attempted to invoke a command that was not found`:                                                                               true,
		`crun: cannot stat ` + "`/tmp/gone`" + `: No such file or directory: OCI runtime attempted to invoke a command that was not found`:                                                                               false,
		`OCI runtime create failed: runc create failed: unable to start container process: error mounting "/tmp/gone" to rootfs at "/data": stat /tmp/gone: no such file or directory: unknown`:                          false,
		`runc: runc create failed: unable to start container process: exec: "/etc/passwd": permission denied: OCI permission denied`:                                                                                     false,
		`crun: open executable: Permission denied: OCI permission denied`:                                                                                                                                                false,
		`runc: runc create failed: unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted: OCI permission denied`: false,
	} {
		f := newPodman(t)
		f.answer("POST /v1.41/containers/x/start", http.StatusInternalServerError, message(words))
		err := f.engine(t).Start(t.Context(), "x")
		if denied := strings.Contains(words, "\"/etc/passwd\": permission denied") || strings.Contains(words, "open executable"); errors.Is(err, engine.ErrNotExecutable) != denied {
			t.Errorf("%s: %v", words, err)
		}
		if err == nil || errors.Is(err, engine.ErrNoCommand) != isNoCommand || !strings.Contains(err.Error(), words) {
			t.Errorf("%s\ngives %v", words, err)
		}
	}
}

// created returns what Create sends for a container.
func created(t *testing.T, f *fake, spec engine.Spec) container.CreateRequest {
	t.Helper()
	var sent container.CreateRequest
	f.HandleFunc("POST /v1.41/containers/create", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"Id":"new"}`))
	})
	if id, err := f.engine(t).Create(t.Context(), spec); id != "new" || err != nil {
		t.Fatalf("creating gives %q, %v", id, err)
	}
	return sent
}

func TestCreateIsSafe(t *testing.T) {
	dir := t.TempDir()
	spec := engine.Spec{
		Name: "pier-x", Image: "sha256:1", Labels: map[string]string{"a": "b"}, Environment: []string{"A="},
		Mounts: []engine.Mount{{Source: dir, Destination: "/data", ReadOnly: true}},
	}
	for log, f := range map[string]*fake{"json-file": newDocker(t), "k8s-file": newPodman(t)} {
		sent := created(t, f, spec)
		h := sent.HostConfig
		if h.Privileged || h.NetworkMode != "bridge" || h.IpcMode != "private" || h.PidMode == "host" || h.UTSMode == "host" || h.UsernsMode == "host" ||
			len(h.CapAdd)+len(h.SecurityOpt)+len(h.Devices)+len(h.Binds) > 0 || h.AutoRemove {
			t.Errorf("%s: %+v", log, h)
		}
		if h.RestartPolicy.Name != "no" || h.LogConfig.Type != log || h.LogConfig.Config["max-size"] != unlimitedLog {
			t.Errorf("%s: restart %+v, log %+v", log, h.RestartPolicy, h.LogConfig)
		}
		if len(h.Mounts) != 1 || h.Mounts[0].Type != "bind" || !h.Mounts[0].ReadOnly || h.Mounts[0].BindOptions.Propagation != "rprivate" {
			t.Errorf("%s: mounts %+v", log, h.Mounts)
		}
		if sent.Tty || sent.OpenStdin || sent.Healthcheck.Test[0] != "NONE" || sent.Image != "sha256:1" || sent.Labels["a"] != "b" || sent.Env[0] != "A=" {
			t.Errorf("%s: %+v", log, sent.Config)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	e := newPodman(t).engine(t) // nothing is sent to it
	for name, spec := range map[string]engine.Spec{
		"a variable of the engine's": {Environment: []string{"PATH"}},
		"all of the engine's":        {Environment: []string{"*"}},
		"an unnamed variable":        {Environment: []string{"=x"}},
		"a second source":            {Mounts: []engine.Mount{{Source: dir, Destination: "/data,source=/etc"}}},
		"a quote":                    {Mounts: []engine.Mount{{Source: dir, Destination: `/data"`}}},
		"a line":                     {Mounts: []engine.Mount{{Source: dir, Destination: "/data\n"}}},
		"a relative path":            {Mounts: []engine.Mount{{Source: ".", Destination: "/data"}}},
		"a missing source":           {Mounts: []engine.Mount{{Source: filepath.Join(dir, "missing"), Destination: "/data"}}},
		"nothing to run":             {Entrypoint: []string{}},
	} {
		if _, err := e.Create(t.Context(), spec); err == nil || strings.Contains(err.Error(), "404") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New("unix:///x", Config{Network: "host"}); err == nil {
		t.Error("the host's network can be asked for")
	}
}

func TestState(t *testing.T) {
	for status, want := range map[string]engine.State{
		"created": {}, "configured": {}, "initialized": {},
		"running": {Running: true}, "paused": {Running: true}, "stopping": {Running: true}, "restarting": {Running: true},
		"exited": {Exited: true, ExitCode: 127}, "stopped": {Exited: true, ExitCode: 127}, "dead": {Exited: true, ExitCode: 127},
	} {
		got := state(container.InspectResponse{State: &container.State{
			Status: container.ContainerState(status), ExitCode: 127, StartedAt: "0001-01-01T00:00:00Z", FinishedAt: "",
		}})
		if got != want {
			t.Errorf("%s gives %+v, want %+v", status, got, want)
		}
	}
	got := state(container.InspectResponse{ID: "x", State: &container.State{
		Status: "exited", OOMKilled: true, StartedAt: "2026-01-02T03:04:05.5Z", FinishedAt: "2026-01-02T03:04:05.1+00:00",
	}})
	if !got.OOMKilled || got.FinishedAt.Before(got.StartedAt) || got.StartedAt.Nanosecond() != 5e8 {
		t.Errorf("got %+v", got)
	}
	if got := state(container.InspectResponse{ID: "x"}); got.ID != "x" || got.Running || got.Exited {
		t.Errorf("without a state: %+v", got)
	}
}

// Podman 4's compatible wait keeps a core busy.
func TestWaitUsesPodmansOwn(t *testing.T) {
	f := newPodman(t)
	f.HandleFunc("POST /v4.0.0/libpod/containers/x/wait", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("interval") == "" {
			t.Error("there is no interval")
		}
		_, _ = w.Write([]byte("3\n"))
	})
	f.answer("GET /v1.41/containers/x/json", http.StatusOK, map[string]any{"Id": "x", "State": map[string]any{"Status": "exited", "ExitCode": 3}})
	if s, err := f.engine(t).Wait(t.Context(), "x"); err != nil || !s.Exited || s.ExitCode != 3 {
		t.Errorf("got %+v, %v", s, err)
	}
	f.answer("POST /v4.0.0/libpod/containers/gone/wait", http.StatusNotFound, map[string]any{"message": "no container", "response": 404})
	if _, err := f.engine(t).Wait(t.Context(), "gone"); !errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), "no container") {
		t.Errorf("got %v", err)
	}
}

func TestKeyedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keyedLock
		unlock, err := k.lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := k.lock(t.Context(), "b"); err != nil {
			t.Error("another key waits")
		} else {
			other()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := k.lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting that is given up gives %v", err)
		}
		got := make(chan error)
		go func() {
			again, err := k.lock(t.Context(), "a")
			again()
			got <- err
		}()
		synctest.Wait()
		unlock()
		if err := <-got; err != nil || len(k.held) != 0 {
			t.Errorf("%v, held %d", err, len(k.held))
		}
	})
}
