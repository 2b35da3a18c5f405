package azurekv_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/identity/azuretest"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/azurekv"
	"pierhead.dev/pierhead/secret/secrettest"
)

// A place is a cloud with a vault, and a node that is an application which may read it.
type place struct {
	*azuretest.Cloud
	vault *azuretest.Vault
	app   *azuretest.Application
	node  azurekv.Source
}

func newPlace(t *testing.T, tld string) *place {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") {
			t.Setenv(name, "")
		}
	}
	p := &place{Cloud: azuretest.NewIn(t, tld)}
	p.vault, p.app = p.Vault("acme"), p.Application()
	p.vault.Grant(p.app)
	t.Setenv("AZURE_TENANT_ID", p.Tenant)
	t.Setenv("AZURE_CLIENT_ID", p.app.Client)
	t.Setenv("AZURE_CLIENT_SECRET", p.app.Secret(time.Hour))
	p.restart()
	return p
}

// restart makes the node forget its tokens.
func (p *place) restart() {
	p.node = azurekv.New(azure.New(azure.Config{Transport: p.Transport()}))
}

func ref(t *testing.T, text string) secret.Ref {
	t.Helper()
	r, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refuses wants an error of a kind with words in it or its hint, and no secret that was ever made here.
func (p *place) refuses(t *testing.T, address string, kind error, words ...string) {
	t.Helper()
	value, err := p.node.Get(t.Context(), ref(t, address))
	if !errors.Is(err, kind) || !value.Empty() {
		t.Errorf("got %v, %v, want %v", value, err, kind)
		return
	}
	text := err.Error() + "\n" + secret.HintOf(err)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in: %s", word, text)
		}
	}
	if secret.HintOf(err) == "" {
		t.Errorf("no hint with %v", err)
	}
	if strings.ContainsAny(err.Error(), "\n\r\t") || strings.Contains(text, "hunter2") {
		t.Errorf("not fit to print: %q", text)
	}
	exchangetest.Silent(t, err, p.Secrets()...)
	for _, s := range p.Secrets() {
		if strings.Contains(text, s) {
			t.Error("a secret is in the error or its hint")
		}
	}
}

func TestContract(t *testing.T) {
	p := newPlace(t, "io")
	version := strings.Repeat("0a", 16)
	secrettest.Test(t, secrettest.Subject{
		Source: p.node,
		Put: func(t *testing.T, content []byte) secret.Ref {
			p.vault.Put("registry", string(content))
			return ref(t, p.vault.Address("registry", nil))
		},
		Absent: ref(t, "https://acme.vault.azure.net/secrets/nowhere"),
		Bad: []string{
			"https://acme.vault.azure.net", "https://acme.vault.azure.net/", "https://acme.vault.azure.net/secrets", "https://acme.vault.azure.net/secrets/",
			"https://acme.vault.azure.net/secrets/registry/", "https://acme.vault.azure.net/secrets/registry/x", "https://acme.vault.azure.net/secrets/registry/" + version + "/",
			"https://acme.vault.azure.net/secrets/registry/" + strings.ToUpper(version), "https://acme.vault.azure.net/keys/registry", "https://acme.vault.azure.net/certificates/registry",
			"https://acme.vault.azure.net/secrets/a_b", "https://acme.vault.azure.net/secrets/a%2Fb", "https://acme.vault.azure.net/secrets/../x", "https://acme.vault.azure.net//secrets/x",
			"https://acme.vault.azure.net/secrets/x?y", "https://acme.vault.azure.net/secrets/x#y", "https://acme.vault.azure.net:443/secrets/x", "https://acme.vault.azure.net./secrets/x",
			"https://ACME.vault.azure.net/secrets/x", "https://acme.VAULT.azure.net/secrets/x", "https://a.vault.azure.net/secrets/x", "https://1acme.vault.azure.net/secrets/x",
			"https://ac--me.vault.azure.net/secrets/x", "https://acme-.vault.azure.net/secrets/x", "https://" + strings.Repeat("a", 25) + ".vault.azure.net/secrets/x",
			"https://acme.managedhsm.azure.net/secrets/x", "https://acme.vault.microsoftazure.de/secrets/x",
			"https://acme.vault.azure.net.evil.example/secrets/x", "https://evil.example/acme.vault.azure.net/secrets/x", "https://acmevault.azure.net/secrets/x", "https://x.acme.vault.azure.net/secrets/x",
			"https://vault.azure.net/secrets/x", "https://acme.vault.azure.com/secrets/x", "https://acme.privatelink.vaultcore.azure.net/secrets/x", "https:acme.vault.azure.net/secrets/x",
			"https://acme.vault.azure.net/secrets/" + strings.Repeat("a", 128),
		},
	})
}

