package broker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/basic"
	"pierhead.dev/pierhead/exchange/hosted"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/resolve"
	"pierhead.dev/pierhead/secret"
	secretfile "pierhead.dev/pierhead/secret/file"
	"pierhead.dev/pierhead/secret/sealed"
)

// A remote is a registry of somebody else's with a password on it. It holds team/app:v1. Where it says no it sends back
// what it was sent, then and earlier, as a hostile one would, so that every test sees that this gets into no error and no event. What is
// public needs a token too, as at Docker Hub, where there is a token server: a login is asked for everything.
type remote struct {
	*httptest.Server
	host     string
	bearer   bool // it has a token server, on the same host
	manifest digest.Digest
	layer    digest.Digest

	mu       sync.Mutex
	public   bool
	password string            // of the user "ci"
	asked    int               // requests in all
	logins   map[string]int    // passwords that came, and how often
	users    map[string]string // whose they were said to be
}

const layerText = "the layer's bytes"

func newRemote(t *testing.T, bearer bool) *remote {
	r := &remote{bearer: bearer, password: "right-" + t.Name(), logins: map[string]int{}, users: map[string]string{}}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	r.fill(t, inner)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if r.admit(w, request) {
			inner.ServeHTTP(w, request)
		}
	}))
	t.Cleanup(r.Close)
	r.host = strings.TrimPrefix(r.URL, "http://")
	return r
}

func (r *remote) fill(t *testing.T, inner http.Handler) {
	put := func(method, path, mediaType, content string) {
		request := httptest.NewRequest(method, path, strings.NewReader(content))
		request.Header.Set("Content-Type", mediaType)
		w := httptest.NewRecorder()
		if inner.ServeHTTP(w, request); w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	const config = "{}"
	r.layer = digest.FromString(layerText)
	for _, blob := range []string{config, layerText} {
		put("POST", "/v2/team/app/blobs/uploads/?digest="+digest.FromString(blob).String(), "application/octet-stream", blob)
	}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		mediaType, digest.FromString(config), len(config), r.layer, len(layerText))
	r.manifest = digest.FromString(manifest)
	put("PUT", "/v2/team/app/manifests/v1", mediaType, manifest)
}

// admit says no in its own way, and then answers itself.
func (r *remote) admit(w http.ResponseWriter, request *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	user, password, sent := request.BasicAuth()
	if sent {
		r.logins[password]++
		r.users[password] = user
	}
	right := sent && user == "ci" && password == r.password
	if request.URL.Path == "/token" {
		if sent && !right {
			r.refuse(w, request)
		} else {
			fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, "token-"+password)
		}
		return false
	}
	if r.bearer {
		token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
		right, sent = token == "token-"+r.password, token != ""
	}
	if right || r.public && (!sent && !r.bearer || request.Header.Get("Authorization") == "Bearer token-") {
		return true
	}
	challenge := `Basic realm="remote"`
	if r.bearer {
		challenge = fmt.Sprintf(`Bearer realm="%s/token",service="remote",scope="repository:team/app:pull"`, r.URL)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	r.refuse(w, request)
	return false
}

func (r *remote) refuse(w http.ResponseWriter, request *http.Request) {
	_, password, _ := request.BasicAuth()
	var before []string // also to somebody who sends no login any more
	for came := range r.logins {
		before = append(before, came, base64.StdEncoding.EncodeToString([]byte("ci:"+came)))
	}
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": "UNAUTHORIZED",
		"message": "you sent " + request.Header.Get("Authorization") + " that is " + password + ", after " + strings.Join(before, " and ")}}})
}

func (r *remote) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *remote) count(password string) (requests, withPassword int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked, r.logins[password]
}

// registry is an entry for the remote whose login is the secret file:team.
func (r *remote) registry() pierhead.Registry {
	return pierhead.Registry{ID: "reg_team", OrganizationID: "org_acme", Name: "team", Type: pierhead.RegistryGeneric, Enabled: true,
		Match: []string{r.host + "/team/*"}, Credential: pierhead.RegistryCredential{Secret: "file:team"},
		Projects: pierhead.ProjectScope{All: true}, PlainHTTP: true}
}

// A node is a broker with all that it is made of.
type node struct {
	*Broker
	t       *testing.T
	secrets string // directory
	source  *countingSource
	events  *recorder
	keys    keyring
}

