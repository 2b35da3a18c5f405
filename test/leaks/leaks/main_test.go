package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead/test/leaks"
)

func TestRun(t *testing.T) {
	const secret = "a secret of the test/+"
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"password": secret + "\n", "short": "abc", "data/clean": "nothing", "data/found": "x" + secret, "contexts": "current: none"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for arguments, want := range map[string]int{
		"--secret-file password data":                            leaks.ExitFound,
		"--secret-file password data nowhere":                    leaks.ExitFound,
		"--secret-file password --exclude data/found data":       leaks.ExitClean,
		"--secret-file password --processes data/clean":          leaks.ExitClean,
		"--secret-file password data/clean nowhere":              leaks.ExitNotSearched,
		"--secret-file password --url http://127.0.0.1:1/":       leaks.ExitNotSearched,
		"--secret-file password --token-context contexts data":   leaks.ExitNotSearched,
		"--secret-file password":                                 leaks.ExitNotSearched,
		"--secret-file nowhere data":                             leaks.ExitNotSearched,
		"--secret-file short data":                               leaks.ExitNotSearched,
		"data":                                                   leaks.ExitNotSearched,
		"--secret-file password data/clean --exclude data/found": leaks.ExitNotSearched,
		"--secret-file password --unknown":                       leaks.ExitNotSearched,
		"-h":                                                     leaks.ExitClean,
	} {
		var stdout bytes.Buffer
		code, err := run(t.Context(), strings.Fields(arguments), &stdout)
		if code != want {
			t.Errorf("%s: exit code %d, %v\n%s", arguments, code, err, &stdout)
		}
		if err != nil && strings.Contains(err.Error(), secret) || strings.Contains(stdout.String(), secret) {
			t.Errorf("%s: the secret was printed", arguments)
		}
	}
}
