package azure_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/identity/azuretest"
	"pierhead.dev/pierhead/secret"
)

const subject = "system:serviceaccount:acme:pier"

func TestWorkloadIdentity(t *testing.T) {
	c := azuretest.New(t)
	cluster := c.Issuer("oidc.aks.example.com")
	app := workload(t, c, cluster.Token(subject, azuretest.Audience, time.Hour))
	app.Federate(cluster.URL, subject, azuretest.Audience)
	token := must(t, node(c), ask(c), app)
	if token.Who.Tenant != c.Tenant {
		t.Errorf("tenant %s", token.Who.Tenant)
	}
}

func TestWorkloadIdentityIsVerified(t *testing.T) {
	c := azuretest.New(t)
	cluster, other := c.Issuer("oidc.aks.example.com"), c.Issuer("oidc.evil.example.com")
	for name, try := range map[string]struct {
		token string
		code  string
	}{
		"another subject":  {cluster.Token("system:serviceaccount:acme:other", azuretest.Audience, time.Hour), "AADSTS700213"},
		"another audience": {cluster.Token(subject, "https://kubernetes.default.svc", time.Hour), "AADSTS700212"},
		"another issuer":   {other.Token(subject, azuretest.Audience, time.Hour), "AADSTS700211"},
		"run out":          {cluster.Token(subject, azuretest.Audience, -time.Hour), "AADSTS700024"},
		"no token":         {"hunter2-not-a-token", "AADSTS50027"},
		"cut":              {cluster.Token(subject, azuretest.Audience, time.Hour) + "x", "AADSTS700027"},
	} {
		t.Run(name, func(t *testing.T) {
			app := workload(t, c, try.token)
			app.Federate(cluster.URL, subject, azuretest.Audience)
			_, err := node(c).Token(t.Context(), ask(c))
			refuses(t, c, err, azure.ErrRefused, try.code, app.Client, "login.microsoftonline.com")
		})
	}
}

func TestWorkloadIdentityWithoutItsFile(t *testing.T) {
	c := azuretest.New(t)
	workload(t, c, "x")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", filepath.Join(t.TempDir(), "gone"))
	_, err := node(c).Token(t.Context(), ask(c))
	refuses(t, c, err, azure.ErrNoIdentity, "gone", "azure.workload.identity/use")
	t.Setenv("AZURE_TENANT_ID", "")
	_, err = node(c).Token(t.Context(), ask(c))
	refuses(t, c, err, azure.ErrNoIdentity, "AZURE_FEDERATED_TOKEN_FILE without AZURE_TENANT_ID")
}

func TestServicePrincipalInTheEnvironment(t *testing.T) {
	c := azuretest.New(t)
	app := application(t, c)
	must(t, node(c), ask(c), app)

	t.Run("certificate", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pier.pem")
		if err := os.WriteFile(file, app.Certificate(), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AZURE_CLIENT_SECRET", "")
		t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", file)
		must(t, node(c), ask(c), app)
	})
	t.Run("a certificate that is not registered", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pier.pem")
		if err := os.WriteFile(file, c.Application().Certificate(), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AZURE_CLIENT_SECRET", "")
		t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", file)
		_, err := node(c).Token(t.Context(), ask(c))
		refuses(t, c, err, azure.ErrRefused, "AADSTS700027")
	})
	t.Run("a certificate that is not there", func(t *testing.T) {
		t.Setenv("AZURE_CLIENT_SECRET", "")
		t.Setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere/pier.pem")
		_, err := node(c).Token(t.Context(), ask(c))
		refuses(t, c, err, azure.ErrNoIdentity, "/nowhere/pier.pem")
	})
}

