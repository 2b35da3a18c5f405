package agent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

// A mirrorKit is a kit with a running agent, whose mirror is asked.
type mirrorKit struct {
	*kit
	*instance
	host string // of the registry
	base string // of the mirror

	mu  sync.Mutex
	odd []string // logins that came and are not the registry's own
}

func newMirrorKit(t *testing.T, change ...func(*Config)) *mirrorKit {
	t.Helper()
	m := &mirrorKit{kit: newKit(t)}
	m.host, _, _ = strings.Cut(m.image, "/")
	m.kit.change = func(c *Config) {
		for _, f := range change {
			f(c)
		}
	}
	m.inRegistrysPlace(m.watch(m.serveRegistry))
	m.instance = m.kit.start(t.TempDir())
	m.base = "http://" + m.mirror.Address() + "/v2/"
	m.until("the node knows the registry", func() bool {
		status, _, _ := m.get("GET", m.path("/manifests/1"), nil)
		return status == 200
	})
	return m
}

// watch notes what logins come to the registry.
func (m *mirrorKit) watch(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, password, given := r.BasicAuth()
		if other := r.Header.Get("Authorization"); other != "" && !(given && user == registryUser && password == registryPassword) {
			m.mu.Lock()
			m.odd = append(m.odd, other)
			m.mu.Unlock()
		}
		next(w, r)
	}
}

// path is the image's repository as the mirror's path has it, with a place in it.
func (m *mirrorKit) path(place string) string {
	return strings.Replace(m.host, ":", "_", 1) + "/team/hello" + place
}

func (m *mirrorKit) get(method, path string, header map[string]string) (int, http.Header, string) {
	m.t.Helper()
	request, err := http.NewRequestWithContext(m.t.Context(), method, m.base+path, nil)
	m.must(err)
	for name, value := range header {
		if request.Header.Set(name, value); name == "Host" {
			request.Host = value
		}
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, http.Header{}, "broken off: " + err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, response.Header, "broken off: " + err.Error()
	}
	return response.StatusCode, response.Header, string(body)
}

// said reads the one error of an answer.
func said(t *testing.T, body string) (code, message string) {
	t.Helper()
	var form struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(body), &form); err != nil || len(form.Errors) != 1 {
		t.Errorf("the answer is %q: %v", body, err)
		return "", ""
	}
	return form.Errors[0].Code, form.Errors[0].Message
}

// layers are the digests of the image's blobs.
func (m *mirrorKit) blobs() (config, layer string) {
	m.t.Helper()
	_, _, body := m.get("GET", m.path("/manifests/1"), nil)
	var manifest struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	m.must(json.Unmarshal([]byte(body), &manifest))
	return manifest.Config.Digest, manifest.Layers[0].Digest
}

