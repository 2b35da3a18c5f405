package azure_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/identity/azuretest"
)

const acrScope = "https://containerregistry.azure.net/.default"

// setenv makes the environment nothing but these variables, as far as Azure's libraries read it.
func setenv(t *testing.T, variables map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			t.Setenv(name, "")
		}
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

func node(c *azuretest.Cloud) *azure.Identity {
	return azure.New(azure.Config{Transport: c.Transport()})
}

func ask(c *azuretest.Cloud) azure.Ask {
	return azure.Ask{Cloud: azure.Cloud(c.TLD), Scope: acrScope}
}

// application is a service principal in the node's environment.
func application(t *testing.T, c *azuretest.Cloud) *azuretest.Application {
	t.Helper()
	app := c.Application()
	setenv(t, map[string]string{"AZURE_TENANT_ID": c.Tenant, "AZURE_CLIENT_ID": app.Client, "AZURE_CLIENT_SECRET": app.Secret(time.Hour)})
	return app
}

// workload is a workload identity of the service account acme:pier.
func workload(t *testing.T, c *azuretest.Cloud, token string) *azuretest.Application {
	t.Helper()
	app := c.Application()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	setenv(t, map[string]string{"AZURE_TENANT_ID": c.Tenant, "AZURE_CLIENT_ID": app.Client, "AZURE_FEDERATED_TOKEN_FILE": file})
	return app
}

// must gets a token for app.
func must(t *testing.T, i *azure.Identity, a azure.Ask, app *azuretest.Application) azure.Token {
	t.Helper()
	token, err := i.Token(t.Context(), a)
	if err != nil {
		t.Fatal(err, azure.HintOf(err))
	}
	if token.Who.Client != app.Client || token.Who.Object != app.Object {
		t.Errorf("%s, want %s", token.Who, app.Client)
	}
	if left := time.Until(token.Expires); token.Value.Empty() || left < 30*time.Minute || left > 2*time.Hour {
		t.Errorf("expires in %s", left)
	}
	return token
}

// refuses wants an error of a kind with words in it or its hint, and no secret.
func refuses(t *testing.T, c *azuretest.Cloud, err error, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
		return
	}
	text := err.Error() + "\n" + azure.HintOf(err)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in: %s", word, text)
		}
	}
	if azure.HintOf(err) == "" {
		t.Errorf("no hint with %v", err)
	}
	for _, secret := range append(c.Secrets(), os.Getenv("AZURE_CLIENT_SECRET")) {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret is in the error")
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r\t") || len(text) > 1200 {
		t.Errorf("not one line: %q", text)
	}
}
