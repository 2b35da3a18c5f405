package amazontest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Environment sets the SDK's environment for a test: nothing of the machine's own, and the pairs "NAME=value".
func Environment(t testing.TB, pairs ...string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name) // t.Setenv puts it back
		}
	}
	dir := t.TempDir()
	for _, pair := range append([]string{"AWS_CONFIG_FILE=" + filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(dir, "credentials")}, pairs...) {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}
