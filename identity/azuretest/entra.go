package azuretest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// tokenLife is how long Entra's tokens last here.
const tokenLife = time.Hour

// resources are what tokens can be for in this cloud.
func (c *Cloud) resources() []string {
	return []string{"https://containerregistry.azure.net", "https://" + c.vault, "https://management.azure.com"}
}

// entraError is an answer with a code of Microsoft's.
type entraError struct {
	status int
	kind   string
	code   int
	text   string
}

func (e *entraError) answer(w http.ResponseWriter) {
	trace := NewID()
	text := fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", e.code, e.text, trace, NewID(), time.Now().UTC().Format("2006-01-02 15:04:05Z"))
	answer(w, e.status, map[string]any{"error": e.kind, "error_description": text, "error_codes": []int{e.code}, "trace_id": trace,
		"correlation_id": NewID(), "error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", e.code)})
}

func (c *Cloud) serveEntra(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/common/discovery/instance" {
		c.discoverInstance(w, r)
		return
	}
	tenant, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	known := strings.EqualFold(tenant, c.Tenant) || strings.EqualFold(tenant, "contoso.example")
	unknown := &entraError{http.StatusBadRequest, "invalid_request", 90002, "Tenant '" + tenant + "' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."}
	switch {
	case path == "v2.0/.well-known/openid-configuration" && r.Method == http.MethodGet:
		if !c.begin("entra.discovery", w, r) {
			return
		}
		if unknown.kind = "invalid_tenant"; !known {
			unknown.answer(w)
			return
		}
		base := "https://" + c.Authority + "/" + c.Tenant
		answer(w, http.StatusOK, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
			"token_endpoint": base + "/oauth2/v2.0/token", "jwks_uri": base + "/discovery/v2.0/keys"})
	case path == "discovery/v2.0/keys":
		answer(w, http.StatusOK, c.entra.jwks())
	case path == "oauth2/v2.0/token" && r.Method == http.MethodPost:
		if !c.begin("entra.token", w, r) {
			return
		}
		if !known {
			unknown.answer(w)
			return
		}
		c.serveToken(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (c *Cloud) discoverInstance(w http.ResponseWriter, r *http.Request) {
	if !c.begin("entra.instance", w, r) {
		return
	}
	u, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || u.Host != c.Authority {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_instance", "error_description": "AADSTS50049: Unknown or invalid instance."})
		return
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	answer(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + c.Authority + "/" + tenant + "/v2.0/.well-known/openid-configuration", "api-version": "1.1",
		"metadata": []map[string]any{{"preferred_network": c.Authority, "preferred_cache": c.Authority, "aliases": []string{c.Authority}}},
	})
}

func (c *Cloud) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		(&entraError{http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."}).answer(w)
		return
	}
	scope := strings.Fields(r.PostForm.Get("scope"))
	scope = slices.DeleteFunc(scope, func(s string) bool { return s == "openid" || s == "offline_access" || s == "profile" })
	resource, isDefault := "", false
	if len(scope) == 1 {
		resource, isDefault = strings.CutSuffix(scope[0], "/.default")
	}
	c.mu.Lock()
	app := c.applications[r.PostForm.Get("client_id")]
	c.mu.Unlock()
	switch {
	case !isDefault:
		(&entraError{http.StatusBadRequest, "invalid_scope", 1002012, "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."}).answer(w)
		return
	case app == nil || app.Resource != "":
		(&entraError{http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '" + r.PostForm.Get("client_id") + "' was not found in the directory 'Contoso'."}).answer(w)
		return
	case !slices.Contains(c.resources(), strings.TrimSuffix(resource, "/")):
		(&entraError{http.StatusBadRequest, "invalid_resource", 500011, "The resource principal named " + resource + " was not found in the tenant named Contoso."}).answer(w)
		return
	}
	if refused := c.authenticate(app, r.PostForm); refused != nil {
		refused.answer(w)
		return
	}
	answer(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "ext_expires_in": int(tokenLife.Seconds()), "access_token": c.TokenFor(app, resource)})
}

// authenticate says why a client is not who it says.
func (c *Cloud) authenticate(app *Application, form url.Values) *entraError {
	c.mu.Lock()
	disabled, conditional := app.disabled, app.conditional
	right, expired := app.secretIs(form.Get("client_secret"))
	c.mu.Unlock()
	var refused *entraError
	switch assertion := form.Get("client_assertion"); {
	case assertion != "":
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return &entraError{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'client_assertion_type'."}
		}
		refused = c.assert(app, assertion)
	case form.Get("client_secret") == "":
		return &entraError{http.StatusUnauthorized, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	case !right:
		return &entraError{http.StatusUnauthorized, "invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + app.Client + "'."}
	case expired:
		return &entraError{http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys for app '" + app.Client + "' are expired. Visit the Azure portal to create new keys for your app."}
	}
	switch {
	case refused != nil:
		return refused
	case disabled:
		return &entraError{http.StatusUnauthorized, "unauthorized_client", 7000112, "Application '" + app.Client + "'(pier) is disabled."}
	case conditional:
		return &entraError{http.StatusBadRequest, "invalid_grant", 53003, "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."}
	}
	return nil
}

// assert verifies an assertion: signed by the application's own certificate, or by an issuer that it trusts.
func (c *Cloud) assert(app *Application, assertion string) *entraError {
	parsed, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256, jose.PS256})
	if err != nil {
		return &entraError{http.StatusBadRequest, "invalid_request", 50027, "JWT token is invalid or malformed."}
	}
	var unverified struct {
		Issuer string `json:"iss"`
	}
	_ = parsed.UnsafeClaimsWithoutVerification(&unverified) // an unreadable one has no issuer
	if unverified.Issuer == app.Client {
		return c.assertByCertificate(app, assertion, parsed.Headers[0])
	}
	return c.assertByFederation(app, assertion, unverified.Issuer, parsed.Headers[0].KeyID)
}

func (c *Cloud) assertByCertificate(app *Application, assertion string, header jose.Header) *entraError {
	thumbprint, _ := header.ExtraHeaders["x5t#S256"].(string)
	c.mu.Lock()
	certificate := app.certificates[thumbprint]
	c.mu.Unlock()
	if certificate == nil {
		return &entraError{http.StatusUnauthorized, "invalid_client", 700027, "The certificate with identifier used to sign the client assertion is not registered on application."}
	}
	claims, err := verify(assertion, certificate.PublicKey, jose.PS256)
	switch {
	case err == errTime:
		return &entraError{http.StatusUnauthorized, "invalid_client", 700024, "Client assertion is not within its valid time range."}
	case err != nil:
		return &entraError{http.StatusUnauthorized, "invalid_client", 700027, "Client assertion failed signature validation."}
	case claims["sub"] != app.Client || claims["jti"] == nil:
		return &entraError{http.StatusUnauthorized, "invalid_client", 700021, "Client assertion application identifier doesn't match 'client_id' parameter."}
	case claims["aud"] != "https://"+c.Authority+"/"+c.Tenant+"/oauth2/v2.0/token":
		return &entraError{http.StatusUnauthorized, "invalid_client", 700023, "Client assertion audience claim does not match Realm issuer."}
	}
	return nil
}

func (c *Cloud) assertByFederation(app *Application, assertion, issuer, kid string) *entraError {
	c.mu.Lock()
	federated := slices.Clone(app.federated)
	c.mu.Unlock()
	mismatch := func(code int, text string) *entraError {
		return &entraError{http.StatusUnauthorized, "invalid_client", code, text}
	}
	if !slices.ContainsFunc(federated, func(f federation) bool { return f.issuer == issuer }) {
		return mismatch(700211, "No matching federated identity record found for presented assertion issuer '"+issuer+"'.")
	}
	keys, err := c.jwksOf(issuer)
	if err != nil || len(keys.Key(kid)) != 1 {
		return mismatch(700212, "The keys of the assertion's issuer cannot be had.")
	}
	claims, err := verify(assertion, keys.Key(kid)[0].Key, jose.RS256)
	if err == errTime {
		return mismatch(700024, "Client assertion is not within its valid time range.")
	}
	if err != nil {
		return mismatch(700027, "Client assertion failed signature validation.")
	}
	var audiences []string
	text, _ := json.Marshal(claims["aud"])
	_ = json.Unmarshal(text, &audiences) // another form has no audience of ours
	subject, _ := claims["sub"].(string)
	for _, f := range federated {
		if f.issuer == issuer && f.subject == subject {
			if !slices.Contains(audiences, f.audience) {
				return mismatch(700212, "No matching federated identity record found for presented assertion audience.")
			}
			return nil
		}
	}
	return mismatch(700213, "No matching federated identity record found for presented assertion subject '"+subject+"'.")
}

// TokenFor is an access token of the cloud for an application, as Entra and the metadata service give it.
func (c *Cloud) TokenFor(app *Application, resource string) string {
	claims := map[string]any{
		"aud": resource, "iss": c.issuer, "iat": now().Unix(), "nbf": now().Unix(), "exp": now().Add(tokenLife).Unix(),
		"appid": app.Client, "oid": app.Object, "sub": app.Object, "tid": c.Tenant, "idtyp": "app", "ver": "1.0", "uti": NewID(),
	}
	if app.Resource != "" {
		claims["xms_mirid"] = app.Resource
	}
	return c.keep(c.entra.sign(claims))
}

// bearer verifies an access token of this cloud and says whose it is. The audience may have a slash at its end.
func (c *Cloud) bearer(token string, audiences ...string) (*Application, error) {
	claims, err := c.entra.claims(token)
	if err != nil {
		return nil, err
	}
	audience, _ := claims["aud"].(string)
	if claims["iss"] != c.issuer || !slices.Contains(audiences, strings.TrimSuffix(audience, "/")) {
		return nil, fmt.Errorf("issuer or audience %q is not ours", audience)
	}
	client, _ := claims["appid"].(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	if app := c.applications[client]; app != nil {
		return app, nil
	}
	return nil, fmt.Errorf("nobody has that id")
}
