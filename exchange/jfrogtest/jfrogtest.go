// Package jfrogtest is a JFrog platform as far as logins go: OIDC integrations with identity mappings, which verify subject
// tokens by the issuer's published keys; access tokens and their one-time refresh tokens; and a registry's front door that
// verifies the tokens that came out. It refuses what the real one refuses.
package jfrogtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A Provider is an OIDC integration: whose tokens are taken, and whom they stand for.
type Provider struct {
	Issuer   string    // the token's iss
	Audience string    // the token's aud; "" takes any
	JWKS     string    // where the issuer publishes its keys; asked anew each time
	Mappings []Mapping // the first that fits counts, or the named one
}

// A Mapping lets a token with these claims in as a user.
type Mapping struct {
	Name     string
	Claims   map[string]string
	Username string
	Project  string        // "" is all of the platform
	Life     time.Duration // of the access token
}

// A Platform is one JFrog platform. Set Now before it is asked anything.
type Platform struct {
	Now func() time.Time

	mu        sync.Mutex
	key       *ecdsa.PrivateKey
	providers map[string]Provider
	refresh   map[string]string // refresh token to the access token that it is for
	passwords map[string]string
	reference map[string]string // reference token to the access token that it stands for
	calls     map[string]int
	made      []string
	fault     http.HandlerFunc
	times     int
	silent    bool // no username beside the token
}

// New makes a platform without integrations.
func New() (*Platform, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Platform{Now: time.Now, key: key, providers: map[string]Provider{}, refresh: map[string]string{}, passwords: map[string]string{}, reference: map[string]string{}, calls: map[string]int{}}, nil
}

// Integrate adds an OIDC integration.
func (p *Platform) Integrate(name string, provider Provider) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.providers[name] = provider
}

// Fault answers the next requests to the access service in its place.
func (p *Platform) Fault(times int, answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times, p.fault = times, answer
}

// WithoutUsername leaves the user name out of what an exchange answers, as older versions do.
func (p *Platform) WithoutUsername() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// Calls counts requests by their path.
func (p *Platform) Calls(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[path]
}

// Secrets lists every token that the platform ever made.
func (p *Platform) Secrets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.made)
}

// Token makes an access token for a user, and a refresh token for the next one. A life of 0 has no end; a negative one is
// over.
func (p *Platform) Token(username string, life time.Duration) (access, refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token(username, life)
}

func (p *Platform) token(username string, life time.Duration) (access, refresh string) {
	now := p.Now()
	claims := map[string]any{"sub": "jfac@01hunt/users/" + username, "iss": "jfac@01hunt", "aud": "*@*", "scp": "applied-permissions/user", "iat": now.Unix(), "jti": rand.Text()}
	if life != 0 {
		claims["exp"] = now.Add(life).Unix()
	}
	access = sign(p.key, "platform", claims)
	refresh = "refresh-" + rand.Text()
	p.refresh[refresh] = access
	p.made = append(p.made, access, refresh)
	return access, refresh
}

// Reference makes a reference token for a user: short, without a name in it, and good wherever its access token is.
func (p *Platform) Reference(username string, life time.Duration) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	access, _ := p.token(username, life)
	text := base64.RawStdEncoding.EncodeToString([]byte("reftkn:01:0000000000:" + rand.Text()))
	p.reference[text] = access
	p.made = append(p.made, text)
	return text
}

func sign(key *ecdsa.PrivateKey, id string, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err) // of a key that was made for it
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

// Verify tells whether a login opens the registry: an access or reference token of this platform's that lives, with its own
// user name.
func (p *Platform) Verify(username, password string) error {
	p.mu.Lock()
	if access := p.reference[password]; access != "" {
		password = access
	}
	p.mu.Unlock()
	subject, _, err := p.read(password)
	if err != nil {
		return err
	}
	if subject != username {
		return fmt.Errorf("the token is %s's", subject)
	}
	return nil
}

// read verifies an access token and returns whose it is and how long it was made for.
func (p *Platform) read(access string) (username string, life time.Duration, err error) {
	token, err := jwt.ParseSigned(access, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", 0, fmt.Errorf("no access token")
	}
	var claims jwt.Claims
	if err := token.Claims(p.key.Public(), &claims); err != nil {
		return "", 0, fmt.Errorf("not signed by this platform")
	}
	if claims.Expiry != nil && !p.Now().Before(claims.Expiry.Time()) {
		return "", 0, fmt.Errorf("token expired")
	}
	if claims.Expiry != nil {
		life = claims.Expiry.Time().Sub(claims.IssuedAt.Time())
	}
	_, username, _ = strings.Cut(claims.Subject, "/users/")
	return username, life, nil
}

// Registry is a registry behind this platform's logins: who has one gets to next, the rest a challenge.
func (p *Platform) Registry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, sent := r.BasicAuth()
		if !sent || p.Verify(username, password) != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="Artifactory Realm"`)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "The client does not have permission for manifest")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP is the platform's access service.
func (p *Platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.calls[r.URL.Path]++
	fault := p.fault
	if p.times == 0 {
		fault = nil
	} else {
		p.times--
	}
	p.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/access/api/v1/oidc/token":
		p.exchange(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/access/api/v1/tokens":
		p.renew(w, r)
	default:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "no such resource")
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}

// renew is the refresh grant: the refresh token is good once, for the access token that it came with, while that lives.
func (p *Platform) renew(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	username, life, err := p.read(access)
	refresh := r.PostFormValue("refresh_token")
	switch {
	case err != nil:
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", err.Error())
	case r.PostFormValue("grant_type") != "refresh_token":
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "unsupported grant type")
	case refresh == "" || p.refresh[refresh] != access:
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "the refresh token is not known, or was used")
	default:
		delete(p.refresh, refresh)
		next, more := p.token(username, life)
		give(w, map[string]any{"access_token": next, "refresh_token": more, "expires_in": int(life.Seconds()), "token_type": "Bearer", "scope": "applied-permissions/user"})
	}
}

func give(w http.ResponseWriter, answer map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
