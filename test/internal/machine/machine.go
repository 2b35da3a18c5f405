// Package machine starts what tests need of this machine, real programs in scratch folders, and leaves nothing behind.
// It is for tests only.
package machine

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Need leaves a test out where what it needs is not there, says so, and fails where CI is set: root, and programs.
func Need(t *testing.T, programs ...string) {
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

// Scratch is a folder with a short name, because sockets and Podman's run directory must not be long. remove deletes it
// at the end of the test.
func Scratch(t *testing.T, remove func(dir string)) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(dir) })
	return dir
}

// Remove deletes a folder in which nothing is mounted.
func Remove(t *testing.T) func(dir string) {
	return func(dir string) {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// Unmount takes away what is mounted below a folder, the last first.
func Unmount(t *testing.T, dir string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	lines := strings.Split(string(mounts), "\n")
	for _, line := range slices.Backward(lines) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH) // what stays is told of by who removes the folder
		}
	}
}

// RemoveStore deletes a folder with a Podman store, mounts included. script is the path of test/setup/remove-store.sh.
func RemoveStore(t *testing.T, script string) func(dir string) {
	return func(dir string) {
		if output, err := exec.Command(script, dir).CombinedOutput(); err != nil || len(output) > 0 {
			t.Errorf("removing the store: %v\n%s", err, output)
		}
	}
}
