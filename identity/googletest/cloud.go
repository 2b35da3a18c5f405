// Package googletest stands for Google in tests: the token service, the metadata server, the Security Token Service,
// service account credentials, Secret Manager, and Artifact Registry. It refuses what the real ones refuse, in their
// words, and knows who may do what.
//
// A Cloud answers as plain HTTP handlers, one for each host of Google's, so that a test puts it behind TLS or on a metadata
// address as it likes. Transport is the short way: an http.RoundTripper that ends at those handlers without a socket, which
// also works with testing/synctest's clock, and fails for every host that is not Google's.
package googletest

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Scope is the one that opens everything that IAM allows.
const Scope = "https://www.googleapis.com/auth/cloud-platform"

// What principals may be allowed to do (Grant).
const (
	GetAccessToken = "iam.serviceAccounts.getAccessToken"              // on a service account's e-mail
	AccessVersion  = "secretmanager.versions.access"                   // on "projects/P/secrets/S", or a prefix of it
	Download       = "artifactregistry.repositories.downloadArtifacts" // on "HOST/PROJECT/REPOSITORY", or a prefix of it
	Upload         = "artifactregistry.repositories.uploadArtifacts"   // likewise
	denied         = "' denied on resource (or it may not exist)."     // as IAM ends its sentence
	maxLifetime    = time.Hour                                         // of a token
)

// A Cloud is Google, in one process. New makes one.
type Cloud struct {
	mu        sync.Mutex
	accounts  map[string]*Account
	tokens    map[string]issued // access tokens by their text
	providers map[string]*provider
	grants    map[grant]bool
	stored    map[string]*stored
	machine   *Machine
	kept      string // the metadata server's token
	calls     map[Operation]int
	troubles  map[Operation]*Trouble
	away      map[string]bool
	strays    []string
	secrets   []string
	registry  http.Handler
	logins    map[string]issued // the registries' own tokens
}

// issued is what a token stands for.
type issued struct {
	principal string
	expires   time.Time
	scopes    []string
}

type grant struct{ principal, permission, resource string }

// New makes an empty Google: nobody is there, and nobody may do anything.
func New() *Cloud {
	return &Cloud{accounts: map[string]*Account{}, tokens: map[string]issued{}, providers: map[string]*provider{}, grants: map[grant]bool{},
		stored: map[string]*stored{}, calls: map[Operation]int{}, troubles: map[Operation]*Trouble{}, away: map[string]bool{},
		registry: newRegistry(), logins: map[string]issued{}}
}

// Grant lets a principal (an e-mail, or principal://…) do something to a resource and all below it.
func (c *Cloud) Grant(principal, permission, resource string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants[grant{principal, permission, resource}] = true
}

// Revoke takes a grant back.
func (c *Cloud) Revoke(principal, permission, resource string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.grants, grant{principal, permission, resource})
}

// may tells whether a principal has a permission on the resource or on something above it. c.mu is held.
func (c *Cloud) may(principal, permission, resource string) bool {
	for {
		if c.grants[grant{principal, permission, resource}] {
			return true
		}
		i := strings.LastIndexByte(resource, '/')
		if i < 0 {
			return false
		}
		resource = resource[:i]
	}
}

// Token tells whom an access token stands for and until when; false for one that was never issued, or has ended. It is
// what a registry that trusts this Google asks.
func (c *Cloud) Token(token string) (principal string, expires time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.lookup(token)
	return i.principal, i.expires, ok
}

// lookup is Token with c.mu held.
func (c *Cloud) lookup(token string) (issued, bool) {
	i, known := c.tokens[token]
	return i, known && time.Now().Before(i.expires)
}

// EndTokens ends every access token that was issued so far.
func (c *Cloud) EndTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tokens)
	c.kept = ""
}

// issue makes an access token. c.mu is held.
func (c *Cloud) issue(principal string, life time.Duration, scopes []string) string {
	token := "ya29.c." + random(96)
	c.tokens[token] = issued{principal: principal, expires: time.Now().Add(life), scopes: scopes}
	c.remember(token)
	return token
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// remember adds to Secrets. c.mu is held.
func (c *Cloud) remember(secrets ...string) { c.secrets = append(c.secrets, secrets...) }

// Secrets lists every key, token and secret that was ever made here.
func (c *Cloud) Secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.secrets)
}

// An Operation is one thing that Google is asked for, as Calls counts and Trouble troubles it.
type Operation string

// The operations.
const (
	OpToken         Operation = "oauth2 token"
	OpExchange      Operation = "sts token"
	OpImpersonate   Operation = "iamcredentials generateAccessToken"
	OpEmail         Operation = "metadata email"
	OpMachineToken  Operation = "metadata token"
	OpAccess        Operation = "secretmanager access"
	OpRegistryToken Operation = "registry token"
)

// Calls tells how often an operation was asked for.
func (c *Cloud) Calls(op Operation) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[op]
}

// Hosts lists the hosts that this Google answers at, but for the regional ones and the registries.
func Hosts() []string {
	return slices.Sorted(maps.Keys(map[string]bool{"oauth2.googleapis.com": true, "sts.googleapis.com": true, "iamcredentials.googleapis.com": true,
		"secretmanager.googleapis.com": true, "metadata.google.internal": true, "169.254.169.254": true}))
}

// Handler is what answers at a host, which may have a port; nil where nobody does.
func (c *Cloud) Handler(host string) http.Handler {
	host, _, _ = strings.Cut(host, ":")
	location, regional := strings.CutSuffix(host, ".rep.googleapis.com")
	location, secretManager := strings.CutPrefix(location, "secretmanager.")
	switch {
	case host == "oauth2.googleapis.com":
		return http.HandlerFunc(c.oauth)
	case host == "sts.googleapis.com":
		return http.HandlerFunc(c.sts)
	case host == "iamcredentials.googleapis.com":
		return http.HandlerFunc(c.iamCredentials)
	case host == "metadata.google.internal", host == "169.254.169.254":
		return http.HandlerFunc(c.metadata)
	case host == "secretmanager.googleapis.com":
		return c.secretManager("")
	case regional && secretManager:
		return c.secretManager(location)
	case isRegistry(host):
		return c.registryHandler(host)
	}
	return nil
}
