// Package kubetest is a cluster's issuer of service-account tokens for tests: discovery and keys are mockoidc's, tokens have
// the claims that an API server gives them.
package kubetest

import (
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"
)

// An Issuer is a cluster's. It listens on loopback until the test ends.
type Issuer struct {
	URL string // its "iss"

	server *mockoidc.MockOIDC
	mu     sync.RWMutex // the server's keys
	away   atomic.Bool
	asked  atomic.Int64
}

// Start makes an issuer with a key of its own.
func Start(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		i.server, err = mockoidc.NewServer(NewKey(t))
	}
	if err == nil {
		err = i.server.AddMiddleware(i.middleware)
	}
	if err == nil {
		err = i.server.Start(listener, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.server.Shutdown() })
	i.URL = i.server.Issuer()
	return i
}

// NewKey makes a key to sign with.
func NewKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (i *Issuer) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		if i.away.Load() {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		i.mu.RLock()
		defer i.mu.RUnlock()
		next.ServeHTTP(w, r)
	})
}

// Asked is how many requests came.
func (i *Issuer) Asked() int { return int(i.asked.Load()) }

// Away makes the issuer hang up on everybody, or answer again.
func (i *Issuer) Away(away bool) { i.away.Store(away) }

// Rotate replaces the key; tokens that were signed before are signed with a key that is not shown any more.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	pair, err := mockoidc.NewKeypair(NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.server.Keypair = pair
}

// Claims are those of a token that an API server would issue for a pod now, for one hour.
func (i *Issuer) Claims(now time.Time, audience, namespace, account string) map[string]any {
	return map[string]any{
		"iss": i.URL, "aud": []string{audience}, "sub": "system:serviceaccount:" + namespace + ":" + account, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": account, "uid": "0c5b2bd5-0000-4000-8000-000000000001"},
			"pod": map[string]any{"name": "w1", "uid": "0c5b2bd5-0000-4000-8000-000000000002"}, "node": map[string]any{"name": "node1"}},
	}
}

// Token signs claims, with changed put over them; a nil value takes one away.
func (i *Issuer) Token(t testing.TB, claims, changed map[string]any) string {
	t.Helper()
	i.mu.RLock()
	pair := i.server.Keypair
	i.mu.RUnlock()
	return Sign(t, pair, claims, changed)
}

// Sign is Token with any key.
func Sign(t testing.TB, pair *mockoidc.Keypair, claims, changed map[string]any) string {
	t.Helper()
	all := maps.Clone(claims)
	for name, value := range changed {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	token, err := pair.SignJWT(jwt.MapClaims(all))
	if err != nil {
		t.Fatal(err)
	}
	return token
}