// What each of Entra's answers means, and whose turn it is.
func TestEntraRefuses(t *testing.T) {
	for name, try := range map[string]struct {
		spoil func(*testing.T, *azuretest.Cloud, *azuretest.Application)
		words []string
	}{
		"wrong secret": {func(t *testing.T, _ *azuretest.Cloud, _ *azuretest.Application) {
			t.Setenv("AZURE_CLIENT_SECRET", "8Q~hunter2-wrong")
		}, []string{"401 AADSTS7000215", "not its id"}},
		"run out": {func(t *testing.T, _ *azuretest.Cloud, a *azuretest.Application) {
			t.Setenv("AZURE_CLIENT_SECRET", a.Secret(-time.Minute))
		}, []string{"401 AADSTS7000222", "az ad app credential reset --id "}},
		"no application": {func(t *testing.T, _ *azuretest.Cloud, _ *azuretest.Application) {
			t.Setenv("AZURE_CLIENT_ID", azuretest.NewID())
		}, []string{"400 AADSTS700016", "no such application"}},
		"no tenant": {func(t *testing.T, _ *azuretest.Cloud, _ *azuretest.Application) {
			t.Setenv("AZURE_TENANT_ID", azuretest.NewID())
		}, []string{"400 AADSTS90002", "az account show"}},
		"disabled":           {func(_ *testing.T, _ *azuretest.Cloud, a *azuretest.Application) { a.Disable() }, []string{"AADSTS7000112", "disabled"}},
		"conditional access": {func(_ *testing.T, _ *azuretest.Cloud, a *azuretest.Application) { a.Block() }, []string{"AADSTS53003", "Conditional Access"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := azuretest.New(t)
			app := application(t, c)
			try.spoil(t, c, app)
			_, err := node(c).Token(t.Context(), ask(c))
			refuses(t, c, err, azure.ErrRefused, append(try.words, "(request ")...)
		})
	}
	t.Run("another resource", func(t *testing.T) {
		c := azuretest.New(t)
		application(t, c)
		a := ask(c)
		a.Scope = "https://graph.example.com/.default"
		_, err := node(c).Token(t.Context(), a)
		refuses(t, c, err, azure.ErrRefused, "AADSTS500011")
	})
}

// A service principal out of a secret, in the tenant's own words.
func TestServicePrincipalInASecret(t *testing.T) {
	c := azuretest.New(t)
	setenv(t, nil)
	app := c.Application()
	a := ask(c)
	a.Principal = &azure.ServicePrincipal{Tenant: c.Tenant, Client: app.Client, Secret: secret.NewValue([]byte(app.Secret(time.Hour)))}
	must(t, node(c), a, app)
	a.Principal = &azure.ServicePrincipal{Tenant: c.Tenant, Client: app.Client, Secret: secret.NewValue([]byte("8Q~hunter2-wrong"))}
	_, err := node(c).Token(t.Context(), a)
	refuses(t, c, err, azure.ErrRefused, "AADSTS7000215", "the registry's secret")
	if strings.Contains(azure.HintOf(err), "hunter2") {
		t.Error("the secret is in the hint")
	}
	if n := c.Calls("imds.probe") + c.Calls("imds.token"); n != 0 {
		t.Errorf("the node's own identity was asked for %d times", n)
	}
}

// An answer that sends the secret back does not get it into the error.
func TestEchoedSecretIsHidden(t *testing.T) {
	c := azuretest.New(t)
	application(t, c)
	mine := os.Getenv("AZURE_CLIENT_SECRET")
	c.Trouble("entra.token", azuretest.Trouble{Status: 401, Body: `{"error":"invalid_client","error_description":"AADSTS7000215: what is ` + mine + `?\u001b[31m Trace ID: x"}`})
	_, err := node(c).Token(t.Context(), ask(c))
	refuses(t, c, err, azure.ErrRefused, "AADSTS7000215: what is [hidden]?")
	c.Calm()
	cluster := c.Issuer("oidc.aks.example.com")
	token := cluster.Token(subject, azuretest.Audience, time.Hour)
	workload(t, c, token)
	c.Trouble("entra.token", azuretest.Trouble{Status: 401, Body: `{"error":"invalid_client","error_description":"AADSTS700213: what is ` + token + ` for?"}`})
	_, err = node(c).Token(t.Context(), ask(c))
	refuses(t, c, err, azure.ErrRefused, "AADSTS700213: what is [hidden] for?")
}

func TestManagedIdentity(t *testing.T) {
	setenv(t, nil)
	t.Run("user-assigned, by AZURE_CLIENT_ID", func(t *testing.T) {
		c := azuretest.New(t)
		c.AssignSystem()
		c.Assign("other")
		app := c.Assign("pier-nodes")
		t.Setenv("AZURE_CLIENT_ID", app.Client)
		token := must(t, node(c), ask(c), app)
		if want := "managed identity userAssignedIdentities/pier-nodes (object " + app.Object + ")"; token.Who.String() != want {
			t.Errorf("%s, want %s", token.Who, want)
		}
	})
	// The library keeps tokens of machines' own identities for the whole process: this is the only test with one.
	t.Run("the machine's own", func(t *testing.T) {
		c := azuretest.New(t)
		c.Assign("other")
		app := c.AssignSystem()
		if token := must(t, node(c), ask(c), app); !strings.Contains(token.Who.String(), "virtualMachines/node-1") {
			t.Errorf("%s", token.Who)
		}
	})
	t.Run("not assigned", func(t *testing.T) {
		c := azuretest.New(t)
		c.Assign("other")
		gone := azuretest.NewID()
		t.Setenv("AZURE_CLIENT_ID", gone)
		_, err := node(c).Token(t.Context(), ask(c))
		refuses(t, c, err, azure.ErrNoIdentity, gone, "400", "AZURE_CLIENT_ID")
	})
	t.Run("App Service", func(t *testing.T) {
		c := azuretest.New(t)
		app := c.Assign("site")
		t.Setenv("AZURE_CLIENT_ID", app.Client)
		t.Setenv("IDENTITY_ENDPOINT", "http://"+azuretest.AppEndpoint+"/msi/token")
		t.Setenv("IDENTITY_HEADER", azuretest.AppHeader)
		must(t, node(c), ask(c), app)
		t.Setenv("IDENTITY_HEADER", "wrong")
		a := ask(c)
		a.Scope = "https://vault.azure.net/.default" // one that the library has no token for
		_, err := node(c).Token(t.Context(), a)
		refuses(t, c, err, azure.ErrNoIdentity, azuretest.AppEndpoint, "401")
		if c.Calls("imds.probe") != 0 {
			t.Error("the metadata service was asked")
		}
	})
}

