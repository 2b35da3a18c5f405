package clouds

import (
	"crypto/rand"
	"net/http"
	"testing"

	"pierhead.dev/pierhead/identity/amazontest"
)

// P3: a login that ends between two layers is renewed in the middle of the pull, whatever the registry says then: 401 as
// Docker Hub does, 403 as ECR does, and ECR Public's 400.
func TestLoginsThatEndBetweenLayers(t *testing.T) {
	w := newWorld(t)
	cloud := w.amazon()
	image, _, arn := w.ecr(t, cloud, ours, region, "ml/train")
	user := mayPull(cloud.User("aws", ours, "pier"), arn).Allow("ecr-public:GetAuthorizationToken", "*").Allow("sts:GetServiceBearerToken", "*")
	key := cloud.AccessKey(user)
	token := w.keep("dckr_pat_" + rand.Text())
	hub := w.bearer("registry-1.docker.io", "auth.docker.io", "/token", &bearerDoor{service: "registry.docker.io", accounts: accounts{{"acme", token}: {"acme/"}}})
	h := w.house(t)
	keys := h.lay(t, "keys", `{"username": "`+key.ID+`", "password": "`+key.Secret+`"}`)
	login := h.lay(t, "hub", `{"username": "acme", "password": "`+token+`", "server": "docker.io"}`)

	// private and public are how often Amazon gave a login.
	private, public := func() int { return cloud.Count("ecr:GetAuthorizationToken") }, func() int { return len(w.asked("public.ecr.aws")) }
	for name, pull := range map[string]struct {
		image, kept, match, secret, host string
		cut                              func(r *http.Request)
		renewed                          func() bool
	}{
		"hub": {"docker.io/acme/train:v1", "registry-1.docker.io/acme/train:v1", "docker.io/acme/*", login, "registry-1.docker.io",
			func(*http.Request) { hub.end() }, func() bool { return len(hub.secrets()) >= 2 }},
		"ecr": {image, image, ours + ".dkr.ecr." + region + ".amazonaws.com/*", keys, ours + ".dkr.ecr." + region + ".amazonaws.com",
			expire(cloud), func() bool { return private() >= 2 }},
		"public": {"public.ecr.aws/acme/train:v1", "public.ecr.aws/acme/train:v1", "public.ecr.aws/acme/*", keys, "public.ecr.aws",
			func(*http.Request) { cloud.Expire("") }, func() bool { return public() > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			digest := w.store.deep(t, pull.kept).String()
			through := &cutter{behind: w.handler(pull.host), cut: pull.cut}
			h.Must(t, words("registry add "+name+" --no-test --when-refused fail --match "+pull.match+" --secret "+pull.secret)...)
			w.host(pull.host, through)
			h.runs(t, pull.image, digest)
			if fetched := through.blobs.Load(); fetched < 5 {
				t.Errorf("%d blobs were asked for; four are new to the engine, and one was to be asked for again", fetched)
			}
			if !pull.renewed() {
				t.Error("the login was not renewed")
			}
		})
	}
}

// expire ends the password that a request brings.
func expire(cloud *amazontest.Cloud) func(r *http.Request) {
	return func(r *http.Request) {
		_, password, _ := r.BasicAuth()
		cloud.Expire(password)
	}
}
