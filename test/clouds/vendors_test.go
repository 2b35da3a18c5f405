package clouds

import (
	"crypto/rand"
	"strings"
	"testing"
)

// V4: any registry with a login. Each vendor's user names and tokens open its registry; what cannot be right there is told
// before anybody is asked, and a wrong one by the registry's own answer.
func TestVendors(t *testing.T) {
	w := newWorld(t)
	h := w.house(t)
	for name, vendor := range map[string]struct {
		host, issuer, path, repository string
		user, token                    string // of the login that is right; "" as user is to be filled in
		wrongUser, wrongToken          string // "" is the right one
		told                           string
	}{
		"github": {host: "ghcr.io", issuer: "ghcr.io", path: "/token", repository: "acme/train", user: "octocat", token: "ghp_" + rand.Text(),
			wrongToken: "github_pat_" + rand.Text(), told: "a fine-grained GitHub token"},
		"gitlab": {host: "registry.gitlab.com", issuer: "gitlab.com", path: "/jwt/auth", repository: "acme/ml/train", user: "gitlab+deploy-token-7", token: "gldt-" + rand.Text(),
			wrongUser: "gitlab+deploy-token", told: "a deploy token's without its number"},
		"harbor": {host: "harbor.example.com", issuer: "harbor.example.com", path: "/service/token", repository: "team/train", user: "robot$team+puller", token: "Aa1" + rand.Text() + rand.Text()[:3],
			wrongUser: `robot\\$team+puller`, told: "escaped"},
		"nvidia": {host: "nvcr.io", issuer: "nvcr.io", path: "/proxy_auth", repository: "acme/team/train", user: "$oauthtoken", token: "nvapi-" + rand.Text(),
			wrongUser: "somebody", told: "always $oauthtoken"},
		"own": {host: "registry.example.org", issuer: "auth.registry.example.org", path: "/auth", repository: "team/train", user: "ci", token: rand.Text(),
			wrongToken: "AKIA", told: ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.keep(vendor.token)
			w.bearer(vendor.host, vendor.issuer, vendor.path, &bearerDoor{service: name, accounts: accounts{{vendor.user, vendor.token}: {vendor.repository}}})
			image := vendor.host + "/" + vendor.repository + ":v1"
			digest := w.store.put(t, image).String()
			add := words("registry add " + name + " --match " + vendor.host + "/* --sample " + image + " --when-refused fail --secret file:" + name)
			if vendor.issuer != vendor.host && name == "own" {
				add = append(add, "--realm", vendor.issuer)
			}
			lay := func(user, token string) {
				h.lay(t, name, `{"username": "`+user+`", "password": "`+token+`", "server": "`+vendor.host+`"}`)
			}
			if vendor.told != "" {
				wrong := map[bool]string{true: vendor.user, false: vendor.wrongUser}[vendor.wrongUser == ""]
				token := map[bool]string{true: vendor.token, false: vendor.wrongToken}[vendor.wrongToken == ""]
				lay(wrong, w.keep(token))
				h.refuses(t, 7, add, vendor.told, "Hint: ")
				if asked := append(w.asked(vendor.host), w.asked(vendor.issuer)...); strings.Contains(strings.Join(asked, " "), wrong) {
					t.Errorf("it was sent all the same: %v", asked)
				}
			}
			lay(vendor.user, w.keep(vendor.token[:len(vendor.token)-4]+"0000"))
			h.refuses(t, 7, add, vendor.issuer+" answered 401", "Hint: ")
			lay(vendor.user, vendor.token)
			h.refuses(t, 0, add, "Proved by node local")
			h.runs(t, image, digest)
		})
	}
}
