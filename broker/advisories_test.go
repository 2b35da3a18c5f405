package broker

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/egress/egresstest"
)

// Advisories about logins that went to a host, or a part of one, whose name only looks like theirs: each by its id, with
// the login's own name and the look-alike. Both are covered by the registry's match, so that it is the login's own
// hosts that decide, and nothing before them.
func TestP18AdvisoriesAboutLookalikes(t *testing.T) {
	for _, test := range []struct{ id, login, image string }{
		{"connaisseur#2166, a prefix of the address", "registry.example.com", "registry.example.com.evil.com/team/app"},
		{"GHSA-6c87-g9pw-78fx, a suffix of the host", "ghcr.io", "evilghcr.io/team/app"},
		{"docker-credential-acr-env#21, no anchors", "acme.azurecr.io", "acme.azurecr.io.evil.com/team/app"},
		{"docker-credential-acr-env#21, no anchors, in front", "acme.azurecr.io", "evil-acme.azurecr.io/team/app"},
		{"testcontainers-java#6323, a part of the name", "registry.example.com", "registry.example.co/org/repo"},
		{"cdxgen#3964, another port", "registry.example.com", "registry.example.com:8443/team/app"},
		{"cdxgen#3964, below the host", "registry.example.com", "x.registry.example.com/team/app"},
		{"kubernetes#102472, a prefix of the path", "registry.example.com/team", "registry.example.com/team-evil/app"},
		{"kubernetes#102472, a prefix of the path, slash left out", "registry.example.com/team", "registry.example.com/teammate/app"},
		{"Docker Hub's names", "docker.io", "docker.io.evil.com/team/app"},
	} {
		t.Run(test.id, func(t *testing.T) {
			w := egresstest.New(t)
			wrong := ask(t, test.image+":v1").Reference
			right := ask(t, test.login+"/app:v1").Reference
			for _, host := range slices.Compact([]string{wrong.DialHost(), right.DialHost()}) {
				w.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm="all", Bearer realm="https://%s/token",service="all"`, r.Host))
					w.WriteHeader(http.StatusUnauthorized)
				}))
			}
			registry := pierhead.Registry{ID: "reg_team", OrganizationID: "org_acme", Name: "team", Type: pierhead.RegistryGeneric, Enabled: true,
				Match: slices.Compact([]string{wrong.Host() + "/*", right.Host() + "/*"}), Credential: pierhead.RegistryCredential{Secret: "file:team"},
				Projects: pierhead.ProjectScope{All: true}, CA: w.CA()}
			n := newNode(t, registry)
			n.Network = w.Network()
			text := fmt.Sprintf(`{"auths":{%q:{"username":"ci","password":%q}}}`, test.login, marker)
			if err := os.WriteFile(filepath.Join(n.secrets, "team"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := n.resolve(test.image + ":v1")
			asked := 0
			for _, s := range w.Servers() {
				if s.Received() != "" {
					asked++
				}
				if s.Knows(marker) {
					t.Errorf("%s was sent the login", s.Host)
				}
			}
			if err == nil || asked != 1 {
				t.Errorf("%d hosts were asked: this proves nothing (%v)", asked, err)
			}
			n.keepsSecret(marker, fmt.Sprint(err))
			_, _, _ = n.resolve(right.Name() + ":v1")
			for _, s := range w.Servers() {
				if s.Knows(marker) != (s.Host == right.DialHost()) {
					t.Errorf("of its own host: %s was sent the login, or was not", s.Host)
				}
			}
		})
	}
}