// What runtimes were seen to send is answered, in each of the ways to name an image, and what they offer as a login goes
// nowhere.
func TestMirror(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	_, layer := m.blobs()
	ns, own := "?ns="+url.QueryEscape(m.host), m.path("")
	const basic = "Basic b3JpZ2luOnNlY3JldA=="
	for _, c := range []struct {
		what, method, path string
		header             map[string]string
		status             int
	}{
		{"ping", "GET", "", nil, 200},
		{"ping with a login", "GET", "", map[string]string{"Authorization": basic}, 200},
		{"containerd: HEAD by tag", "HEAD", "team/hello/manifests/1" + ns, nil, 200},
		{"containerd: by digest", "GET", "team/hello/manifests/" + m.digest + ns, nil, 200},
		{"containerd: layer", "GET", "team/hello/blobs/" + layer + ns, nil, 200},
		{"containerd: with a login", "GET", "team/hello/manifests/" + m.digest + ns, map[string]string{"Authorization": basic}, 200},
		{"containerd: with a token", "HEAD", "team/hello/manifests/1" + ns, map[string]string{"Authorization": "Bearer eyJhbGciOi"}, 200},
		{"the host said twice", "GET", own + "/manifests/1" + ns, nil, 200},
		{"podman: by tag", "GET", own + "/manifests/1", nil, 200},
		{"podman: HEAD of a layer", "HEAD", own + "/blobs/" + layer, nil, 200},
		{"podman: layer", "GET", own + "/blobs/" + layer, nil, 200},
		{"podman: part of a layer", "GET", own + "/blobs/" + layer, map[string]string{"Range": "bytes=10-19"}, 206},
		{"skopeo: tags", "GET", own + "/tags/list", nil, 200},
		{"no such tag", "GET", own + "/manifests/2", nil, 404},
		{"no such layer", "GET", own + "/blobs/" + d, nil, 404},
		{"a foreign host", "GET", "registry.example.com/app/manifests/1", nil, 403},
		{"a foreign host by ns", "GET", "app/manifests/1?ns=registry.example.com", nil, 403},
		{"Docker Hub, which nobody listed", "GET", "library/ubuntu/manifests/1", nil, 403},
		{"the metadata service", "GET", "169.254.169.254/latest/manifests/1", nil, 403},
		{"a host of IPv6", "GET", "[::1]:5000/app/manifests/1", nil, 400},
		{"a host with its colon", "GET", m.host + "/app/manifests/1", nil, 400},
		{"the catalogue", "GET", "_catalog", nil, 405},
		{"an upload", "POST", own + "/blobs/uploads/", nil, 405},
		{"a mount", "POST", own + "/blobs/uploads/?mount=" + layer + "&from=x", nil, 405},
		{"a deletion", "DELETE", own + "/manifests/" + m.digest, nil, 405},
		{"a token service", "POST", "../token", nil, 404},
		{"another name of this machine", "GET", own + "/manifests/1", map[string]string{"Host": "registry.example:5050"}, 421},
		{"another address", "GET", own + "/manifests/1", map[string]string{"Host": "10.0.0.1:5050"}, 421},
		{"localhost", "GET", own + "/manifests/1", map[string]string{"Host": "localhost:5050"}, 200},
		{"loopback of IPv6", "GET", own + "/manifests/1", map[string]string{"Host": "[::1]"}, 200},
		{"a page in a browser", "GET", own + "/manifests/1", map[string]string{"Origin": "https://example.com"}, 403},
	} {
		status, header, body := m.get(c.method, c.path, c.header)
		if status != c.status || header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %s, want %d", c.what, status, body, c.status)
		}
		if strings.HasPrefix(header.Get("Content-Type"), "application/json") && status >= 400 && c.method != "HEAD" {
			if code, message := said(t, body); code == "" || message == "" {
				t.Errorf("%s: %s is said", c.what, body)
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.odd) > 0 {
		t.Errorf("the registry was sent %q", m.odd)
	}
}

func TestMirrorContent(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	_, layer := m.blobs()
	_, header, body := m.get("GET", m.path("/manifests/1"), nil)
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body))); got != m.digest || header.Get("Docker-Content-Digest") != m.digest {
		t.Errorf("the manifest is %s, told as %s", got, header.Get("Docker-Content-Digest"))
	}
	_, header, whole := m.get("GET", m.path("/blobs/"+layer), nil)
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(whole))); got != layer || header.Get("Content-Length") != fmt.Sprint(len(whole)) {
		t.Errorf("the layer is %s, %s bytes", got, header.Get("Content-Length"))
	}
	_, header, part := m.get("GET", m.path("/blobs/"+layer), map[string]string{"Range": "bytes=10-19"})
	if part != whole[10:20] || header.Get("Content-Range") != fmt.Sprintf("bytes 10-19/%d", len(whole)) {
		t.Errorf("a part is %q of %s", part, header.Get("Content-Range"))
	}
	if _, _, body := m.get("GET", m.path("/tags/list"), nil); !strings.Contains(body, `"tags":["1"]`) {
		t.Errorf("the tags are %s", body)
	}
}

// events are what the control plane heard of the mirror's pulls, once those of a further pull of the other image are there.
func (m *mirrorKit) events(kind string) (images []string) {
	m.t.Helper()
	found, err := m.admin.Events(m.t.Context(), "acme", api.EventFilter{Kind: kind})
	m.must(err)
	for _, e := range found {
		if e.Detail["door"] != "mirror" || e.Detail["caller"] != "node:local" {
			m.t.Errorf("an event says %v", e.Detail)
		}
		images = append(images, e.Image)
	}
	return images
}

