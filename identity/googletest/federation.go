package googletest

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// An Issuer is somebody else's OIDC issuer, whose tokens a pool may take.
type Issuer struct {
	URL    string
	cloud  *Cloud
	id     string
	signer jose.Signer
	key    *rsa.PublicKey
}

// NewIssuer makes an issuer with a key of its own.
func (c *Cloud) NewIssuer(url string) *Issuer {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	id := keyID()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: private}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", id))
	if err != nil {
		panic(err)
	}
	return &Issuer{URL: url, cloud: c, id: id, signer: signer, key: &private.PublicKey}
}

// JWKS is what the issuer publishes.
func (i *Issuer) JWKS() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key, KeyID: i.id, Algorithm: string(jose.RS256), Use: "sig"}}}
}

// Sign makes a token for the subject and audience, good for that long from now; it may have ended already.
func (i *Issuer) Sign(subject, audience string, life time.Duration) string {
	now := time.Now()
	issued := now
	if life < 0 {
		issued = now.Add(life - time.Hour)
	}
	token, err := jwt.Signed(i.signer).Claims(jwt.Claims{Issuer: i.URL, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(issued), Expiry: jwt.NewNumericDate(now.Add(life))}).Serialize()
	if err != nil {
		panic(err)
	}
	i.cloud.mu.Lock()
	defer i.cloud.mu.Unlock()
	i.cloud.remember(token, token[strings.LastIndexByte(token, '.')+1:])
	return token
}

// provider is one of a workload identity pool's.
type provider struct {
	pool      string
	issuer    string
	keys      jose.JSONWebKeySet
	audiences []string
	life      time.Duration
}

// Provider makes a provider in a workload identity pool, which takes the issuer's tokens with one of the audiences, by
// default its own name. It returns the audience that an external_account file names. The principal of a token is
// principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/subject/SUBJECT.
func (c *Cloud) Provider(number int, pool, name string, issuer *Issuer, audiences ...string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := fmt.Sprintf("iam.googleapis.com/projects/%d/locations/global/workloadIdentityPools/%s", number, pool)
	audience := "//" + full + "/providers/" + name
	if len(audiences) == 0 {
		audiences = []string{"https:" + audience}
	}
	c.providers[audience] = &provider{pool: full, issuer: issuer.URL, keys: issuer.JWKS(), audiences: audiences, life: maxLifetime - time.Second}
	return audience
}

// FederatedLife sets how long tokens of an audience's provider live.
func (c *Cloud) FederatedLife(audience string, life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.providers[audience].life = life
}

// sts is sts.googleapis.com: somebody else's token in, one of Google's out (RFC 8693).
func (c *Cloud) sts(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/token" {
		methodNotAllowed(w, r)
		return
	}
	if !c.begin(w, r, OpExchange) {
		return
	}
	const names = "urn:ietf:params:oauth:"
	form := func(name string) string { return r.PostFormValue(name) }
	switch {
	case form("grant_type") != names+"grant-type:token-exchange", form("requested_token_type") != names+"token-type:access_token":
		oauthError(w, http.StatusBadRequest, "invalid_request", "Invalid grant_type or requested_token_type")
		return
	case form("subject_token_type") != names+"token-type:jwt" && form("subject_token_type") != names+"token-type:id_token":
		oauthError(w, http.StatusBadRequest, "invalid_request", "Invalid subject_token_type")
		return
	case form("scope") == "":
		oauthError(w, http.StatusBadRequest, "invalid_scope", "Scope is missing")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.providers[form("audience")]
	if p == nil {
		oauthError(w, http.StatusBadRequest, "invalid_target", `The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.`)
		return
	}
	subject, description := p.verify(form("subject_token"))
	if description != "" {
		oauthError(w, http.StatusBadRequest, "invalid_grant", description)
		return
	}
	token := c.issue("principal://"+p.pool+"/subject/"+subject, p.life, strings.Fields(form("scope")))
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": int(p.life.Seconds()), "token_type": "Bearer",
		"issued_token_type": names + "token-type:access_token"})
}

// verify checks a subject token by the issuer's published keys.
func (p *provider) verify(token string) (subject, description string) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "", "Unable to parse the ID Token."
	}
	var claims jwt.Claims
	keys := p.keys.Key(parsed.Headers[0].KeyID)
	if len(keys) != 1 || parsed.Claims(keys[0].Key, &claims) != nil {
		return "", "Invalid ID Token signature: connection to the issuer " + p.issuer + " found no such key."
	}
	now := time.Now()
	switch {
	case claims.Issuer != p.issuer:
		return "", "The issuer in ID Token " + claims.Issuer + " does not match the expected ones: [" + p.issuer + "]"
	case !slices.ContainsFunc(p.audiences, claims.Audience.Contains):
		return "", fmt.Sprintf("The audience in ID Token %v does not match the expected audience.", claims.Audience)
	case claims.Expiry == nil || claims.Expiry.Time().Before(now):
		return "", fmt.Sprintf("ID Token issued at %d is stale to sign-in.", claims.IssuedAt.Time().Unix())
	case claims.IssuedAt.Time().After(now.Add(clockLeeway)):
		return "", "ID Token issued at is in the future."
	case claims.Subject == "":
		return "", "The mapped attribute google.subject is empty."
	}
	return claims.Subject, ""
}
