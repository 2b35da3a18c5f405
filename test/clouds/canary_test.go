package clouds

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/test/leaks"
)

// podSecrets is where Kubernetes puts a pod's own token.
const podSecrets = "/run/secrets/kubernetes.io/serviceaccount"

// pieceLength is how much of a secret is searched for, in bytes: more than can stand anywhere by chance.
const pieceLength = 24

// secretMembers are what is secret in a document that is a secret as a whole.
var secretMembers = []string{"password", "auth", "private_key", "client_secret", "aws_secret_access_key", "SecretAccessKey", "token", "identitytoken", "registrytoken"}

// pieces are what is searched for: of each secret the first bytes in which it differs from all others, because logs cut
// long texts, and of signed tokens the signature too.
func pieces(secrets []string) [][]byte {
	var plain []string
	for _, secret := range secrets {
		plain = append(plain, membersOf(secret)...)
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
func membersOf(secret string) []string {
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

// without leaves out the pieces that are in a text.
func without(pieces [][]byte, text string) [][]byte {
	return slices.DeleteFunc(slices.Clone(pieces), func(piece []byte) bool { return strings.Contains(text, string(piece)) })
}

// search looks for every secret of the world in what a house has: data, logs, contexts, what commands said, answers of its
// API, and the processes that there are and that there were. What an operator laid out belongs where it is, and so does what
// is in the environment that the house was given.
func (h *house) search(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // the reason is told already
	}
	made := h.w.made()
	if len(made) == 0 {
		t.Fatal("there are no secrets to search for")
	}
	report, told := h.searchFor(t, pieces(made))
	if report.Exit() != leaks.ExitClean || report.Databases < 1 || report.Processes < 2 || report.Answers < 10 {
		t.Errorf("the search for %d secrets: exit code %d\n%s", len(made), report.Exit(), told)
		return
	}
	t.Logf("the search for %d secrets: %s", len(made), told)
}

// searchFor is the search for pieces of text.
func (h *house) searchFor(t *testing.T, all [][]byte) (*leaks.Report, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own may have ended
	defer cancel()
	needle, err := leaks.NewNeedle(all...)
	must(t, err)
	outside, err := leaks.NewNeedle(without(all, strings.Join(h.More, "\n"))...)
	must(t, err)
	login, err := leaks.ReadLogin(filepath.Join(h.Dir, "config", "pierhead", "contexts.yaml"))
	must(t, err)
	var report leaks.Report
	outside.SearchProcesses(&report)
	list := filepath.Join(h.Dir, processFile)
	outside.SearchPaths(ctx, []string{list}, nil, &report)
	needle.SearchAPI(ctx, []string{houseURL + "/api/v1/organizations/acme/registries"}, login, &report)
	needle.SearchPaths(ctx, []string{h.Dir, "/run"}, []string{h.secrets, h.tokens, list, podSecrets}, &report)
	var told bytes.Buffer
	must(t, report.Print(&told, needle))
	return &report, told.String()
}
