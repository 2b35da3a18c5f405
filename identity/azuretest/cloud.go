// Package azuretest is one of Azure's clouds on this machine, for tests: Entra, the metadata service, Key Vault and the
// doors of its registries. It refuses what the real one refuses: wrong and expired secrets, assertions and federated
// tokens with a bad signature, issuer, subject or audience, tokens for another resource or of another cloud, missing
// headers, missing roles. It gives out nothing that it does not verify when it comes back.
package azuretest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Cloud is a tenant in one of Azure's clouds, with what is in it.
type Cloud struct {
	Tenant    string // its id
	Authority string // host of the token server
	TLD       string // of its registries: "io", "cn", "us"

	t      testing.TB
	entra  *signer // Entra's key
	issuer string  // of its tokens
	vault  string  // domain of its vaults

	mu           sync.Mutex
	applications map[string]*Application // by client id
	machine      []*Application          // the managed identities of the machine; the first with System is the machine's own
	vaults       map[string]*Vault       // by host
	registries   map[string]*Registry    // by host
	hosts        map[string]http.Handler // others: OIDC issuers
	troubles     map[string][]*Trouble
	calls        map[string]int
	secrets      []string
	noMetadata   bool
}

// New makes a tenant in the public cloud.
func New(t testing.TB) *Cloud { return NewIn(t, "io") }

// NewIn makes a tenant in the cloud whose registries have that top-level domain: io, cn or us.
func NewIn(t testing.TB, tld string) *Cloud {
	places := map[string][3]string{
		"io": {"login.microsoftonline.com", "vault.azure.net", "https://sts.windows.net/"},
		"cn": {"login.chinacloudapi.cn", "vault.azure.cn", "https://sts.chinacloudapi.cn/"},
		"us": {"login.microsoftonline.us", "vault.usgovcloudapi.net", "https://login.microsoftonline.us/"},
	}
	place, ok := places[tld]
	if !ok {
		t.Fatalf("no cloud of Azure's has registries under .%s", tld)
	}
	tenant := NewID()
	return &Cloud{
		Tenant: tenant, Authority: place[0], TLD: tld, vault: place[1], issuer: place[2] + tenant + "/", t: t, entra: entraKeys[tld](),
		applications: map[string]*Application{}, vaults: map[string]*Vault{}, registries: map[string]*Registry{},
		hosts: map[string]http.Handler{}, troubles: map[string][]*Trouble{}, calls: map[string]int{},
	}
}

// NewID makes an id as Azure has them.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newSecret makes a client secret, as it would be shown once.
func newSecret() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	return "8Q~" + hex.EncodeToString(b[:])
}

// Secrets are all secrets, keys and tokens that were ever made here.
func (c *Cloud) Secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(slices.Clone(c.secrets), AppHeader)
}

func (c *Cloud) keep(secret string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secret)
	return secret
}

// Calls is how often an operation was asked for, in vain or not: "entra.instance", "entra.discovery", "entra.token", "imds.probe",
// "imds.token", "app.token", "vault.challenge", "vault.get", "acr.exchange", "acr.token", "registry".
func (c *Cloud) Calls(operation string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[operation]
}

// NoMetadata takes the metadata service away: nothing answers at its address.
func (c *Cloud) NoMetadata() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noMetadata = true
}

// Metadata is the address of the metadata service.
const Metadata = "169.254.169.254"

// Hosts are the names under which something answers, sorted; the metadata service is among them.
func (c *Cloud) Hosts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts := []string{c.Authority, Metadata}
	hosts = slices.AppendSeq(hosts, maps.Keys(c.vaults))
	hosts = slices.AppendSeq(hosts, maps.Keys(c.registries))
	hosts = slices.AppendSeq(hosts, maps.Keys(c.hosts))
	slices.Sort(hosts)
	return hosts
}

// Handler serves one host, nil when nothing answers under that name.
func (c *Cloud) Handler(host string) http.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case host == c.Authority:
		return http.HandlerFunc(c.serveEntra)
	case host == Metadata && !c.noMetadata:
		return http.HandlerFunc(c.serveMetadata)
	case host == AppEndpoint:
		return http.HandlerFunc(c.serveApp)
	case c.vaults[host] != nil:
		return c.vaults[host]
	case c.registries[host] != nil:
		return c.registries[host]
	}
	return c.hosts[host]
}

// ServeHTTP serves the host that a request names.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if handler := c.Handler(r.Host); handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	http.Error(w, "nothing is at "+r.Host, http.StatusMisdirectedRequest)
}

// Transport reaches the cloud without a network, so that tests with a clock of their own (testing/synctest) can use it. A
// host that is not there is an unknown name; the metadata service that is not there never answers, as off Azure.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	handler := t.cloud.Handler(r.URL.Host)
	if handler == nil && r.URL.Host == Metadata {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if handler == nil {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: r.URL.Host, IsNotFound: true}}
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI, in.RemoteAddr = r.URL.Host, r.URL.RequestURI(), "192.0.2.1:1234"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return serve(handler, in)
}

// serve runs a handler as a server would: it may be abandoned, and it may break off.
func serve(handler http.Handler, r *http.Request) (*http.Response, error) {
	type result struct {
		answer *http.Response
		err    error
	}
	done := make(chan result, 1)
	go func() {
		recorder := httptest.NewRecorder()
		defer func() {
			if recover() != nil { // http.ErrAbortHandler
				done <- result{nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}}
				return
			}
			done <- result{recorder.Result(), nil}
		}()
		handler.ServeHTTP(recorder, r)
	}()
	select {
	case got := <-done:
		return got.answer, got.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// A Trouble is what goes wrong with an operation.
type Trouble struct {
	Status     int    // answered instead of what was asked for; 0: the connection breaks
	RetryAfter string // header
	Body       string // of that answer, or "" for an empty object
	Type       string // content type; "" is JSON
	Never      bool   // no answer at all, until the client gives up
	Times      int    // how often; 0 is always
}

// Trouble makes an operation (see Calls) go wrong from now on.
func (c *Cloud) Trouble(operation string, trouble Trouble) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if trouble.Times == 0 {
		trouble.Times = -1
	}
	c.troubles[operation] = append(c.troubles[operation], &trouble)
}

// Calm ends all trouble.
func (c *Cloud) Calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.troubles)
}

// begin counts a call and tells whether it may be answered.
func (c *Cloud) begin(operation string, w http.ResponseWriter, r *http.Request) bool {
	c.mu.Lock()
	c.calls[operation]++
	var trouble *Trouble
	if waiting := c.troubles[operation]; len(waiting) > 0 {
		trouble = waiting[0]
		if trouble.Times--; trouble.Times == 0 {
			c.troubles[operation] = waiting[1:]
		}
	}
	c.mu.Unlock()
	if trouble == nil {
		return true
	}
	trouble.answer(r.Context(), w)
	return false
}

func (t *Trouble) answer(ctx context.Context, w http.ResponseWriter) {
	switch {
	case t.Never:
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	case t.Status == 0:
		panic(http.ErrAbortHandler)
	}
	kind := t.Type
	if kind == "" {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	if t.RetryAfter != "" {
		w.Header().Set("Retry-After", t.RetryAfter)
	}
	w.WriteHeader(t.Status)
	body := t.Body
	if body == "" {
		body = "{}"
	}
	_, _ = io.Copy(w, bytes.NewReader([]byte(body))) // a client that has gone does not matter
}

// now is a second's precision, as in tokens.
func now() time.Time { return time.Now().Truncate(time.Second) }
