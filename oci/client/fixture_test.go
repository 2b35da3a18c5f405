package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

const (
	host   = "r.example.com"
	repo   = "acme/app"
	marker = "hunter2-Marker+x/y"
)

// A fixture is a world with a registry that was not written by us, go-containerregistry's, and one image on it.
type fixture struct {
	*egresstest.World
	t        *testing.T
	inner    http.Handler
	manifest []byte
	digest   digest.Digest // of manifest
	layer    []byte
	blob     digest.Digest // of layer

	mu     sync.Mutex
	now    time.Time
	slept  []time.Duration
	logins []credential.Credential // what Credential hands out: the first, then the next after each refusal
	asked  []string                // how it was asked
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{
		World: egresstest.New(t), t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		inner: registry.New(registry.Logger(log.New(io.Discard, "", 0))), layer: []byte(strings.Repeat("layer of the image\n", 5000)),
	}
	f.blob = f.put(f.layer)
	config := f.put([]byte("{}"))
	f.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		config, f.blob, len(f.layer))
	f.digest = digest.FromBytes(f.manifest)
	f.local("PUT", "/v2/"+repo+"/manifests/v1", string(f.manifest), "application/vnd.oci.image.manifest.v1+json")
	return f
}

func (f *fixture) put(content []byte) digest.Digest {
	d := digest.FromBytes(content)
	f.local("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), string(content), "application/octet-stream")
	return d
}

// local speaks to the registry without a network.
func (f *fixture) local(method, path, body, contentType string) {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	f.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		f.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

// Credential implements client.Credentials.
func (f *fixture) Credential(_ context.Context, stale *credential.Credential) (credential.Credential, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stale == nil {
		f.asked = append(f.asked, "login")
	} else {
		f.asked = append(f.asked, "instead of "+stale.Password())
		if len(f.logins) > 1 && stale.ID() == f.logins[0].ID() {
			f.logins = f.logins[1:]
		}
	}
	return f.logins[0], nil
}

func (f *fixture) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fixture) sleeps() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.slept)
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func login(password string, hosts ...string) credential.Credential {
	if len(hosts) == 0 {
		hosts = []string{host}
	}
	return credential.New("ci", password, time.Time{}, hosts)
}

// client makes one for the registry, with logins or anonymous; its sleeps are only counted.
func (f *fixture) client(rules egress.Rules, logins ...credential.Credential) *client.Client {
	f.t.Helper()
	if rules.Host == "" {
		rules.Host = host
	}
	rules.CA = f.CA()
	config := client.Config{
		Rules: rules, Network: f.Network(), Jitter: func() float64 { return 0 },
		Now: func() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now },
		Sleep: func(ctx context.Context, d time.Duration) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.slept = append(f.slept, d)
			f.now = f.now.Add(d)
			return ctx.Err()
		},
	}
	if len(logins) > 0 {
		f.logins, config.Credentials = logins, f
	}
	c, err := client.New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// basic lets nobody in without one of the passwords.
func basic(next http.Handler, passwords ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "ci" || !slices.Contains(passwords, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Registry Realm"`)
			answer(w, 401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// An issuer is a token server, and the registry side that believes its tokens.
type issuer struct {
	realm    string // in challenges
	public   bool   // grants anonymous tokens that count
	password func(string) bool
	expires  string // the JSON of expires_in, "" for none
	field    string // "token" where empty

	mu       sync.Mutex
	tokens   map[string]bool
	requests []*http.Request
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests = append(i.requests, r)
	_, password, sent := r.BasicAuth()
	if r.Method == http.MethodPost {
		password, sent = r.PostForm.Get("refresh_token"), true
	}
	if sent && !i.password(password) {
		answer(w, 401, `{"details":"incorrect username or password"}`)
		return
	}
	token := fmt.Sprintf("token-%d", len(i.requests))
	if i.tokens == nil {
		i.tokens = map[string]bool{}
	}
	i.tokens[token] = sent || i.public
	field := i.field
	if field == "" {
		field = "token"
	}
	fields := map[string]any{field: token}
	if i.expires != "" {
		fields["expires_in"] = json.RawMessage(i.expires)
	}
	text, _ := json.Marshal(fields)
	answer(w, 200, string(text))
}

func (i *issuer) revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.tokens)
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.requests)
}

// protect asks for a bearer token of this issuer.
func (i *issuer) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		i.mu.Lock()
		good, known := i.tokens[token]
		i.mu.Unlock()
		if good {
			next.ServeHTTP(w, r)
			return
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
		name, _, _ = strings.Cut(name, "/blobs/")
		text := fmt.Sprintf(`Bearer realm=%q,service="registry.test",scope="repository:%s:pull"`, i.realm, name)
		if known {
			text += `,error="insufficient_scope"`
		}
		w.Header().Set("WWW-Authenticate", text)
		answer(w, 401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
	})
}

// withToken puts an issuer at /token beside a registry.
func withToken(i *issuer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			i.ServeHTTP(w, r)
			return
		}
		i.protect(next).ServeHTTP(w, r)
	})
}

func is(password string) func(string) bool { return func(p string) bool { return p == password } }

// reads checks that the image can be read in full.
func (f *fixture) reads(c oci.Reader) {
	f.t.Helper()
	ctx := f.t.Context()
	d, err := c.Resolve(ctx, repo, "v1")
	if err != nil || d != (oci.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: f.digest, Size: int64(len(f.manifest))}) {
		f.t.Errorf("Resolve: %+v, %v", d, err)
	}
	for _, reference := range []string{"v1", f.digest.String()} {
		m, err := c.Manifest(ctx, repo, reference)
		if err != nil || string(m.Content) != string(f.manifest) || m.Digest != f.digest {
			f.t.Errorf("Manifest: %+v, %v", m, err)
		}
	}
	if got, err := blob(f.t, c, f.blob, 0, -1); err != nil || got != string(f.layer) {
		f.t.Errorf("Blob: %d bytes, %v", len(got), err)
	}
}

func blob(t *testing.T, c oci.Reader, d digest.Digest, offset, length int64) (string, error) {
	b, err := c.Blob(t.Context(), repo, d, offset, length)
	if err != nil {
		return "", err
	}
	defer b.Close()
	content, err := io.ReadAll(b.Body)
	return string(content), err
}

// nobodyElse checks that no server but the named ones was sent a secret.
func (f *fixture) nobodyElse(secret string, allowed ...string) {
	f.t.Helper()
	for _, s := range f.Servers() {
		if !slices.Contains(allowed, s.Host) && s.Knows(secret) {
			f.t.Errorf("%s was sent the secret", s.Host)
		}
	}
}
