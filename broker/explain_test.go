package broker

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

var update = flag.Bool("update", false, "write the golden files")

// Each case is a question to one organization's registries; testdata/<name>.json is what is told.
var explanations = []struct {
	name, image, project string
	personal             bool
}{
	{name: "registry", image: "registry.example.com/team/app:v1", project: "vision"},
	{name: "sealed", image: "sealed.example.com/app:v1", project: "vision"},
	{name: "part-of-a-host", image: "parts.example.com/team/app:v1", project: "vision"},
	{name: "other-server", image: "moved.example.com/app:v1", project: "vision"},
	{name: "other-server-fail", image: "strict.example.com/app:v1", project: "vision"},
	{name: "missing-secret", image: "missing.example.com/app:v1", project: "vision"},
	{name: "malformed-secret", image: "malformed.example.com/app:v1", project: "vision"},
	{name: "bad-settings", image: "settings.example.com/app:v1", project: "vision"},
	{name: "without-credential", image: "open.example.com/app:v1", project: "vision"},
	{name: "project-not-listed", image: "speech.example.com/app:v1", project: "vision"},
	{name: "project-unknown", image: "speech.example.com/app:v1"},
	{name: "disabled", image: "off.example.com/app:v1", project: "vision"},
	{name: "no-registry", image: "ubuntu", project: "vision"},
	{name: "ambiguous", image: "twice.example.com/app:v1", project: "vision"},
	{name: "personal", image: "registry.example.com/team/app:v1", project: "mine", personal: true},
	{name: "hosted", image: hostedHost + "/acme/app:v1", project: "vision"},
}

func explainedNode(t *testing.T) *node {
	sealedEntry := generic("typed", nil, "sealed.example.com/*")
	key := newNode(t).keys
	sealedEntry.Credential = pierhead.RegistryCredential{Sealed: key.seal(t, sealedEntry, []string{"sealed.example.com"}, marker)}
	n := newNode(t, sealedEntry,
		generic("whole", nil, "registry.example.com/*"),
		generic("team", nil, "registry.example.com/team/*"),
		generic("parts", nil, "parts.example.com/*"),
		generic("moved", nil, "moved.example.com/*"),
		generic("strict", func(r *pierhead.Registry) { r.WhenRefused, r.Credential.Secret = pierhead.RefusedFail, "file:moved" }, "strict.example.com/*"),
		generic("missing", nil, "missing.example.com/*"),
		generic("malformed", nil, "malformed.example.com/*"),
		generic("settings", func(r *pierhead.Registry) { r.PrivateNetworks = []string{"everywhere"} }, "settings.example.com/*"),
		generic("open", func(r *pierhead.Registry) { r.Credential.Secret = "" }, "open.example.com/*"),
		generic("speech", projects("speech"), "speech.example.com/*"),
		generic("off", func(r *pierhead.Registry) { r.Enabled = false }, "off.example.com/*"),
		generic("one", nil, "twice.example.com/*"), generic("two", nil, "twice.example.com/*"),
		generic(pierhead.HostedRegistryName, func(r *pierhead.Registry) { r.Type, r.Credential.Secret = pierhead.RegistryHosted, "" }, hostedHost+"/acme/*"))
	n.Sealed = key
	for _, name := range []string{"whole", "team", "settings"} {
		n.write(name, marker, "")
	}
	n.write("parts", marker, "parts.example.com/other")
	n.write("moved", marker, "elsewhere.example.com")
	if err := os.WriteFile(filepath.Join(n.secrets, "malformed"), []byte(`{"user": "ci", "password": "`+marker+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExplain(t *testing.T) {
	n := explainedNode(t)
	clean := cleaner(n)
	for _, c := range explanations {
		t.Run(c.name, func(t *testing.T) {
			q := ask(t, c.image)
			q.Project, q.Personal = c.project, c.personal
			if c.personal {
				q.OrganizationID = ""
			}
			e, err := n.Explain(t.Context(), alice, q, "org_acme")
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(e, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := clean.Replace(string(text)) + "\n"
			path := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("not as in %s (see it, then run with -update): %v\n%s", path, err, got)
			}
			n.keepsSecret(marker, got)
			n.keepsSecret("the-nodes-token", got)
			saysWhatOpenDoes(t, n, q, e.Outcome, e.Sentence)
		})
	}
}

// saysWhatOpenDoes: the explanation is of the same path that a pull takes.
func saysWhatOpenDoes(t *testing.T, n *node, q Question, outcome, sentence string) {
	t.Helper()
	access, err := n.Open(t.Context(), alice, q)
	switch {
	case err != nil:
		if outcome != api.OutcomeFailed && outcome != api.OutcomeAmbiguous || sentence != err.Error()+"." {
			t.Errorf("a pull says %q, the explanation %s: %q", err, outcome, sentence)
		}
	case (access.Registry() != "") != (outcome == api.OutcomeRegistry), access.Registry() == "" && outcome != api.OutcomeAnonymous:
		t.Errorf("a pull has the login of %q, the explanation says %s", access.Registry(), outcome)
	}
}

// cleaner takes out what differs from run to run.
func cleaner(n *node) *strings.Replacer {
	return strings.NewReplacer(n.secrets, "SECRETS", n.Sealed.(keyring).keys[0].Public().ID(), "KEY")
}
