package clouds

import (
	"crypto/rand"
	"net/http"
	"testing"
)

// bearer opens a registry with a token server under names of their own.
func (w *world) bearer(host, issuer, path string, d *bearerDoor) *bearerDoor {
	d.realm, d.tokens, d.behind = "https://"+issuer+path, map[string]string{}, w.store.behind(host)
	w.cloud(nobody, d.secrets)
	w.host(host, http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if issuer == host && r.URL.Path == path {
			d.token(out, r)
			return
		}
		d.ServeHTTP(out, r)
	}))
	if issuer != host {
		w.host(issuer, http.HandlerFunc(d.token))
	}
	return d
}

// V4: Docker Hub takes a Docker ID with an access token; an e-mail address is refused with the reason before anybody is
// asked.
func TestDockerHub(t *testing.T) {
	w := newWorld(t)
	token := w.keep("dckr_pat_" + rand.Text())
	w.bearer("registry-1.docker.io", "auth.docker.io", "/token", &bearerDoor{service: "registry.docker.io", accounts: accounts{{"acme", token}: {"acme/"}}})
	digest := w.store.put(t, "registry-1.docker.io/acme/train:v1").String()
	const image = "docker.io/acme/train:v1"
	h := w.house(t)
	add := func(name, user string) []string {
		content := `{"username": "` + user + `", "password": "` + token + `", "server": "docker.io"}`
		return words("registry add " + name + " --match docker.io/acme/* --sample acme/train:v1 --secret " + h.lay(t, name, content))
	}
	h.refuses(t, 7, add("mail", "acme@example.com"), "e-mail address", "Docker ID")
	if asked := w.asked("auth.docker.io"); len(asked) > 0 {
		t.Errorf("somebody was asked: %v", asked)
	}
	h.refuses(t, 7, add("wrong", "somebody"), "auth.docker.io", "Hint: ")
	h.refuses(t, 3, words("registry show wrong")) // a refusal saves nothing
	h.refuses(t, 0, add("hub", "acme"), "Proved by node local")
	h.runs(t, image, digest)
	// Whatever name of Hub's the secret and the image are written with, it is the same registry.
	content := `{"username": "acme", "password": "` + token + `", "server": "https://index.docker.io/v1/"}`
	_, said, code := h.Run(t, "", "", "run", "train", "--image", "index.docker.io/acme/train:v1", "--watch", "--registry-login-secret", h.lay(t, "alias", content))
	if code != 0 {
		t.Errorf("by another name of Hub's: exit code %d\n%s", code, said)
	}
}

// Two robots of Quay's on one host, each for its own part of it; a changed login is proved before the old one goes.
func TestQuayRobots(t *testing.T) {
	w := newWorld(t)
	first, second := w.keep(rand.Text()+rand.Text()), w.keep(rand.Text()+rand.Text())
	w.bearer("quay.io", "quay.io", "/v2/auth", &bearerDoor{service: "quay.io", accounts: accounts{{"acme+vision", first}: {"acme/vision"}, {"acme+speech", second}: {"acme/speech"}}})
	h := w.house(t)
	for name, password := range map[string]string{"vision": first, "speech": second} {
		image := "quay.io/acme/" + name + ":v1"
		digest := w.store.put(t, image).String()
		h.adds(t, password, words(name+" --match quay.io/acme/"+name+" --username acme+"+name+" --password-stdin --sample "+image)...)
		h.runs(t, image, digest)
	}
	out, said, code := h.Run(t, "", w.keep(rand.Text()+rand.Text()), "registry", "update", "vision", "--username", "acme+vision", "--password-stdin")
	if code != 7 {
		t.Errorf("a wrong password in the old one's place: exit code %d\n%s%s", code, said, out)
	}
	again := "quay.io/acme/vision:v2"
	h.runs(t, again, w.store.put(t, again).String())
}
