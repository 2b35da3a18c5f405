// Package engines runs the conformance test of engines with the real ones of this machine: Podman as a service of
// ours with a store of its own, and a dockerd in a scratch folder. Containers have no network, so that nothing changes in
// the machine's; TestBridge gives them one where it can do no harm.
package engines

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/engine/docker"
	"pierhead.dev/pierhead/engine/enginetest"
)

// need leaves a test out where what it needs is not there, says so, and fails where CI is set.
func need(t *testing.T, programs ...string) {
	t.Helper()
	leave := t.Skipf
	if os.Getenv("CI") != "" {
		leave = t.Fatalf
	}
	if os.Getuid() != 0 {
		leave("an engine with a store of its own needs root here")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			leave("%s is not installed: see test/setup/tests.sh", program)
		}
	}
}

// scratch is a folder with a short name: sockets and Podman's run directory must not be long.
func scratch(t *testing.T, remove func(dir string)) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(dir) })
	return dir
}

func open(t *testing.T, address string) engine.Engine {
	t.Helper()
	e, err := docker.New(address, docker.Config{Network: network()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestPodman(t *testing.T) {
	need(t, "podman", "conmon")
	t.Setenv("PIER_TEST_ENGINE", "not for containers")
	t.Setenv("HTTP_PROXY", "http://not.for.containers.example.test:1")
	dir := podmanDir(t)
	service := startPodman(t, dir)
	enginetest.Run(t, enginetest.Harness{
		Open:  func(t *testing.T) engine.Engine { return open(t, service.Address()) },
		Names: func(t *testing.T, image string) []string { return names(t, service.Address(), image) },
		Restart: func(t *testing.T) {
			must(t, service.Close())
			service = startPodman(t, dir)
		},
		Shell:   enginetest.Busybox(t),
		Network: network() == docker.NetworkBridge,
	})
	must(t, service.Close()) // the last one; it outlived the test that started it
}

func TestDocker(t *testing.T) {
	need(t, "dockerd", "unshare")
	t.Setenv("PIER_TEST_ENGINE", "not for containers")
	address := startDocker(t, scratch(t, func(dir string) {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}))
	enginetest.Run(t, enginetest.Harness{
		Open:    func(t *testing.T) engine.Engine { return open(t, address) },
		Names:   func(t *testing.T, image string) []string { return names(t, address, image) },
		Shell:   enginetest.Busybox(t),
		Network: network() == docker.NetworkBridge,
	})
}

// startDocker runs a dockerd that leaves nothing behind: its mounts and its processes are in namespaces that end with
// it. It shares the machine's network, where the test's registry is, and is told to leave that alone.
func startDocker(t *testing.T, dir string) (address string) {
	t.Helper()
	socket := filepath.Join(dir, "d.sock")
	must(t, os.WriteFile(filepath.Join(dir, "d.json"), dockerSettings(t, dir, socket), 0o600))
	log, err := os.Create(filepath.Join(dir, "d.log"))
	must(t, err)
	defer log.Close()
	daemon := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"dockerd", "--config-file", filepath.Join(dir, "d.json"))
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
		case <-time.After(20 * time.Millisecond):
			if time.Since(begun) < 30*time.Second {
				continue
			}
		}
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("dockerd does not answer: %v\n%s", err, said)
	}
}

func dockerSettings(t *testing.T, dir, socket string) []byte {
	t.Helper()
	settings := map[string]any{
		"data-root": filepath.Join(dir, "data"), "exec-root": filepath.Join(dir, "exec"), "pidfile": filepath.Join(dir, "d.pid"),
		"hosts": []string{"unix://" + socket}, "storage-driver": "overlay2", "oom-score-adjust": 0, "shutdown-timeout": 2,
		// What an operator could have set and a container of ours must not get.
		"log-driver": "json-file", "log-opts": map[string]string{"max-size": "1k", "max-file": "1", "mode": "non-blocking"},
	}
	if network() == docker.NetworkBridge {
		settings["bip"] = "10.87.66.1/24"
	} else {
		settings["bridge"], settings["iptables"], settings["ip6tables"], settings["ip-forward"] = "none", false, false, false
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

// names asks the engine itself, past our own code.
func names(t *testing.T, address, image string) []string {
	t.Helper()
	api, err := client.New(client.WithHost(address))
	must(t, err)
	defer api.Close()
	found, err := api.ImageInspect(t.Context(), image)
	must(t, err)
	return append(found.RepoTags, found.RepoDigests...)
}