// A thousand asks at once make one request, whoever the node is.
func TestOneAskServesAll(t *testing.T) {
	c := azuretest.New(t)
	application(t, c)
	identity := node(c)
	storm(t, identity, ask(c))
	if i, d, n := c.Calls("entra.instance"), c.Calls("entra.discovery"), c.Calls("entra.token"); i > 1 || d != 1 || n != 1 {
		t.Errorf("%d and %d asks for discovery, %d for tokens", i, d, n)
	}
	c = azuretest.New(t)
	setenv(t, map[string]string{"AZURE_CLIENT_ID": c.Assign("pier-nodes").Client})
	storm(t, node(c), ask(c))
	if p, n := c.Calls("imds.probe"), c.Calls("imds.token"); p != 1 || n != 1 {
		t.Errorf("%d probes, %d asks for tokens", p, n)
	}
}

func storm(t *testing.T, identity *azure.Identity, a azure.Ask) {
	t.Helper()
	var group sync.WaitGroup
	for range 1000 {
		group.Go(func() {
			if _, err := identity.Token(t.Context(), a); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// A token prints without itself.
func TestTokenIsSilent(t *testing.T) {
	c := azuretest.New(t)
	token := must(t, node(c), ask(c), application(t, c))
	if text := strings.Join([]string{token.Value.String(), token.Who.String()}, " "); strings.Contains(text, string(token.Value.Reveal())) {
		t.Error("the token is printed")
	}
}

func TestSovereignClouds(t *testing.T) {
	for tld, host := range map[string]string{"io": "login.microsoftonline.com", "cn": "login.chinacloudapi.cn", "us": "login.microsoftonline.us"} {
		c := azuretest.NewIn(t, tld)
		app := application(t, c)
		if c.Authority != host {
			t.Fatalf("%s: %s", tld, c.Authority)
		}
		must(t, node(c), ask(c), app)
	}
	c := azuretest.New(t)
	application(t, c)
	_, err := node(c).Token(t.Context(), azure.Ask{Cloud: azure.Germany, Scope: acrScope})
	refuses(t, c, err, azure.ErrUnreachable, "Azure Germany", "29 October 2021")
}

func TestAuthorityHost(t *testing.T) {
	china := azuretest.NewIn(t, "cn")
	app := application(t, china)
	t.Setenv("AZURE_AUTHORITY_HOST", "https://login.chinacloudapi.cn/")
	must(t, node(china), ask(china), app)
	// The node is of one cloud; a secret may be of another.
	_, err := node(china).Token(t.Context(), azure.Ask{Cloud: azure.Public, Scope: acrScope})
	refuses(t, china, err, azure.ErrNoIdentity, "Azure China", "AZURE_AUTHORITY_HOST")
	public := azuretest.New(t)
	other := public.Application()
	a := ask(public)
	a.Principal = &azure.ServicePrincipal{Tenant: public.Tenant, Client: other.Client, Secret: secret.NewValue([]byte(other.Secret(time.Hour)))}
	must(t, node(public), a, other)
	// A private cloud's is its operator's affair.
	public.Authority = "login.stack.example.com"
	app = application(t, public)
	t.Setenv("AZURE_AUTHORITY_HOST", "login.stack.example.com")
	must(t, node(public), ask(public), app)
	for _, bad := range []string{"http://login.microsoftonline.com", "https://", "https://x@login.microsoftonline.com", "https://a b"} {
		t.Setenv("AZURE_AUTHORITY_HOST", bad)
		_, err := node(public).Token(t.Context(), ask(public))
		refuses(t, public, err, azure.ErrNoIdentity, "AZURE_AUTHORITY_HOST")
	}
}