// The reference that does not pass says which ones do, and no vault or token server is asked about it.
func TestReferencesSayWhatIsExpected(t *testing.T) {
	p := newPlace(t, "io")
	for text, word := range map[string]string{
		"https://acme.managedhsm.azure.net/secrets/x":     "keys, not secrets",
		"https://acme.vault.azure.net/certificates/x":     "certificates",
		"https://acme.vault.microsoftazure.de/secrets/x":  "Azure Germany",
		"https://registry.example.com/secrets/x":          "no vault of Azure's",
		"https://acme.vault.azure.net.evil.example/x/y/z": "no vault of Azure's",
	} {
		p.refuses(t, text, secret.ErrRef, word, "https://VAULT.vault.azure.net/secrets/NAME", "vault.azure.cn", "vault.usgovcloudapi.net")
	}
	if n := p.Calls("entra.token") + p.Calls("vault.challenge"); n != 0 {
		t.Errorf("somebody was asked %d times", n)
	}
}

func TestVersions(t *testing.T) {
	p := newPlace(t, "io")
	first, second := p.vault.Put("registry", "first"), p.vault.Put("registry", "second")
	for address, want := range map[string]string{p.vault.Address("registry", nil): "second", p.vault.Address("registry", first): "first", p.vault.Address("registry", second): "second"} {
		value, err := p.node.Get(t.Context(), ref(t, address))
		if err != nil || string(value.Reveal()) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	p.refuses(t, p.vault.Address("registry", &azuretest.Version{ID: strings.Repeat("0a", 16)}), secret.ErrNotFound)
	// A vault tells of earlier versions only to who may list them.
	if _, ok := any(p.node).(secret.Rotated); ok {
		t.Error("Key Vault has no Previous with the permission get alone")
	}
}

func TestSovereignClouds(t *testing.T) {
	for tld, host := range map[string]string{"io": "acme.vault.azure.net", "cn": "acme.vault.azure.cn", "us": "acme.vault.usgovcloudapi.net"} {
		p := newPlace(t, tld)
		p.vault.Put("registry", "content")
		address := "https://" + host + "/secrets/registry"
		if p.vault.Address("registry", nil) != address {
			t.Fatal(p.vault.Host)
		}
		if value, err := p.node.Get(t.Context(), ref(t, address)); err != nil || string(value.Reveal()) != "content" {
			t.Errorf("%s: %v", tld, err)
		}
	}
}

// A workload identity, and a machine's, read secrets as well.
func TestManagedIdentity(t *testing.T) {
	p := newPlace(t, "io")
	p.vault.Put("registry", "content")
	app := p.Assign("pier-nodes")
	t.Setenv("AZURE_CLIENT_ID", app.Client)
	t.Setenv("AZURE_CLIENT_SECRET", "")
	p.refuses(t, p.vault.Address("registry", nil), secret.ErrNotAllowed, "managed identity userAssignedIdentities/pier-nodes", "Key Vault Secrets User", "--assignee "+app.Object, "firewall")
	p.vault.Grant(app)
	if value, err := p.node.Get(t.Context(), ref(t, p.vault.Address("registry", nil))); err != nil || string(value.Reveal()) != "content" {
		t.Error(err)
	}
}

// What a vault refuses, and whose turn it is.
func TestVaultRefuses(t *testing.T) {
	for name, try := range map[string]struct {
		spoil func(*testing.T, *place, *azuretest.Version)
		kind  error
		words []string
	}{
		"disabled":      {func(_ *testing.T, _ *place, v *azuretest.Version) { v.Disabled = true }, secret.ErrNotAllowed, []string{"disabled", "--enabled true"}},
		"run out":       {func(_ *testing.T, _ *place, v *azuretest.Version) { v.Expires = time.Now().Add(-time.Hour) }, secret.ErrNotAllowed, []string{"ran out on 20", "new version"}},
		"not yet valid": {func(_ *testing.T, _ *place, v *azuretest.Version) { v.NotBefore = time.Now().Add(time.Hour) }, secret.ErrNotAllowed, []string{"not valid before 20"}},
		"no role": {func(t *testing.T, p *place, _ *azuretest.Version) {
			other := p.Application()
			t.Setenv("AZURE_CLIENT_ID", other.Client)
			t.Setenv("AZURE_CLIENT_SECRET", other.Secret(time.Hour))
		}, secret.ErrNotAllowed, []string{"403 Forbidden (ForbiddenByRbac)", "Key Vault Secrets User", "az keyvault show --name acme", "firewall"}},
		"firewall":     {func(_ *testing.T, p *place, _ *azuretest.Version) { p.vault.Block() }, secret.ErrNotAllowed, []string{"ForbiddenByFirewall", "192.0.2.1", "network-rule add --name acme"}},
		"wrong secret": {func(t *testing.T, _ *place, _ *azuretest.Version) { t.Setenv("AZURE_CLIENT_SECRET", "8Q~hunter2") }, secret.ErrNotAllowed, []string{"AADSTS7000215", "the agent's environment"}},
		"no identity": {func(t *testing.T, p *place, _ *azuretest.Version) {
			t.Setenv("AZURE_CLIENT_SECRET", "")
			p.Trouble("imds.probe", azuretest.Trouble{Status: 404})
		}, secret.ErrNotAllowed, []string{"no identity in Azure"}},
		"another tenant": {func(_ *testing.T, p *place, _ *azuretest.Version) {
			p.vault.Challenge(challenge("https://login.microsoftonline.com/"+azuretest.NewID(), "https://vault.azure.net"))
		}, secret.ErrNotAllowed, []string{"another tenant", "AZURE_ADDITIONALLY_ALLOWED_TENANTS"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "io")
			version := p.vault.Put("registry", "content of the secret")
			try.spoil(t, p, version)
			p.refuses(t, p.vault.Address("registry", nil), try.kind, try.words...)
		})
	}
}

