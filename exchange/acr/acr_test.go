package acr_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/acr"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/identity/azuretest"
)

func TestContract(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	app := p.Application()
	p.registry.Grant(app, azuretest.AcrPull)
	password, account := app.Secret(time.Hour), p.registry.Account("ci", azuretest.AcrPull)
	for name, r := range map[string]exchange.Request{
		"A29 the node's identity":    p.request(),
		"V4 service principal":       p.with(object("tenant", p.Tenant, "client_id", app.Client, "client_secret", password)),
		"V4 and its server":          p.with(object("tenant", p.Tenant, "client_id", app.Client, "client_secret", password, "server", p.registry.Host)),
		"A3 service principal plain": p.with(object("username", app.Client, "password", password, "server", p.registry.Host)),
		"A3 token with a scope map":  p.with(object("username", "ci", "password", account, "server", p.registry.Host)),
	} {
		t.Run(name, func(t *testing.T) {
			exchangetest.Test(t, exchangetest.Subject{Exchanger: p.subject, Good: r, Secrets: p.Secrets()})
		})
	}
	for _, secret := range p.Secrets() {
		for _, server := range p.world.Servers() {
			if server != p.server && server.Knows(secret) {
				t.Errorf("%s knows a secret", server.Host)
			}
		}
	}
}

// With AcrPull on the node's identity, and nothing else configured, an image is pulled; without it the answer says what to
// grant, and to whom.
func TestA29PullByTheNodesIdentity(t *testing.T) {
	p := newPlace(t)
	app := p.node(t)
	p.refuses(t, p.request(), exchange.ErrRefused, "myregistry.azurecr.io answered 401", "managed identity userAssignedIdentities/pier-nodes",
		"--assignee "+app.Object+" --role AcrPull", "loginServer=='myregistry.azurecr.io'")
	p.registry.Grant(app, azuretest.AcrPull)
	login, err := p.subject.Exchange(t.Context(), p.request())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.pull(t, login, "ml/train", "v2"); err != nil {
		t.Error(err)
	}
	if login.Username() != "00000000-0000-0000-0000-000000000000" || !strings.Contains(login.Principal(), "pier-nodes") || len(login.Hosts()) != 1 {
		t.Errorf("%v of %s", login, login.Principal())
	}
	if left := time.Until(login.Expires()); left > azuretest.RefreshLife || left < azuretest.RefreshLife-time.Minute {
		t.Errorf("it lasts %s", left)
	}
	// The token of Entra's is not what the login holds, and the registry's settings for other tokens do not matter.
	p.registry.RefuseARM()
	if _, err := p.subject.Exchange(t.Context(), p.request()); err != nil {
		t.Error(err)
	}
}

