package jfrogtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	idToken       = "urn:ietf:params:oauth:token-type:id_token"
)

type question struct {
	GrantType   string `json:"grant_type"`
	TokenType   string `json:"subject_token_type"`
	Token       string `json:"subject_token"`
	Provider    string `json:"provider_name"`
	Project     string `json:"project_key"`
	MappingName string `json:"identity_mapping_name"`
}

// exchange is the token exchange by OIDC.
func (p *Platform) exchange(w http.ResponseWriter, r *http.Request) {
	var q question
	if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q) != nil ||
		q.GrantType != tokenExchange || q.TokenType != idToken || q.Token == "" {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "not a token exchange")
		return
	}
	p.mu.Lock()
	provider, known := p.providers[q.Provider]
	p.mu.Unlock()
	if !known {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "provider not found")
		return
	}
	claims, err := p.verify(r, provider, q.Token)
	if err != nil {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Failed to validate token: "+err.Error())
		return
	}
	for _, m := range provider.Mappings {
		if m.fits(claims) && (q.MappingName == "" || q.MappingName == m.Name) && (m.Project == "" || m.Project == q.Project) {
			p.mu.Lock()
			defer p.mu.Unlock()
			access, _ := p.token(m.Username, m.Life)
			answer := map[string]any{"access_token": access, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": int(m.Life.Seconds()), "username": m.Username}
			if p.silent {
				delete(answer, "username")
			}
			give(w, answer)
			return
		}
	}
	refuse(w, http.StatusForbidden, "FORBIDDEN", "no identity mapping fits the token")
}

func (m Mapping) fits(claims map[string]any) bool {
	for name, want := range m.Claims {
		if claims[name] != want {
			return false
		}
	}
	return true
}

// verify checks a subject token against the issuer's published keys, and iss, aud, exp and nbf.
func (p *Platform) verify(r *http.Request, provider Provider, text string) (map[string]any, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, provider.JWKS, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the issuer's keys cannot be read")
	}
	defer answer.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(answer.Body).Decode(&keys); err != nil {
		return nil, fmt.Errorf("the issuer's keys cannot be read")
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return nil, fmt.Errorf("not a signed token")
	}
	var standard jwt.Claims
	var all map[string]any
	if err := token.Claims(&keys, &standard, &all); err != nil {
		return nil, fmt.Errorf("invalid signature")
	}
	expected := jwt.Expected{Issuer: provider.Issuer, Time: p.Now()}
	if provider.Audience != "" {
		expected.AnyAudience = jwt.Audience{provider.Audience}
	}
	if err := standard.ValidateWithLeeway(expected, 0); err != nil {
		return nil, err
	}
	return all, nil
}

// An Issuer makes OIDC tokens, as a cluster or a CI system does for its workloads.
type Issuer struct {
	Name string // the tokens' iss
	key  *ecdsa.PrivateKey
}

// NewIssuer makes an issuer with a key of its own.
func NewIssuer(name string) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &Issuer{Name: name, key: key}, err
}

// ServeHTTP publishes the issuer's keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "issuer", Algorithm: "ES256", Use: "sig"}}})
}

// Token makes a token for a subject.
func (i *Issuer) Token(subject, audience string, issued time.Time, life time.Duration) string {
	return sign(i.key, "issuer", map[string]any{"iss": i.Name, "sub": subject, "aud": audience, "iat": issued.Unix(), "nbf": issued.Unix(), "exp": issued.Add(life).Unix()})
}
