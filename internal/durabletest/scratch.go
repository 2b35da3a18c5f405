package durabletest

import (
	"os"
	"testing"
)

// Scratch is t.TempDir in memory where the machine has such a place: a test that rebuilds hundreds of directories spends
// its time in the real disk's otherwise, and looks at the result only.
func Scratch(t testing.TB) string {
	t.Helper()
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "pierhead-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing %s: %v", dir, err)
		}
	})
	return dir
}
