package clouds

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/test/leaks"
)

// pieceLength is how much of a secret is searched for, in bytes: more than can stand anywhere by chance.
const pieceLength = 24

// secretMembers are what is secret in a document that is a secret as a whole.
var secretMembers = []string{"password", "auth", "private_key", "client_secret", "aws_secret_access_key", "SecretAccessKey", "token", "identitytoken", "registrytoken"}

// pieces are what is searched for: of each secret the first bytes in which it differs from all others, because logs cut
// long texts, and of signed tokens the signature too.
func pieces(t *testing.T, secrets []string) [][]byte {
	t.Helper()
	var plain []string
	for _, secret := range secrets {
		plain = append(plain, membersOf(t, secret)...)
	}
	slices.Sort(plain)
	plain = slices.Compact(plain)
	var all [][]byte
	for i, secret := range plain {
		common := 0
		for _, beside := range []int{i - 1, i + 1} {
			if beside >= 0 && beside < len(plain) {
				common = max(common, commonPrefix(secret, plain[beside]))
			}
		}
		begin := max(0, min(common, len(secret)-pieceLength))
		all = append(all, []byte(secret[begin:min(len(secret), begin+pieceLength)]))
		if dot := strings.LastIndexByte(secret, '.'); strings.Count(secret, ".") == 2 && len(secret) > dot+pieceLength {
			all = append(all, []byte(secret[dot+1:dot+1+pieceLength]))
		}
	}
	return all
}

// membersOf are the secret texts in a document, or the secret itself where it is none.
func membersOf(t *testing.T, secret string) []string {
	t.Helper()
	var document any
	if json.Unmarshal([]byte(secret), &document) != nil {
		return []string{strings.TrimSpace(secret)}
	}
	var found []string
	var walk func(key string, value any)
	walk = func(key string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(k, inner)
			}
		case string:
			if v = strings.TrimSpace(v); slices.Contains(secretMembers, key) && v != "" {
				if strings.HasPrefix(v, "-----BEGIN") {
					v = strings.Split(v, "\n")[2] // the first lines of all keys are alike
				}
				found = append(found, v)
			}
		}
	}
	walk("", document)
	return found
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// search looks for every secret of the world in what a house has: data, logs, contexts, answers of its API, and the
// processes of the namespace. What an operator laid out belongs where it is, and so does what is in the environment that
// the house was given.
func (h *house) search(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // the reason is told already
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended
	defer cancel()
	made := h.w.made()
	all := pieces(t, made)
	needle, err := leaks.NewNeedle(all...)
	must(t, err)
	provePlanted(ctx, t, needle, made)
	environment := strings.Join(h.More, "\n")
	outside, err := leaks.NewNeedle(slices.DeleteFunc(slices.Clone(all), func(piece []byte) bool { return strings.Contains(environment, string(piece)) })...)
	must(t, err)
	login, err := leaks.ReadLogin(filepath.Join(h.Dir, "config", "pierhead", "contexts.yaml"))
	must(t, err)
	var report leaks.Report
	outside.SearchProcesses(&report)
	needle.SearchAPI(ctx, []string{houseURL + "/api/v1/organizations/acme/registries"}, login, &report)
	needle.SearchPaths(ctx, []string{h.Dir}, []string{h.secrets, h.tokens}, &report)
	var told bytes.Buffer
	must(t, report.Print(&told, needle))
	if report.Exit() != leaks.ExitClean || report.Databases < 1 || report.Processes < 2 || report.Answers < 10 {
		t.Errorf("the search for %d secrets: exit code %d\n%s", len(all), report.Exit(), told.String())
		return
	}
	t.Logf("the search for %d secrets: %s", len(all), told.String())
}

// provePlanted shows that the search would find one.
func provePlanted(ctx context.Context, t *testing.T, needle *leaks.Needle, made []string) {
	t.Helper()
	if len(made) == 0 {
		t.Fatal("there are no secrets to search for")
	}
	path := filepath.Join(t.TempDir(), "planted")
	text := "level=INFO msg=x authorization=" + base64.StdEncoding.EncodeToString([]byte("user:"+made[len(made)/2])) + "\n"
	must(t, os.WriteFile(path, []byte(text), 0o600))
	var report leaks.Report
	needle.SearchPaths(ctx, []string{path}, nil, &report)
	if report.Exit() != leaks.ExitFound {
		t.Error("the search does not find what was planted")
	}
}
