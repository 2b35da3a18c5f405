package azuretest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// ask sends a request and reads the answer's JSON.
func ask(t *testing.T, c *Cloud, method, address string, form url.Values, header map[string]string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range header {
		if name == "basic" {
			user, password, _ := strings.Cut(value, ":")
			r.SetBasicAuth(user, password)
			continue
		}
		r.Header.Set(name, value)
	}
	answer, err := c.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body map[string]any
	_ = json.NewDecoder(answer.Body).Decode(&body) // not all are JSON
	return answer.StatusCode, body
}

func TestMetadataServiceRefuses(t *testing.T) {
	c := New(t)
	c.Assign("pier")
	const good = "http://" + Metadata + "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net"
	for name, try := range map[string]struct {
		address string
		header  map[string]string
		status  int
	}{
		"as it is meant":     {good, map[string]string{"Metadata": "true"}, 200},
		"without the header": {good, nil, 400},
		"another value":      {good, map[string]string{"Metadata": "yes"}, 400},
		"through a proxy":    {good, map[string]string{"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}, 400},
		"no version":         {"http://" + Metadata + "/metadata/identity/oauth2/token?resource=https://vault.azure.net", map[string]string{"Metadata": "true"}, 400},
		"no resource":        {"http://" + Metadata + "/metadata/identity/oauth2/token?api-version=2018-02-01", map[string]string{"Metadata": "true"}, 400},
		"unknown resource":   {good + ".evil.example", map[string]string{"Metadata": "true"}, 400},
		"unknown identity":   {good + "&client_id=" + NewID(), map[string]string{"Metadata": "true"}, 400},
		"another path":       {"http://" + Metadata + "/latest/meta-data/", map[string]string{"Metadata": "true"}, 404},
	} {
		if status, body := ask(t, c, http.MethodGet, try.address, nil, try.header); status != try.status || (body["access_token"] != nil) != (status == 200) {
			t.Errorf("%s: %d", name, status)
		}
	}
}

// The exchange takes tokens of this cloud and tenant, for registries, of who has a role, and says nothing to others.
func TestExchangeRefuses(t *testing.T) {
	c, other := New(t), New(t)
	registry := c.Registry("myregistry", http.NotFoundHandler())
	app, stranger, foreign := c.Application(), c.Application(), other.Application()
	registry.Grant(app, AcrPull)
	const acr, arm = "https://containerregistry.azure.net", "https://management.azure.com"
	good := func() url.Values {
		return url.Values{"grant_type": {"access_token"}, "service": {registry.Host}, "tenant": {c.Tenant}, "access_token": {c.TokenFor(app, acr)}}
	}
	old := map[string]any{"aud": acr, "iss": c.issuer, "appid": app.Client, "oid": app.Object, "nbf": time.Now().Add(-3 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix()}
	for name, try := range map[string]struct {
		change url.Values
		status int
	}{
		"as it is meant":       {nil, 200},
		"without a tenant":     {url.Values{"tenant": nil}, 200},
		"Azure's management":   {url.Values{"access_token": {c.TokenFor(app, arm)}}, 200},
		"a vault's":            {url.Values{"access_token": {c.TokenFor(app, "https://vault.azure.net")}}, 401},
		"who has no role":      {url.Values{"access_token": {c.TokenFor(stranger, acr)}}, 401},
		"of another tenant":    {url.Values{"access_token": {other.TokenFor(foreign, acr)}}, 401},
		"run out":              {url.Values{"access_token": {c.entra.sign(old)}}, 401},
		"signed by another":    {url.Values{"access_token": {newSigner().sign(map[string]any{"aud": acr, "iss": c.issuer, "appid": app.Client, "exp": time.Now().Add(time.Hour).Unix()})}}, 401},
		"for another registry": {url.Values{"service": {"other.azurecr.io"}}, 401},
		"with another tenant":  {url.Values{"tenant": {NewID()}}, 401},
		"another grant":        {url.Values{"grant_type": {"refresh_token"}}, 400},
	} {
		form := good()
		for key, values := range try.change {
			form[key] = values
		}
		if status, body := ask(t, c, http.MethodPost, "https://"+registry.Host+"/oauth2/exchange", form, nil); status != try.status || (body["refresh_token"] != nil) != (status == 200) {
			t.Errorf("%s: %d", name, status)
		}
	}
	registry.RefuseARM()
	form := good()
	form.Set("access_token", c.TokenFor(app, arm))
	if status, _ := ask(t, c, http.MethodPost, "https://"+registry.Host+"/oauth2/exchange", form, nil); status != 401 {
		t.Errorf("a token for Azure's management, which the registry does not take: %d", status)
	}
}

// The token server grants what the role and the scope map allow, to who proves it.
func TestRegistryTokens(t *testing.T) {
	c := New(t)
	registry := c.Registry("myregistry", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	app, stranger := c.Application(), c.Application()
	registry.Grant(app, AcrPull)
	_, exchanged := ask(t, c, http.MethodPost, "https://"+registry.Host+"/oauth2/exchange",
		url.Values{"grant_type": {"access_token"}, "service": {registry.Host}, "access_token": {c.TokenFor(app, "https://containerregistry.azure.net")}}, nil)
	refresh, _ := exchanged["refresh_token"].(string)
	account := registry.Account("ci", AcrPush, "ml/train")
	ended := registry.signer.sign(map[string]any{"iss": acrIssuer, "aud": registry.Host, "sub": app.Object, "grant_type": "refresh_token", "exp": time.Now().Add(-time.Hour).Unix()})
	const pull, push = "repository:ml/train:pull", "repository:ml/train:pull,push"
	for name, try := range map[string]struct {
		login, scope string
		status, then int // of the token server, and of a GET and a PUT then
		put          int
	}{
		"a refresh token":             {noUser + ":" + refresh, pull, 200, 200, 401},
		"that wants to push":          {noUser + ":" + refresh, push, 200, 200, 401},
		"run out":                     {noUser + ":" + ended, pull, 401, 0, 0},
		"garbled":                     {noUser + ":x" + refresh, pull, 401, 0, 0},
		"a service principal":         {app.Client + ":" + app.Secret(time.Hour), pull, 200, 200, 401},
		"with a secret that ran out":  {app.Client + ":" + app.Secret(-time.Hour), pull, 401, 0, 0},
		"with a wrong secret":         {app.Client + ":x", pull, 401, 0, 0},
		"without a role":              {stranger.Client + ":" + stranger.Secret(time.Hour), pull, 401, 0, 0},
		"an account":                  {"ci:" + account, push, 200, 200, 200},
		"with a wrong password":       {"ci:x", push, 401, 0, 0},
		"for another repository":      {"ci:" + account, "repository:ml/other:pull", 401, 0, 0},
		"a token for what is not his": {"ci:" + account, "", 200, 401, 401},
	} {
		status, body := ask(t, c, http.MethodGet, "https://"+registry.Host+"/oauth2/token?service="+registry.Host+"&scope="+try.scope, nil, map[string]string{"basic": try.login})
		token, _ := body["access_token"].(string)
		if status != try.status || (token != "") != (status == 200) {
			t.Errorf("%s: %d", name, status)
			continue
		}
		if token == "" {
			continue
		}
		bearer := map[string]string{"Authorization": "Bearer " + token}
		got, _ := ask(t, c, http.MethodGet, "https://"+registry.Host+"/v2/ml/train/manifests/v1", nil, bearer)
		put, _ := ask(t, c, http.MethodPut, "https://"+registry.Host+"/v2/ml/train/manifests/v1", nil, bearer)
		if got != try.then || put != try.put {
			t.Errorf("%s: GET %d, PUT %d", name, got, put)
		}
	}
	form := url.Values{"grant_type": {"refresh_token"}, "service": {registry.Host}, "refresh_token": {refresh}, "scope": {pull}}
	if status, body := ask(t, c, http.MethodPost, "https://"+registry.Host+"/oauth2/token", form, nil); status != 200 || body["access_token"] == nil {
		t.Errorf("a refresh token that is posted: %d", status)
	}
	if status, _ := ask(t, c, http.MethodGet, "https://"+registry.Host+"/v2/ml/train/manifests/v1", nil, map[string]string{"Authorization": "Bearer " + refresh}); status != 401 {
		t.Errorf("a refresh token at the registry itself: %d", status)
	}
}

func TestVaultRefusesTokensOfOthers(t *testing.T) {
	c, other := New(t), New(t)
	vault := c.Vault("acme")
	vault.Put("registry", "content")
	app := c.Application()
	vault.Grant(app)
	for name, try := range map[string]struct {
		token  string
		status int
	}{
		"for vaults":     {c.TokenFor(app, "https://vault.azure.net"), 200},
		"for registries": {c.TokenFor(app, "https://containerregistry.azure.net"), 401},
		"another tenant": {other.TokenFor(other.Application(), "https://vault.azure.net"), 401},
		"no reader":      {c.TokenFor(c.Application(), "https://vault.azure.net"), 403},
		"nobody's":       {"x", 401},
	} {
		status, body := ask(t, c, http.MethodGet, vault.Address("registry", nil)+"?api-version=7.4", nil, map[string]string{"Authorization": "Bearer " + try.token})
		if status != try.status || (body["value"] != nil) != (status == 200) {
			t.Errorf("%s: %d", name, status)
		}
	}
}
