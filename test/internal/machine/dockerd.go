package machine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead/engine/docker"
)

// A Setting is a further one of daemon.json.
type Setting struct {
	Name  string
	Value any
}

// Dockerd runs a dockerd in dir that leaves nothing behind: its mounts and its processes are in namespaces that end with
// it. It shares the machine's network, where the test's registry is, and is told to leave that alone, unless it shall
// have a bridge. It ends with the test.
func Dockerd(t *testing.T, dir string, bridge bool, more ...Setting) (address string) {
	t.Helper()
	socket := filepath.Join(dir, "d.sock")
	must(t, os.WriteFile(filepath.Join(dir, "d.json"), settings(t, dir, socket, bridge, more), 0o600))
	log, err := os.Create(filepath.Join(dir, "d.log"))
	must(t, err)
	defer log.Close()
	daemon := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"dockerd", "--config-file", filepath.Join(dir, "d.json"))
	daemon.Env = append(os.Environ(), "TMPDIR="+dir) // where its containerd writes what it did, when that starts slowly
	daemon.Stdout, daemon.Stderr = log, log
	begun := time.Now()
	must(t, daemon.Start())
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	t.Cleanup(func() {
		_ = daemon.Process.Kill() // it takes all of its namespace with it
		<-ended
		groups, _ := filepath.Glob("/sys/fs/cgroup/*/docker") // the pattern is good
		for _, group := range groups {
			_ = syscall.Rmdir(group) // one in use stays
		}
	})
	address = "unix://" + socket
	for {
		_, _, err := docker.Discover(t.Context(), docker.Config{Engine: address})
		if err == nil {
			t.Logf("dockerd answered after %s", time.Since(begun).Round(time.Millisecond))
			return address
		}
		select {
		case <-ended:
			ended <- nil // for the cleanup
		case <-time.After(20 * time.Millisecond):
			if time.Since(begun) < 30*time.Second {
				continue
			}
		}
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("dockerd does not answer: %v\n%s", err, said)
	}
}

func settings(t *testing.T, dir, socket string, bridge bool, more []Setting) []byte {
	t.Helper()
	settings := map[string]any{
		"data-root": filepath.Join(dir, "data"), "exec-root": filepath.Join(dir, "exec"), "pidfile": filepath.Join(dir, "d.pid"),
		"hosts": []string{"unix://" + socket}, "storage-driver": "overlay2", "oom-score-adjust": 0, "shutdown-timeout": 2,
		// What an operator could have set and a container of ours must not get.
		"log-driver": "json-file", "log-opts": map[string]string{"max-size": "1k", "max-file": "1", "mode": "non-blocking"},
	}
	if bridge {
		settings["bip"] = "10.87.66.1/24"
	} else {
		settings["bridge"], settings["iptables"], settings["ip6tables"], settings["ip-forward"] = "none", false, false, false
	}
	for _, one := range more {
		settings[one.Name] = one.Value
	}
	content, err := json.Marshal(settings)
	must(t, err)
	return content
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