// A machine's identity has tokens of its own tenant only, and a vault of another one does not take them.
func TestVaultOfAnotherTenant(t *testing.T) {
	p := newPlace(t, "io")
	app, other := p.Assign("pier-nodes"), azuretest.New(t)
	t.Setenv("AZURE_CLIENT_ID", app.Client)
	t.Setenv("AZURE_CLIENT_SECRET", "")
	vault := other.Vault("theirs")
	vault.Put("registry", "content")
	p.node = azurekv.New(azure.New(azure.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == vault.Host {
			return other.Transport().RoundTrip(r)
		}
		return p.Transport().RoundTrip(r)
	})}))
	p.refuses(t, vault.Address("registry", nil), secret.ErrNotAllowed, "401 Unauthorized AKV10022", "pier-nodes", "tenant", p.Tenant)
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func challenge(authorization, resource string) string {
	return `Bearer authorization="` + authorization + `", resource="` + resource + `"`
}

// A token for vaults goes to a vault that asks for one, and nothing else that calls itself one gets any.
func TestChallengeIsVerified(t *testing.T) {
	p := newPlace(t, "io")
	p.vault.Put("registry", "content")
	good := "https://login.microsoftonline.com/" + p.Tenant
	for _, header := range []string{
		challenge(good, "https://management.azure.com"), challenge(good, "https://azure.net"), challenge(good, "https://vault.azure.cn"), challenge(good, "https://vault.azure.net.evil.example"),
		challenge(good, "https://evil.example"), challenge("https://login.microsoftonline.com", "https://vault.azure.net"), challenge("x", "https://vault.azure.net"), challenge("", "https://vault.azure.net"),
		challenge("///", "https://vault.azure.net"), `Bearer authorization="` + good + `"`, `Basic realm="x"`, "Bearer", "x",
		challenge(good, "https://vault.azure.net") + ` scope="https://evil.example"`, challenge(good, "https://vault.azure.net") + ` authorization="x"`,
		`Bearer x-authorization="` + good + `", resource="https://vault.azure.net"`,
	} {
		p.vault.Challenge(header)
		p.refuses(t, p.vault.Address("registry", nil), secret.ErrUnreachable, "no vault does")
	}
	if n := p.Calls("entra.token"); n != 0 {
		t.Errorf("%d tokens were asked for", n)
	}
	for _, header := range []string{challenge(good, "https://vault.azure.net"), challenge("https://login.windows.net/"+strings.ToUpper(p.Tenant), "https://vault.azure.net"), `Bearer authorization="` + good + `" scope="https://vault.azure.net/.default" resource="https://vault.azure.net"`} {
		p.vault.Challenge(header)
		if _, err := p.node.Get(t.Context(), ref(t, p.vault.Address("registry", nil))); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
	// A tenant's domain in the environment is its own, however the vault names it.
	t.Setenv("AZURE_TENANT_ID", "contoso.example")
	p.restart()
	if _, err := p.node.Get(t.Context(), ref(t, p.vault.Address("registry", nil))); err != nil {
		t.Error(err)
	}
}

func TestVaultInTrouble(t *testing.T) {
	for name, try := range map[string]struct {
		trouble azuretest.Trouble
		kind    error // nil: it passes
		words   []string
	}{
		"throttled for a moment": {azuretest.Trouble{Status: 429, RetryAfter: "2", Times: 2}, nil, nil},
		"busy for a moment":      {azuretest.Trouble{Status: 503, Times: 2}, nil, nil},
		"breaks off for once":    {azuretest.Trouble{Times: 1}, nil, nil},
		"throttled":              {azuretest.Trouble{Status: 429}, secret.ErrUnreachable, []string{"throttling", "429"}},
		"throttled for an hour":  {azuretest.Trouble{Status: 429, RetryAfter: "3600"}, secret.ErrUnreachable, []string{"throttling"}},
		"throttled, patiently":   {azuretest.Trouble{Status: 429, RetryAfter: "10"}, secret.ErrUnreachable, []string{"acme.vault.azure.net is throttling (429)"}},
		"busy":                   {azuretest.Trouble{Status: 500, Body: `{"error":{"code":"InternalServerError","message":"oh\r\nno"}}`}, secret.ErrUnreachable, []string{"500 InternalServerError oh no"}},
		"breaks off":             {azuretest.Trouble{}, secret.ErrUnreachable, []string{"the connection broke"}},
		"silent":                 {azuretest.Trouble{Never: true}, secret.ErrUnreachable, []string{"acme.vault.azure.net"}},
		"garbled":                {azuretest.Trouble{Status: 200, Body: "<html>hunter2"}, secret.ErrUnreachable, []string{"did not answer with a secret"}},
		"without a value":        {azuretest.Trouble{Status: 200}, secret.ErrContent, []string{"empty"}},
		"too large":              {azuretest.Trouble{Status: 200, Body: strings.Repeat("x", 2<<20)}, secret.ErrUnreachable, []string{"too large"}},
		"a portal":               {azuretest.Trouble{Status: 302, Body: "<html>hunter2"}, secret.ErrUnreachable, []string{"302"}},
		"another's 404":          {azuretest.Trouble{Status: 404, Body: "<html>hunter2"}, secret.ErrUnreachable, []string{"404", "proxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "io")
			address := p.vault.Address("registry", nil)
			p.vault.Put("registry", "content of the secret")
			p.Trouble("vault.get", try.trouble)
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				if try.kind != nil {
					p.refuses(t, address, try.kind, try.words...)
				} else if value, err := p.node.Get(t.Context(), ref(t, address)); err != nil || value.Empty() {
					t.Error(err)
				}
				if took := time.Since(start); took > 40*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestNoSuchVault(t *testing.T) {
	p := newPlace(t, "io")
	p.refuses(t, "https://nosuch.vault.azure.net/secrets/registry", secret.ErrUnreachable, "no host of that name", "az keyvault list", "privatelink")
}

// One token serves many secrets; each is asked for anew.
func TestNothingIsKeptButTheToken(t *testing.T) {
	p := newPlace(t, "io")
	for _, content := range []string{"one", "two", "three"} {
		p.vault.Put("registry", content)
		if value, err := p.node.Get(t.Context(), ref(t, p.vault.Address("registry", nil))); err != nil || string(value.Reveal()) != content {
			t.Error(err)
		}
	}
	if n, gets := p.Calls("entra.token"), p.Calls("vault.get"); n != 1 || gets != 3 {
		t.Errorf("%d tokens, %d secrets", n, gets)
	}
}

// Whatever a vault asks for, a token is for vaults, and nothing breaks.
func FuzzChallenge(f *testing.F) {
	for _, header := range []string{challenge("https://login.microsoftonline.com/x", "https://vault.azure.net"), challenge("x", "https://azure.net"), `Bearer authorization="https://a/b" authorization="c" resource="https://vault.azure.net"`, "Bearer", ""} {
		f.Add(header)
	}
	cloud := azuretest.New(f)
	vault := cloud.Vault("acme")
	app := cloud.Assign("pier-nodes")
	f.Setenv("AZURE_CLIENT_ID", app.Client)
	vault.Grant(app)
	vault.Put("registry", "content")
	source := azurekv.New(azure.New(azure.Config{Transport: cloud.Transport()}))
	address, err := secret.Parse(vault.Address("registry", nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		vault.Challenge(header)
		value, err := source.Get(t.Context(), address)
		if err == nil && string(value.Reveal()) != "content" {
			t.Error("another content")
		}
		if err != nil && (!value.Empty() || secret.HintOf(err) == "") {
			t.Errorf("%v", err)
		}
	})
}

func FuzzParseRef(f *testing.F) {
	for _, text := range []string{"https://acme.vault.azure.net/secrets/registry", "https://a-1.vault.azure.cn/secrets/R-1/0123456789abcdef0123456789abcdef", "https://acme.vault.usgovcloudapi.net/secrets/x", "https:x", "file:x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := secret.Parse(text)
		if err != nil {
			return
		}
		address, err := azurekv.ParseRef(r)
		if err != nil {
			if !errors.Is(err, secret.ErrRef) || address.Host != "" {
				t.Errorf("%v, %v", address, err)
			}
			return
		}
		if address.String() != text {
			t.Errorf("%q is printed as %q", text, address)
		}
		u, err := http.NewRequest(http.MethodGet, text, nil)
		if err != nil || u.URL.Host != address.Host || u.URL.User != nil || u.URL.RawQuery != "" {
			t.Errorf("%q goes to another host than %s: %v", text, address.Host, err)
		}
	})
}