type tables map[string][]pierhead.Registry

func (o tables) Table(_ context.Context, id string) (*resolve.Table, error) {
	return resolve.Compile(o[id])
}

type recorder struct {
	mu     sync.Mutex
	events []pierhead.Event
}

func (r *recorder) Record(e pierhead.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) kinds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, e := range r.events {
		kinds = append(kinds, e.Kind)
	}
	return strings.Join(kinds, " ")
}

// A countingSource counts what is asked of it, and can be out of reach.
type countingSource struct {
	secret.Source
	mu   sync.Mutex
	gets int
	down error
}

func (s *countingSource) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	s.mu.Lock()
	s.gets++
	down := s.down
	s.mu.Unlock()
	if down != nil {
		return secret.Value{}, down
	}
	return s.Source.Get(ctx, ref)
}

func (s *countingSource) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets
}

type keyring struct{ keys sealed.Keys }

func bindingOf(r pierhead.Registry, hosts []string) sealed.Binding {
	return sealed.Binding{OrganizationID: r.OrganizationID, RegistryID: r.ID, Type: string(r.Type), Hosts: hosts}
}

func (k keyring) Unseal(r pierhead.Registry, hosts []string) (secret.Value, error) {
	return sealed.Open(k.keys, bindingOf(r, hosts), string(r.Credential.Sealed))
}

func (k keyring) seal(t *testing.T, r pierhead.Registry, hosts []string, password string) pierhead.Sealed {
	t.Helper()
	text, err := sealed.Seal(k.keys[0].Public(), bindingOf(r, hosts), "ci", password)
	if err != nil {
		t.Fatal(err)
	}
	return pierhead.Sealed(text)
}

const hostedHost = "pier.example.com"

func newNode(t *testing.T, registries ...pierhead.Registry) *node {
	t.Helper()
	key, err := sealed.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, secrets: t.TempDir(), events: &recorder{}, keys: keyring{sealed.Keys{key}}}
	if err := os.Chmod(n.secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	n.source = &countingSource{Source: secret.Mux{"file": secretfile.New(secretfile.Config{Dir: n.secrets})}}
	n.Broker = New(Config{
		Registries: tables{"org_acme": registries}, Secrets: n.source, Sealed: n.keys, Events: n.events,
		Exchangers: map[pierhead.RegistryType]exchange.Exchanger{
			pierhead.RegistryGeneric: basic.New(),
			pierhead.RegistryHosted:  hosted.Exchanger{Host: func() string { return hostedHost }, Username: "node-1", Token: func() string { return "the-nodes-token" }},
		},
	})
	return n
}

// write makes a secret; server may be empty.
func (n *node) write(name, password, server string) {
	n.t.Helper()
	fields := map[string]string{"username": "ci", "password": password}
	if server != "" {
		fields["server"] = server
	}
	text, err := json.Marshal(fields)
	if err == nil {
		err = os.WriteFile(filepath.Join(n.secrets, name), text, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

var alice = pierhead.Caller{Name: "alice"}

func ask(t *testing.T, written string) Question {
	t.Helper()
	reference, err := image.Parse(written)
	if err != nil {
		t.Fatal(err)
	}
	return Question{OrganizationID: "org_acme", Project: "vision", Reference: reference, ExecutionID: "exe_1"}
}

// resolve opens the image and resolves its tag.
func (n *node) resolve(written string) (digest.Digest, *Access, error) {
	n.t.Helper()
	q := ask(n.t, written)
	access, err := n.Open(n.t.Context(), alice, q)
	if err != nil {
		return "", nil, err
	}
	d, err := access.Resolve(n.t.Context(), q.Reference.Repository(), q.Reference.Tag())
	return d.Digest, access, err
}

// keepsSecret fails when a password is in one of the texts or in an event, raw or as it is sent.
func (n *node) keepsSecret(password string, texts ...string) {
	n.t.Helper()
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	for _, e := range n.events.events {
		texts = append(texts, fmt.Sprintf("%+v", e))
	}
	sent := base64.StdEncoding.EncodeToString([]byte("ci:" + password))
	for _, text := range texts {
		if strings.Contains(text, password) || strings.Contains(text, sent) {
			n.t.Errorf("the password is in %q", text)
		}
	}
}
