package googletest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// An Account is a service account.
type Account struct {
	Email    string
	cloud    *Cloud
	keys     map[string]*rsa.PublicKey
	disabled bool
}

// Account makes the service account of that e-mail, or returns it.
func (c *Cloud) Account(email string) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accounts[email] == nil {
		c.accounts[email] = &Account{Email: email, cloud: c, keys: map[string]*rsa.PublicKey{}}
	}
	return c.accounts[email]
}

// DeleteAccount removes a service account.
func (c *Cloud) DeleteAccount(email string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.accounts, email)
}

// Disable switches the account off.
func (a *Account) Disable() {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	a.disabled = true
}

// DeleteKeys deletes the account's keys.
func (a *Account) DeleteKeys() {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	clear(a.keys)
}

// Key makes a new key and returns its file.
func (a *Account) Key() []byte {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // the machine has no randomness
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	name, host, _ := strings.Cut(a.Email, "@")
	project, _, _ := strings.Cut(host, ".")
	id := keyID()
	file, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": id, "private_key": text, "client_email": a.Email,
		"client_id": "1" + strings.Repeat("0", 20), "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": tokenURL,
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
		"client_x509_cert_url":        "https://www.googleapis.com/robot/v1/metadata/x509/" + name + "%40" + host, "universe_domain": "googleapis.com",
	}, "", "  ")
	if err != nil {
		panic(err)
	}
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	a.keys[id] = &private.PublicKey
	a.cloud.remember(strings.Split(strings.TrimSpace(text), "\n")[1:20]...)
	return file
}

func keyID() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

const (
	tokenURL    = "https://oauth2.googleapis.com/token"
	jwtBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	shortLived  = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	clockLeeway = 5 * time.Minute
)

// oauth is oauth2.googleapis.com: an assertion in, a token out.
func (c *Cloud) oauth(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/token" {
		methodNotAllowed(w, r)
		return
	}
	if !c.begin(w, r, OpToken) {
		return
	}
	if r.PostFormValue("grant_type") != jwtBearer {
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+r.PostFormValue("grant_type"))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	assertion := r.PostFormValue("assertion")
	c.remember(assertion)
	account, scopes, code, description := c.verify(assertion)
	if code != "" {
		oauthError(w, http.StatusBadRequest, code, description)
		return
	}
	token := c.issue(account.Email, maxLifetime-time.Second, scopes)
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": int((maxLifetime - time.Second).Seconds()), "token_type": "Bearer"})
}

// verify checks an assertion as Google does. c.mu is held.
func (c *Cloud) verify(assertion string) (account *Account, scopes []string, code, description string) {
	parsed, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, nil, "invalid_grant", "Bad Request"
	}
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	if parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return nil, nil, "invalid_grant", "Bad Request"
	}
	account = c.accounts[claims.Issuer]
	switch {
	case account == nil:
		return nil, nil, "invalid_grant", "Invalid grant: account not found"
	case account.disabled:
		return nil, nil, "invalid_grant", "Account disabled: " + account.Email
	}
	key := account.keys[parsed.Headers[0].KeyID]
	if key == nil || parsed.Claims(key, &claims) != nil {
		return nil, nil, "invalid_grant", "Invalid JWT Signature."
	}
	now := time.Now()
	switch {
	case len(claims.Audience) != 1 || claims.Audience[0] != tokenURL:
		return nil, nil, "invalid_grant", "Failed audience check."
	case claims.IssuedAt == nil || claims.Expiry == nil,
		claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > maxLifetime+clockLeeway,
		claims.IssuedAt.Time().After(now.Add(clockLeeway)), claims.Expiry.Time().Before(now):
		return nil, nil, "invalid_grant", shortLived
	case claims.Scope == "":
		return nil, nil, "invalid_scope", "Invalid OAuth scope or ID token audience provided."
	}
	return account, strings.Fields(claims.Scope), "", ""
}
