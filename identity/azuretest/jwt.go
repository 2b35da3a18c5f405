package azuretest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A signer is a key that signs tokens.
type signer struct {
	key *rsa.PrivateKey
	id  string
}

// entraKeys are Entra's, one for all tenants of a cloud, as it is there. They are made at first use.
var entraKeys = map[string]func() *signer{"io": sync.OnceValue(newSigner), "cn": sync.OnceValue(newSigner), "us": sync.OnceValue(newSigner)}

// newSigner makes a key; that cannot fail but by a broken machine.
func newSigner() *signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	public := jose.JSONWebKey{Key: key.Public()}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return &signer{key: key, id: fmt.Sprintf("%x", thumbprint[:8])}
}

// sign makes a token of claims.
func (s *signer) sign(claims map[string]any) string {
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", s.id)
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: s.key}, options)
	if err != nil {
		panic(err)
	}
	token, err := jwt.Signed(with).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

// jwks is the key's public half.
func (s *signer) jwks() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: s.id, Algorithm: "RS256", Use: "sig"}}}
}

var (
	errSignature = errors.New("the signature is not this issuer's")
	errTime      = errors.New("the token is not valid now")
)

// claims verifies a token's signature and times and reads it.
func (s *signer) claims(token string) (map[string]any, error) {
	return verify(token, s.key.Public(), jose.RS256)
}

func verify(token string, key any, algorithm jose.SignatureAlgorithm) (map[string]any, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return nil, errSignature
	}
	claims := map[string]any{}
	if parsed.Claims(key, &claims) != nil {
		return nil, errSignature
	}
	const skew = 300 // seconds that Entra forgives
	at := time.Now().Unix()
	expires, ok := claims["exp"].(float64)
	begins, _ := claims["nbf"].(float64)
	if !ok || at > int64(expires)+skew || at < int64(begins)-skew {
		return claims, errTime
	}
	return claims, nil
}

// An Issuer is an OIDC issuer of federated tokens: a cluster's service accounts.
type Issuer struct {
	URL   string
	cloud *Cloud
	*signer
}

// Issuer starts one under a host of its own.
func (c *Cloud) Issuer(host string) *Issuer {
	issuer := &Issuer{URL: "https://" + host, cloud: c, signer: newSigner()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"issuer": issuer.URL, "jwks_uri": issuer.URL + "/openid/v1/jwks"})
	})
	mux.HandleFunc("GET /openid/v1/jwks", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, issuer.jwks()) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts[host] = mux
	return issuer
}

// Token is what the issuer gives to a subject.
func (i *Issuer) Token(subject, audience string, life time.Duration) string {
	return i.cloud.keep(i.sign(map[string]any{
		"iss": i.URL, "sub": subject, "aud": []string{audience}, "iat": now().Unix(), "nbf": now().Unix(), "exp": now().Add(life).Unix(),
	}))
}

// jwksOf asks an issuer for its keys over HTTP, as Entra does.
func (c *Cloud) jwksOf(issuer string) (jose.JSONWebKeySet, error) {
	var configuration struct {
		URI string `json:"jwks_uri"`
	}
	var keys jose.JSONWebKeySet
	if err := c.get(issuer+"/.well-known/openid-configuration", &configuration); err != nil {
		return keys, err
	}
	return keys, c.get(configuration.URI, &keys)
}

func (c *Cloud) get(address string, into any) error {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	got, err := c.Transport().RoundTrip(request)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	return json.NewDecoder(got.Body).Decode(into)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone does not matter
}