// Every spelling of a service principal makes the same pull.
func TestV4ServicePrincipal(t *testing.T) {
	p := newPlace(t)
	app := p.Application()
	p.registry.Grant(app, azuretest.AcrPull)
	password := app.Secret(time.Hour)
	for name, content := range map[string]string{
		"create-for-rbac":             object("appId", app.Client, "displayName", "azure-cli-2026-11-26", "password", password, "tenant", p.Tenant),
		"create-for-rbac, years ago":  object("appId", app.Client, "displayName", "pier", "name", "http://pier", "password", password, "tenant", p.Tenant),
		"create-for-rbac --json-auth": object("clientId", app.Client, "clientSecret", password, "subscriptionId", azuretest.NewID(), "tenantId", p.Tenant, "activeDirectoryEndpointUrl", "https://login.microsoftonline.com", "resourceManagerEndpointUrl", "https://management.azure.com/", "activeDirectoryGraphResourceId", "https://graph.windows.net/", "sqlManagementEndpointUrl", "https://management.core.windows.net:8443/", "galleryEndpointUrl", "https://gallery.azure.com/", "managementEndpointUrl", "https://management.core.windows.net/"),
		"by hand":                     object("tenant_id", p.Tenant, "client_id", app.Client, "client_secret", password),
		"the libraries' variables":    object("AZURE_TENANT_ID", p.Tenant, "AZURE_CLIENT_ID", app.Client, "AZURE_CLIENT_SECRET", password),
		"a login with its tenant":     object("tenant", p.Tenant, "username", app.Client, "password", password, "server", "https://MyRegistry.azurecr.io/"),
		"the tenant's domain":         object("tenant", "contoso.example", "appId", app.Client, "password", password),
	} {
		login, err := p.subject.Exchange(t.Context(), p.with(content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if login.Password() == password || !strings.Contains(login.Principal(), app.Client) {
			t.Errorf("%s: %v of %s", name, login, login.Principal())
		}
		if err := p.pull(t, login, "ml/train", "v2"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := p.Calls("imds.probe"); n != 0 {
		t.Errorf("the node's own identity was looked for %d times", n)
	}
	if p.server.Knows(password) {
		t.Error("the client secret went to the registry")
	}
}

// A user name and a password go as they are, and may do what their owner may.
func TestV4PlainLogins(t *testing.T) {
	p := newPlace(t)
	app := p.Application()
	p.registry.Grant(app, azuretest.AcrPull)
	logins := map[string]string{
		"service principal": object("username", app.Client, "password", app.Secret(time.Hour), "server", p.registry.Host),
		"admin user":        object("username", "myregistry", "password", p.registry.Account("myregistry", azuretest.AcrPush)),
		"auths":             `{"auths":{"myregistry.azurecr.io":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ci:"+p.registry.Account("ci", azuretest.AcrPull, "ml/train"))) + `"}}}`,
	}
	for name, content := range logins {
		login, err := p.subject.Exchange(t.Context(), p.with(content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := p.pull(t, login, "ml/train", "v2"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other := p.pull(t, login, "ml/other", "v1"); (other != nil) != (name == "auths") {
			t.Errorf("%s: another repository: %v", name, other)
		}
	}
	if n := p.Calls("entra.token") + p.Calls("imds.probe") + p.Calls("acr.exchange"); n != 0 {
		t.Errorf("somebody else was asked %d times", n)
	}
}

func TestContent(t *testing.T) {
	p := newPlace(t)
	id, tenant := azuretest.NewID(), p.Tenant
	const password = "8Q~hunter2"
	for name, content := range map[string]string{
		"empty object":                   `{}`,
		"not JSON":                       password,
		"an array":                       `["` + password + `"]`,
		"no tenant":                      object("appId", id, "password", password),
		"no tenant, other keys":          object("clientId", id, "clientSecret", password),
		"no secret":                      object("tenant", tenant, "appId", id),
		"an empty secret":                object("tenant", tenant, "appId", id, "password", ""),
		"no application":                 object("tenant", tenant, "password", password),
		"the application twice":          object("tenant", tenant, "appId", id, "clientId", id, "password", password),
		"a key twice":                    `{"tenant":"` + tenant + `","appId":"` + id + `","password":"` + password + `","password":"x"}`,
		"an unknown key":                 object("tenant", tenant, "appId", id, "password", password, "certificate", password),
		"a tenant that is none":          object("tenant", "../"+tenant, "appId", id, "password", password),
		"everybody's tenant":             object("tenant", "common", "appId", id, "password", password),
		"the application's name":         object("tenant", tenant, "appId", "http://pier", "password", password),
		"a line break at the end":        object("tenant", tenant, "appId", id, "password", password+"\n"),
		"a control character":            object("tenant", tenant, "appId", id, "password", password+"\x00"),
		"a number":                       `{"tenant":"` + tenant + `","appId":"` + id + `","password":12345}`,
		"null":                           `{"tenant":"` + tenant + `","appId":"` + id + `","password":null}`,
		"a server that is none":          object("tenant", tenant, "appId", id, "password", password, "server", "*.azurecr.io"),
		"another cloud's":                object("tenantId", tenant, "clientId", id, "clientSecret", password, "activeDirectoryEndpointUrl", "https://login.chinacloudapi.cn"),
		"a login without a password":     object("username", id),
		"a Google key":                   object("type", "service_account", "private_key", password),
		"a login with an unknown member": object("username", "ci", "password", password, "email", "x"),
	} {
		t.Run(name, func(t *testing.T) { p.refuses(t, p.with(content), exchange.ErrContent) })
	}
	none := p.request()
	none.Identity = false
	p.refuses(t, none, exchange.ErrContent, "client_secret")
	if n := p.Calls("entra.token") + p.Calls("acr.exchange"); n != 0 {
		t.Errorf("somebody was asked %d times", n)
	}
}

// Entra's refusals are the exchange's.
func TestEntraRefuses(t *testing.T) {
	p := newPlace(t)
	app, blocked := p.Application(), p.Application()
	p.registry.Grant(app, azuretest.AcrPull)
	blocked.Block()
	for name, try := range map[string]struct{ tenant, client, secret, word string }{
		"wrong secret":       {p.Tenant, app.Client, "8Q~hunter2", "AADSTS7000215"},
		"run out":            {p.Tenant, app.Client, app.Secret(-time.Minute), "AADSTS7000222"},
		"unknown":            {p.Tenant, azuretest.NewID(), "8Q~hunter2", "AADSTS700016"},
		"another tenant":     {azuretest.NewID(), app.Client, app.Secret(time.Hour), "AADSTS90002"},
		"conditional access": {p.Tenant, blocked.Client, blocked.Secret(time.Hour), "AADSTS53003"},
	} {
		t.Run(name, func(t *testing.T) {
			p.refuses(t, p.with(object("tenant", try.tenant, "appId", try.client, "password", try.secret)), exchange.ErrRefused, try.word, "myregistry.azurecr.io")
		})
	}
	if n := p.Calls("acr.exchange"); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
}

func TestNoIdentity(t *testing.T) {
	p := newPlace(t)
	p.Trouble("imds.probe", azuretest.Trouble{Status: 404})
	p.refuses(t, p.request(), exchange.ErrNoIdentity, "no identity in Azure", "managed identity")
	if n := p.Calls("acr.exchange"); n != 0 {
		t.Error("the registry was asked")
	}
}

// Another cloud's identity is none here, and its tokens mean nothing to a registry of this one.
func TestSovereignClouds(t *testing.T) {
	for _, tld := range []string{"cn", "us"} {
		p := newPlaceIn(t, tld)
		p.registry.Grant(p.node(t), azuretest.AcrPull)
		login, err := p.subject.Exchange(t.Context(), p.request())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.pull(t, login, "ml/train", "v2"); err != nil || !login.For("myregistry.azurecr."+tld) {
			t.Error(err)
		}
	}
	p := newPlace(t)
	app := p.Application()
	china := p.with(object("tenant", p.Tenant, "appId", app.Client, "password", app.Secret(time.Hour)))
	china.Host, china.Hosts = "myregistry.azurecr.cn", nil
	p.refuses(t, china, exchange.ErrUnreachable, "login.chinacloudapi.cn") // which this world has not
	gone := p.request()
	gone.Host, gone.Hosts = "myregistry.azurecr.de", nil
	p.refuses(t, gone, exchange.ErrUnreachable, "29 October 2021")
}

// docker-credential-acr-env#21: its pattern had no anchors, and a token of Azure's went to whoever had a host with azurecr.io
// somewhere in its name.
func TestP18DockerCredentialACREnv21(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	hosts := []string{
		"myregistry.azurecr.io.evil.example", "evil.example.azurecr.io.evil.example", "azurecr.io.evil.example", "myregistryazurecr.io", "myregistry.azurecr.io:8443",
		"evil.example", "azurecr.io", "myregistry.azurecr.com", "myregistry.azurecrxio", "a.myregistry.azurecr.io", "myregistry.eastus.data.azurecr.io", "myregistry.azurecr.io.",
		"MYREGISTRY.azurecr.io", "myregistry.azurecr.io/x", "myregistry.azurecr.io@evil.example", "evil.example/myregistry.azurecr.io", "mcr.microsoft.com", "-.azurecr.io", "",
	}
	app := p.Application()
	for _, host := range hosts {
		if host != "" && !strings.ContainsAny(host, "/@:.") {
			p.world.HTTPS(host, p.Cloud)
		}
		r := p.request()
		r.Host, r.Hosts = host, nil
		p.refuses(t, r, exchange.ErrHostMismatch, host)
		r = p.with(object("tenant", p.Tenant, "appId", app.Client, "password", app.Secret(time.Hour)))
		r.Host, r.Hosts = host, nil
		p.refuses(t, r, exchange.ErrHostMismatch, host)
	}
	if n := p.Calls("imds.probe") + p.Calls("imds.token") + p.Calls("entra.token") + p.Calls("acr.exchange"); n != 0 {
		t.Errorf("somebody was asked %d times", n)
	}
}

func TestRefreshTokensLife(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for text, want := range map[string]time.Duration{
		token(`{"exp":1800010800}`): 3 * time.Hour, token(`{"exp":1800000300}`): 5 * time.Minute, token(`{"exp":1.8000108e9}`): 3 * time.Hour,
		token(`{"exp":1799999999}`): time.Hour, token(`{"exp":1900000000}`): time.Hour, token(`{"exp":"1800010800"}`): time.Hour, token(`{}`): time.Hour,
		token(`[`): time.Hour, "": time.Hour, "opaque": time.Hour, "a.!.c": time.Hour, token(`{"exp":1e300}`): time.Hour,
	} {
		if got := acr.Expiry(text, now).Sub(now); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func FuzzRefreshTokensLife(f *testing.F) {
	f.Add("e30.eyJleHAiOjE4MDAwMTA4MDB9.c2ln")
	f.Fuzz(func(t *testing.T, token string) {
		now := time.Unix(1_800_000_000, 0)
		if life := acr.Expiry(token, now).Sub(now); life <= 0 || life > 24*time.Hour {
			t.Errorf("%s", life)
		}
	})
}

func FuzzSecret(f *testing.F) {
	id := azuretest.NewID()
	for _, content := range []string{object("tenant", id, "appId", id, "password", "x"), object("username", "ci", "password", "x"), `{"auths":{}}`, `{"tenant":1}`, `[`} {
		f.Add(content)
	}
	subject := acr.New(nil) // whoever asks it for a token without a registry of Azure's would not survive
	f.Fuzz(func(t *testing.T, content string) {
		r := (&place{}).requestOf(content)
		login, err := subject.Exchange(context.Background(), r)
		if err == nil && login.Hosts()[0] != r.Host {
			t.Errorf("%v", login)
		}
		if err != nil && !errors.Is(err, exchange.ErrContent) && !errors.Is(err, exchange.ErrHostMismatch) {
			t.Error(err)
		}
	})
}
