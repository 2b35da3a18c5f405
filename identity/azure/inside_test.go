package azure

import (
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The metadata service is never behind a proxy.
func TestProxyIsNotForTheMetadataService(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example.com:3128")
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
	t.Setenv("NO_PROXY", "")
	for address, proxied := range map[string]bool{
		"http://169.254.169.254/metadata": false, "http://127.0.0.1:41741/msi/token": false, "http://[fe80::1]/": false, "http://[::1]/": false,
		"https://login.microsoftonline.com/": true, "https://acme.vault.azure.net/": true,
	} {
		r, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := proxyFor(r)
		if err != nil || (proxy != nil) != proxied {
			t.Errorf("%s: %v, %v", address, proxy, err)
		}
	}
}

// The room's own transport, on a network: what is wrong with a connection, in words, and what is not worth another try.
func TestFaultsOfConnections(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "")
	}
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.RedirectHandler("https://evil.example/", http.StatusFound))
	t.Cleanup(plain.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	get := func(address string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		return wire{newTransport()}.Do(r)
	}
	for address, try := range map[string]struct {
		words   string
		lasting bool
	}{
		untrusted.URL + "/x?secret=hunter2":                                    {"its certificate is not trusted here", true},
		closed.URL + "/x?secret=hunter2":                                       {"the connection was refused", false},
		strings.Replace(plain.URL, "http:", "https:", 1) + "/x?secret=hunter2": {"the connection broke", false},
	} {
		_, err := get(address)
		var lasting interface{ NonRetriable() }
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), try.words) || errors.As(err, &lasting) != try.lasting || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
	answer, err := get(plain.URL)
	if err != nil || answer.StatusCode != http.StatusFound {
		t.Errorf("a redirect was followed: %v, %v", answer, err)
	}
}

func FuzzPrincipalOf(f *testing.F) {
	for _, claims := range []string{
		`{"appid":"01234567-89ab-cdef-0123-456789abcdef","oid":"01234567-89ab-cdef-0123-456789abcdef","xms_mirid":"/subscriptions/x/userAssignedIdentities/y"}`,
		`{"azp":"x\n","oid":1}`, `[]`, `{`,
	} {
		f.Add("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln")
	}
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		p := principalOf(token)
		for _, id := range []string{p.Client, p.Object, p.Tenant} {
			if id != "" && !IsID(id) {
				t.Errorf("%q passes as an id", id)
			}
		}
		if text := p.String(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 1000 {
			t.Errorf("%q is not fit to print", text)
		}
	})
}
