package clouds

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/exchange/jfrogtest"
)

// jfrog puts a platform into a world, with the store behind its registry.
func (w *world) jfrog(t *testing.T, host string) *jfrogtest.Platform {
	t.Helper()
	platform, err := jfrogtest.New()
	must(t, err)
	w.cloud(nobody, platform.Secrets)
	door := platform.Registry(w.store.behind(host))
	w.host(host, http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/access/") {
			platform.ServeHTTP(out, r)
			return
		}
		door.ServeHTTP(out, r)
	}))
	return platform
}

// V4: JFrog takes an access token, which says itself whose it is, a reference token, which does not, and a token that is
// refreshed; no other's, and none that has ended.
func TestJFrogTokens(t *testing.T) {
	w := newWorld(t)
	const host = "acme.jfrog.io"
	platform := w.jfrog(t, host)
	image := host + "/docker-local/train:v1"
	digest := w.store.put(t, image).String()
	h := w.house(t)
	platform.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	old, refresh := platform.Token("pier", 90*time.Minute) // more than half of its life is over
	platform.Now = time.Now
	access, _ := platform.Token("pier", time.Hour)
	ended, _ := platform.Token("pier", -time.Hour)
	reference, foreign := platform.Reference("pier", time.Hour), platform.Reference("somebody", time.Hour)
	login := func(name, content string) []string {
		return words("registry add " + name + " --match " + host + "/* --sample " + image + " --secret " + h.lay(t, name, `{`+content+`, "server": "`+host+`"}`))
	}
	h.refuses(t, 7, login("ended", `"username": "pier", "password": "`+ended+`"`), "a token that ended on", "Hint: ")
	h.refuses(t, 7, login("foreign", `"username": "pier", "password": "`+foreign+`"`), host+" answered 401", "Hint: ")
	h.refuses(t, 7, login("nameless", `"access_token": "`+reference+`"`), "does not say whose it is", "a reference token has no name in it")
	for name, content := range map[string]string{
		"named": `"username": "pier", "password": "` + access + `"`, "access": `"access_token": "` + access + `"`,
		"reference": `"username": "pier", "password": "` + reference + `"`, "refreshed": `"access_token": "` + old + `", "refresh_token": "` + refresh + `"`,
	} {
		h.refuses(t, 0, login(name, content), "Proved by node local")
		h.runs(t, image, digest)
		h.explains(t, image, "is pulled with the credential of registry "+name)
		h.Must(t, "registry", "rm", name)
	}
	if platform.Calls("/access/api/v1/tokens") == 0 {
		t.Error("the token that was to be refreshed was not")
	}
}

// V4: what the node's own OIDC token is exchanged for. A token for another audience, one that has ended, one whose claims no
// mapping knows, a platform that throttles, one that answers nonsense and one that is not there are each told.
func TestJFrogOIDC(t *testing.T) {
	w := newWorld(t)
	const host, subject = "acme.jfrog.io", "system:serviceaccount:pierhead:agent"
	platform := w.jfrog(t, host)
	issuer, err := jfrogtest.NewIssuer("https://oidc.example.com")
	must(t, err)
	w.serve(t, "127.0.0.1:8099", nil, issuer)
	platform.Integrate("cluster", jfrogtest.Provider{Issuer: issuer.Name, Audience: "jfrog", JWKS: "http://127.0.0.1:8099/keys",
		Mappings: []jfrogtest.Mapping{{Name: "agents", Claims: map[string]string{"sub": subject}, Username: "pier", Life: time.Hour}}})
	image := host + "/docker-local/train:v1"
	digest := w.store.put(t, image).String()
	h := w.house(t)
	hold := func(subject, audience string, issued time.Time) {
		token := w.keep(issuer.Token(subject, audience, issued, time.Hour))
		must(t, os.WriteFile(filepath.Join(h.tokens, "jfrog"), []byte(token), 0o600))
	}
	h.lay(t, "oidc", `{"oidc_provider": "cluster", "server": "`+host+`"}`)
	h.Must(t, words("registry add oidc --no-test --when-refused fail --match "+host+"/* --secret file:oidc")...)
	h.suffers(t, image, "this node has no OIDC token for "+host)
	hold(subject, "another", time.Now())
	h.suffers(t, image, host+" refused to exchange the OIDC token", "Failed to validate token", "issuer and audience must be the token's")
	hold(subject, "jfrog", time.Now().Add(-2*time.Hour))
	h.suffers(t, image, host+" refused to exchange the OIDC token", "expired")
	hold("system:serviceaccount:default:other", "jfrog", time.Now())
	h.suffers(t, image, "no identity mapping fits the token")
	hold(subject, "jfrog", time.Now())
	platform.Fault(100, func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Retry-After", "60")
		out.WriteHeader(http.StatusTooManyRequests)
	})
	h.suffers(t, image, host+" is throttling", "429")
	platform.Fault(100, func(out http.ResponseWriter, _ *http.Request) { _, _ = out.Write([]byte("<html>")) })
	h.suffers(t, image, host+" answered something that is no token of JFrog's")
	platform.Fault(0, nil)
	behind := w.handler(host)
	w.away(host)
	h.suffers(t, image, "there is no host "+host)
	w.host(host, behind)
	h.runs(t, image, digest)
	h.explains(t, image, "is pulled with the credential of registry oidc")
}
