package runtimes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// startDockerd starts the machine's, which trusts whom the machine trusts.
func (w *world) startDockerd(t *testing.T) {
	t.Helper()
	t.Setenv("SSL_CERT_FILE", filepath.Join(w.Dir, "roots.pem"))
	must(t, os.Mkdir(w.dockerd(), 0o700))
	w.docker = machine.Dockerd(t, w.dockerd(), false)
}

// dockerd is the directory of its things.
func (w *world) dockerd() string { return filepath.Join(w.Dir, "dockerd") }

// reloadDockerd is `systemctl reload docker`.
func (w *world) reloadDockerd(t *testing.T) {
	t.Helper()
	found := machine.ProcessesOf("dockerd")
	if len(found) != 1 {
		t.Fatalf("dockerd is %v", found)
	}
	must(t, syscall.Kill(found[0], syscall.SIGHUP))
}

const containerdConfig = `version = 2
root = "%[1]s/containerd/root"
state = "%[1]s/containerd/run"
[grpc]
  address = "%[2]s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s"
  restrict_oom_score_adj = true
`

// startContainerd starts the machine's, with the configuration that there is.
func (w *world) startContainerd(t *testing.T) {
	t.Helper()
	path := w.containerdConfig()
	if _, err := os.Stat(path); err != nil {
		must(t, os.WriteFile(path, fmt.Appendf(nil, containerdConfig, w.Dir, w.runtime(), w.pause), 0o600))
	}
	w.containerd = w.processes.Start(t, filepath.Join(w.Dir, "containerd.log"), os.Environ(), "containerd", "--config", path)
}

func (w *world) containerdConfig() string { return filepath.Join(w.Dir, "containerd.toml") }

// runtime is the path of containerd's socket.
func (w *world) runtime() string { return filepath.Join(w.Dir, "c.sock") }

// runs runs a container of a private image by each of the engines.
func (w *world) runs(t *testing.T) {
	command := []string{"/bin/train", "--epochs=1"}
	for _, c := range []struct {
		way   way
		words []string // before the image
	}{
		// Its pod stands on an image that is private too, and that containerd pulls for itself.
		{way{"containerd", mirror, ""}, []string{"cri", w.runtime(), "run"}},
		// The limits are for machines where nobody may raise them.
		{way{"podman", mirror, helper}, []string{"podman", "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}},
		{way{"docker", byName, ""}, []string{"docker", "run", "--rm", "--network", "none"}},
	} {
		t.Run(c.way.program, func(t *testing.T) {
			t.Parallel()
			h, name := w.homes[c.way], c.way.named(w.pushRunnable(t, w.dave))
			if c.way.program == "containerd" {
				h.must(t, "cri", w.runtime(), "pull", name)
			}
			if said := h.must(t, slices.Concat(c.words, []string{name}, command)...); !strings.Contains(said, "training for 1 epochs") || !strings.Contains(said, "done") {
				t.Errorf("it printed:\n%s", said)
			}
		})
	}
}
