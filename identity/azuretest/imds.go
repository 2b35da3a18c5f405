package azuretest

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
)

// serveMetadata is the machine's metadata service. It wants its header, and nothing that came through a proxy.
func (c *Cloud) serveMetadata(w http.ResponseWriter, r *http.Request) {
	operation := "imds.token"
	if r.Header.Get("Metadata") == "" {
		operation = "imds.probe"
	}
	if r.URL.Path == "/metadata/identity/oauth2/token" && !c.begin(operation, w, r) {
		return
	}
	w.Header().Set("Server", "IMDS/150.870.65.1854")
	bad := func(text string) {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": text})
	}
	switch query := r.URL.Query(); {
	case r.Header.Get("Metadata") != "true":
		bad("Required metadata header not specified")
	case r.Header.Get("X-Forwarded-For") != "":
		bad("Request contains X-Forwarded-For header and is rejected")
	case r.URL.Path != "/metadata/identity/oauth2/token":
		http.NotFound(w, r)
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case query.Get("api-version") != "2018-02-01":
		bad("Required query variable 'api-version' is missing or not supported")
	case query.Get("resource") == "":
		bad("Required query variable 'resource' is missing")
	default:
		c.identify(w, r)
	}
}

// identify gives a token of the identity that is asked for, or of the machine's own, or of the only one.
func (c *Cloud) identify(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	resource := query.Get("resource")
	var known bool
	for _, k := range c.resources() {
		known = known || strings.TrimSuffix(resource, "/") == k
	}
	app := c.assigned(query.Get("client_id"))
	switch {
	case app == nil:
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
	case !known:
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_resource", "error_description": "AADSTS500011: The resource principal named " + resource + " was not found in the tenant."})
	default:
		answer(w, http.StatusOK, map[string]any{"access_token": c.TokenFor(app, resource), "client_id": app.Client, "expires_in": strconv.Itoa(int(tokenLife.Seconds())),
			"expires_on": strconv.FormatInt(now().Add(tokenLife).Unix(), 10), "ext_expires_in": strconv.Itoa(int(tokenLife.Seconds())),
			"not_before": strconv.FormatInt(now().Unix(), 10), "resource": resource, "token_type": "Bearer"})
	}
}

func (c *Cloud) assigned(client string) *Application {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.machine {
		if a.Client == client || client == "" && (a.System || len(c.machine) == 1) {
			return a
		}
	}
	return nil
}

// AppEndpoint is the host of App Service's endpoint for identities (IDENTITY_ENDPOINT is http://<it>/msi/token), and
// AppHeader the value of IDENTITY_HEADER there.
const (
	AppEndpoint = "127.0.0.1:41741"
	AppHeader   = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
)

// serveApp is App Service's endpoint: a secret header instead of the metadata service's.
func (c *Cloud) serveApp(w http.ResponseWriter, r *http.Request) {
	if !c.begin("app.token", w, r) {
		return
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-IDENTITY-HEADER")), []byte(AppHeader)) != 1:
		answer(w, http.StatusUnauthorized, map[string]any{"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong"})
	case r.URL.Path != "/msi/token" || r.URL.Query().Get("api-version") != "2025-03-30" && r.URL.Query().Get("api-version") != "2019-08-01":
		answer(w, http.StatusBadRequest, map[string]any{"statusCode": 400, "message": "api-version is not supported"})
	default:
		c.identify(w, r)
	}
}
