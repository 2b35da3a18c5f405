package runtimes

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
	"pierhead.dev/pierhead/test/leaks"
)

// keepsSecrets looks for every password that there ever was, in every form, in all that is left on the machine's disks: what
// the programs were told and what they said, their stores, the agent's and the server's data; and in all processes.
func (w *world) keepsSecrets(t *testing.T) {
	var secrets [][]byte
	for _, l := range w.registries() {
		for _, password := range l.Passwords {
			secrets = append(secrets, []byte(password))
		}
	}
	needle, err := leaks.NewNeedle(secrets...)
	must(t, err)
	planted := filepath.Join(w.Dir, "homes", "planted")
	must(t, os.WriteFile(planted, []byte(`{"auths": {"quay.io": {"auth": "`+base64.StdEncoding.EncodeToString([]byte("alice:"+w.alice.Password()))+`"}}}`), 0o600))
	var found leaks.Report
	needle.SearchPaths(t.Context(), []string{planted}, nil, &found)
	must(t, os.Remove(planted))
	if found.Exit() == leaks.ExitClean {
		t.Error("the search does not find what was planted")
	}
	var report leaks.Report
	needle.SearchPaths(t.Context(), []string{w.Dir, "/run", "/var/lib"}, []string{w.secrets}, &report)
	needle.SearchProcesses(&report)
	var told strings.Builder
	must(t, report.Print(&told, needle))
	if report.Exit() != leaks.ExitClean || report.Databases < 1 || report.Processes < 8 {
		t.Errorf("a password is where it should not be:\n%s", told.String())
		return
	}
	t.Logf("the search for %d passwords: %s", len(secrets), told.String())
}

func (w *world) registries() []*machine.Login {
	return []*machine.Login{w.alice, w.carol, w.dave, w.erin, w.gone, w.lost, w.slow}
}
