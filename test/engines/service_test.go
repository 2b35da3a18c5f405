package engines

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead/engine/docker"
	"pierhead.dev/pierhead/test/internal/machine"
)

// podmanDir is a place for a Podman service with a store of its own, which is removed at the end.
func podmanDir(t *testing.T) string {
	t.Helper()
	return machine.Scratch(t, machine.RemoveStore(t, "../setup/remove-store.sh"))
}

// startPodman starts a service that is closed at the end of the test at the latest.
func startPodman(t *testing.T, dir string) *docker.Service {
	t.Helper()
	begun := time.Now()
	service, err := docker.StartService(t.Context(), docker.ServiceConfig{Dir: dir, OwnStore: true})
	must(t, err)
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("the service answered after %s", time.Since(begun).Round(time.Millisecond))
	return service
}

// listener is the id of the process behind a socket, as the kernel knows it.
func listener(t *testing.T, address string) int {
	t.Helper()
	connection, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		return 0
	}
	defer connection.Close()
	raw, err := connection.(*net.UnixConn).SyscallConn()
	must(t, err)
	pid := 0
	must(t, raw.Control(func(fd uintptr) {
		if credentials, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(credentials.Pid)
		}
	}))
	return pid
}

// until asks again until it is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("it never came that %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

// A service that dies is started again at the same address, and one that is closed is gone.
func TestPodmanServiceStartsAgain(t *testing.T) {
	machine.Need(t, "podman", "conmon")
	service := startPodman(t, podmanDir(t))
	e := open(t, service.Address())
	first := listener(t, service.Address())
	must(t, syscall.Kill(first, syscall.SIGKILL))
	until(t, "another service answers", func() bool {
		_, err := e.ImageID(t.Context(), "none")
		now := listener(t, service.Address())
		return now != 0 && now != first && err != nil && !strings.Contains(err.Error(), "does not answer")
	})
	second := listener(t, service.Address())
	must(t, service.Close())
	if running(second) || listener(t, service.Address()) != 0 {
		t.Error("the service lives on after it was closed")
	}
}

// A service that was left over is stopped before a new one starts in the same place.
func TestPodmanServiceLeftOver(t *testing.T) {
	machine.Need(t, "podman", "conmon")
	dir := podmanDir(t)
	service := startPodman(t, dir)
	address := service.Address()
	must(t, service.Close())
	run, err := os.Readlink(filepath.Join(dir, "run"))
	must(t, err)
	left := exec.Command("podman", "--root", filepath.Join(dir, "storage"), "--runroot", filepath.Join(run, "run"),
		"--tmpdir", filepath.Join(run, "tmp"), "system", "service", "--time=0", address)
	must(t, left.Start())
	ended := make(chan error, 1)
	go func() { ended <- left.Wait() }()
	until(t, "it listens", func() bool { return listener(t, address) == left.Process.Pid })
	again := startPodman(t, dir)
	<-ended
	if pid := listener(t, again.Address()); pid == 0 || pid == left.Process.Pid {
		t.Errorf("process %d answers", pid)
	}
}

// A service ends with a parent that is killed without a word.
func TestPodmanServiceOfKilledParent(t *testing.T) {
	machine.Need(t, "podman", "conmon")
	dir := podmanDir(t)
	parent := exec.Command(os.Args[0], "-test.run=^TestParent$", "-test.v")
	parent.Env = append(os.Environ(), "PIER_TEST_PARENT="+dir)
	output, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	address := ""
	for lines := bufio.NewScanner(output); address == "" && lines.Scan(); {
		_, address, _ = strings.Cut(lines.Text(), "the address is ")
	}
	pid := listener(t, address)
	if pid == 0 {
		t.Fatalf("nothing listens at %q", address)
	}
	must(t, parent.Process.Kill())
	_ = parent.Wait() // it was killed
	until(t, "the service is gone", func() bool { return !running(pid) })
}

// TestParent is the process that TestPodmanServiceOfKilledParent kills.
func TestParent(t *testing.T) {
	dir := os.Getenv("PIER_TEST_PARENT")
	if dir == "" {
		return // it is no test
	}
	service, err := docker.StartService(t.Context(), docker.ServiceConfig{Dir: dir, OwnStore: true})
	must(t, err)
	fmt.Println("the address is " + service.Address())
	select {}
}

// network is none, but where TestBridge runs the tests again.
func network() docker.Network {
	if os.Getenv("PIER_TEST_NETWORK") == "bridge" {
		return docker.NetworkBridge
	}
	return docker.NetworkNone
}

// Containers have the engine's bridge by default. Engines change the machine's network and packet filter for one, so
// this runs in a network of its own.
func TestBridge(t *testing.T) {
	if network() == docker.NetworkBridge {
		return // it is the one inside
	}
	machine.Need(t, "podman", "conmon", "dockerd", "unshare", "ip", "iptables")
	const inside = `ip link set lo up
for place in /run/netns /run/containers; do mkdir -p $place; mount -t tmpfs none $place; done
exec "$@"`
	again := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"sh", "-ec", inside, "sh", os.Args[0], "-test.run", "^Test(Podman|Docker)$/^(Run|Isolation)$", "-test.v")
	again.Env = append(os.Environ(), "PIER_TEST_NETWORK=bridge")
	output, err := again.CombinedOutput()
	if err != nil || strings.Count(string(output), "--- PASS: Test") < 2 {
		t.Errorf("%v\n%s", err, output)
	}
}
