package googletest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// bearer is whom a request's token stands for; what has no good token is answered. c.mu is held.
func (c *Cloud) bearer(w http.ResponseWriter, r *http.Request) (issued, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.", "")
		return issued{}, false
	}
	i, ok := c.lookup(token)
	if !ok {
		apiError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", "ACCESS_TOKEN_TYPE_UNSUPPORTED")
		return issued{}, false
	}
	for _, s := range i.scopes {
		if s == Scope {
			return i, true
		}
	}
	apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
	return issued{}, false
}

// iamCredentials is iamcredentials.googleapis.com: a token of whoever may stand in for a service account in, that account's
// out.
func (c *Cloud) iamCredentials(w http.ResponseWriter, r *http.Request) {
	target, found := strings.CutPrefix(r.URL.Path, "/v1/projects/-/serviceAccounts/")
	target, method := strings.CutSuffix(target, ":generateAccessToken")
	if r.Method != http.MethodPost || !found || !method {
		methodNotAllowed(w, r)
		return
	}
	if !c.begin(w, r, OpImpersonate) {
		return
	}
	var body struct {
		Scope    []string `json:"scope"`
		Lifetime string   `json:"lifetime"`
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil || len(body.Scope) == 0 {
		apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "Request contains an invalid argument.", "")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	caller, ok := c.bearer(w, r)
	if !ok {
		return
	}
	life, err := time.ParseDuration(body.Lifetime)
	account := c.accounts[target]
	switch {
	case account == nil && c.may(caller.principal, GetAccessToken, target):
		apiError(w, http.StatusNotFound, "NOT_FOUND", "Not found; Gaia id not found for email "+target, "")
	case !c.may(caller.principal, GetAccessToken, target):
		apiError(w, http.StatusForbidden, "PERMISSION_DENIED", "Permission '"+GetAccessToken+denied, "IAM_PERMISSION_DENIED")
	case account.disabled:
		apiError(w, http.StatusBadRequest, "FAILED_PRECONDITION", "Service account "+target+" is disabled.", "")
	case err != nil || life <= 0 || life > maxLifetime:
		apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "The access token lifetime cannot exceed 3600s", "")
	default:
		writeJSON(w, http.StatusOK, map[string]string{"accessToken": c.issue(target, life, body.Scope), "expireTime": time.Now().Add(life).UTC().Format(time.RFC3339)})
	}
}
