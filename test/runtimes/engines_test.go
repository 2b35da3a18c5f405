package runtimes

import (
	"fmt"
	"os"
	"path/filepath"
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
  restrict_oom_score_adj = true
`

// startContainerd starts the machine's, with the configuration that there is.
func (w *world) startContainerd(t *testing.T) {
	t.Helper()
	path := w.containerdConfig()
	if _, err := os.Stat(path); err != nil {
		must(t, os.WriteFile(path, fmt.Appendf(nil, containerdConfig, w.Dir, w.runtime()), 0o600))
	}
	w.containerd = w.processes.Start(t, filepath.Join(w.Dir, "containerd.log"), os.Environ(), "containerd", "--config", path)
}

func (w *world) containerdConfig() string { return filepath.Join(w.Dir, "containerd.toml") }

// runtime is the path of containerd's socket.
func (w *world) runtime() string { return filepath.Join(w.Dir, "c.sock") }