// One pull is one question, whatever it needs of requests.
func TestMirrorTellsOfEachPullOnce(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	m.until("the first one is told", func() bool { return len(m.events("credential.used")) == 1 })
	pull := func(reference string) {
		config, layer := m.blobs()
		for _, path := range []string{"/manifests/" + reference, "/manifests/" + m.digest, "/blobs/" + config, "/blobs/" + layer} {
			m.get("HEAD", m.path(path), nil)
			if status, _, body := m.get("GET", m.path(path), nil); status != 200 {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
	pull("1") // goes on with the first
	m.later(time.Hour / 2)
	pull("1")
	m.later(time.Hour / 2)
	pull(m.digest) // begins with a look at the tag
	m.get("GET", m.path("/manifests/2"), nil)
	m.until("all are told", func() bool { return len(m.events("credential.used")) >= 4 })
	want := []string{m.host + "/team/hello:2", m.image, m.image, m.image}
	if got := m.events("credential.used"); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("told were %v", got)
	}
	m.later(time.Hour / 2)
	m.get("GET", m.path("/manifests/"+m.digest), nil)
	m.until("a pull by digest is told", func() bool { return len(m.events("credential.used")) == 5 })
	if got := m.events("credential.used")[0]; got != m.host+"/team/hello@"+m.digest {
		t.Errorf("told was %s", got)
	}
}

// The control plane away, the node restarted, and the secret rotated: none of it stops a pull.
func TestMirrorWithoutTheControlPlane(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	m.inPlace(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	directory := m.Directory
	m.stop()
	again := m.kit.start(directory)
	m.base = "http://" + again.mirror.Address() + "/v2/"
	if status, _, body := m.get("GET", m.path("/manifests/1"), nil); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	m.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "rotated" {
			refuse(w)
			return
		}
		m.content.ServeHTTP(w, r)
	})
	m.password("rotated", m.host)
	for range 2 {
		if status, _, body := m.get("GET", m.path("/manifests/1"), nil); status != 200 {
			t.Errorf("after the rotation: %d %s", status, body)
		}
		m.later(time.Hour)
	}
}

// The registry's answers are passed on as they are, with the cause and what to do about it.
func TestMirrorPassesErrorsOn(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	for _, c := range []struct {
		status  int
		body    string
		code    string
		message string // a part of it
	}{
		{401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, "UNAUTHORIZED", "the login of registry images was not accepted"},
		{403, `{"errors":[{"code":"DENIED","message":"requested access is denied"}]}`, "DENIED", "requested access is denied"},
		{404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, "MANIFEST_UNKNOWN", "answered 404 MANIFEST_UNKNOWN"},
		{404, `{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}`, "NAME_UNKNOWN", "no such repository"},
		{429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`, "TOOMANYREQUESTS", "slow down"},
	} {
		m.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch c.status {
			case 401:
				w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
			case 429:
				w.Header().Set("Retry-After", "120")
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		m.later(time.Hour)
		status, header, body := m.get("GET", m.path("/manifests/1"), nil)
		code, message := said(t, body)
		if status != c.status || code != c.code || !strings.Contains(message, c.message) || !strings.Contains(message, m.host) || strings.HasPrefix(message, m.image) ||
			!strings.Contains(message, "; ") || header.Get("WWW-Authenticate") != "" {
			t.Errorf("%d: %d %s %q", c.status, status, code, message)
		}
		if c.status == 429 && header.Get("Retry-After") != "120" {
			t.Errorf("429 asks to wait %q seconds", header.Get("Retry-After"))
		}
		if kept := m.troubles.newest(); len(kept) == 0 || kept[0].Door != doors.Mirror || kept[0].Asked != m.image || kept[0].Hint == "" {
			t.Errorf("%d: the troubles are %+v", c.status, kept)
		}
	}
	if m.log.has(registryPassword) {
		t.Error("the log has the password")
	}
}

// What keeps the mirror itself from asking is told as such, and never as "not found".
func TestMirrorTellsItsOwnTroubles(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	m.must(os.Remove(filepath.Join(m.secrets, "images")))
	m.later(time.Hour)
	status, _, body := m.get("GET", m.path("/manifests/1"), nil)
	if code, message := said(t, body); status != 503 || code != "UNAVAILABLE" || !strings.Contains(message, "file:images") {
		t.Errorf("without the secret: %d %s %s", status, code, message)
	}
	found := m.troubles.newest()
	if len(found) == 0 || !strings.Contains(found[0].Reason, "file:images") {
		t.Errorf("the troubles are %+v", found)
	}
}

// A blob that breaks off, or is another one, never ends well for whoever pulls it.
func TestMirrorNeverEndsABrokenBlobWell(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	_, layer := m.blobs()
	_, _, whole := m.get("GET", m.path("/blobs/"+layer), nil)
	for what, body := range map[string]string{"short": whole[:len(whole)/2], "damaged": whole[:len(whole)-1] + "x"} {
		for _, chunked := range []bool{false, true} {
			m.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case !strings.Contains(r.URL.Path, "/blobs/"):
					m.serveRegistry(w, r)
					return
				case r.Header.Get("Range") != "": // the rest is not to be had
					w.WriteHeader(http.StatusNotFound)
					return
				case !chunked:
					w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
				}
				io.WriteString(w, body)
			})
			if status, _, got := m.get("GET", m.path("/blobs/"+layer), nil); !strings.HasPrefix(got, "broken off") && status < 400 {
				t.Errorf("%s, chunked %t: %d with %d bytes of %d", what, chunked, status, len(got), len(whole))
			}
		}
	}
}

// Where the tag decides which registry serves an image, what was found by the tag is read with that registry's login.
func TestMirrorWhereTheTagDecides(t *testing.T) {
	t.Parallel()
	m := newMirrorKit(t)
	config, layer := m.blobs()
	_, err := m.admin.Untested().CreateRegistry(t.Context(), "acme", api.Registry{Name: "others", Match: []string{m.host + "/team/hello:v*"}, PlainHTTP: true,
		Credential: api.Credential{Secret: "file:nothing"}})
	m.must(err)
	m.until("the digest alone does not decide", func() bool {
		status, _, body := m.get("GET", m.path("/blobs/"+layer), nil)
		return status == 403 && strings.Contains(body, "the tag is not known here")
	})
	if status, _, body := m.get("HEAD", m.path("/manifests/1"), nil); status != 200 {
		t.Fatalf("by its tag: %d %s", status, body)
	}
	for _, path := range []string{"/manifests/" + m.digest, "/blobs/" + config, "/blobs/" + layer} {
		if status, _, body := m.get("GET", m.path(path), nil); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
		m.later(20 * time.Minute) // layers are large
	}
	m.later(20 * time.Minute)
	if status, _, body := m.get("GET", m.path("/manifests/"+m.digest), nil); status != 200 {
		t.Errorf("the same digest, later: %d %s", status, body)
	}
	if status, _, body := m.get("GET", m.path("/manifests/v1"), nil); status != 503 || !strings.Contains(body, "file:nothing") {
		t.Errorf("the other registry's tag: %d %s", status, body)
	}
}

// The operator's list opens hosts that no registry covers, and nothing else.
func TestMirrorHostsOfTheOperator(t *testing.T) {
	t.Parallel()
	listed, err := image.ParsePattern("*.listed.example")
	if err != nil {
		t.Fatal(err)
	}
	m := newMirrorKit(t, func(c *Config) { c.MirrorHosts = []image.Pattern{listed} })
	for host, status := range map[string]int{"a.listed.example": 503, "listed.example": 403, "a.b.listed.example": 403, "listed.example.com": 403} {
		if got, _, body := m.get("GET", host+"/app/manifests/1", nil); got != status {
			t.Errorf("%s: %d %s", host, got, body)
		}
	}
}

// Requests have to wait for their turn, and one whose client is gone gives its turn back.
func TestMirrorTurns(t *testing.T) {
	t.Parallel()
	m := &mirror{turns: make(chan struct{}, 1)}
	release, err := m.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.turn(gone); err == nil {
		t.Error("two at once")
	}
	release()
	if release, err = m.turn(gone); err != nil {
		t.Errorf("after the first: %v", err)
	}
	release()
}
