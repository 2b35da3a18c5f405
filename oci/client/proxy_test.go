package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

const proxyHost = "proxy.corp.example:3128"

// blobsAt sends whoever asks for a blob to another host, and lets the registry answer all else.
func (f *fixture) blobsAt(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isBlob(r) && r.Method != http.MethodHead {
			w.Header().Set("Location", address)
			w.WriteHeader(307)
			return
		}
		f.inner.ServeHTTP(w, r)
	})
}

func (f *fixture) storage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.ranged(w, r, f.layer) })
}

// Registry, token server and storage are all reached through the proxy, which is sent no login.
func TestP12PullsThroughAProxy(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		f := newFixture(t)
		i := &issuer{realm: "https://auth.example.org/token", password: is(marker)}
		f.HTTPS("auth.example.org", i)
		f.HTTPS(host, i.protect(f.blobsAt("https://bucket.example.net/x?sig=1")))
		f.HTTPS("bucket.example.net", f.storage())
		start := map[string]func(string, http.Handler) *egresstest.Server{"http": f.HTTP, "https": f.HTTPS}[scheme]
		proxy := start(proxyHost, f.Proxy())
		f.reads(f.client(egress.Rules{Proxy: scheme + "://" + proxyHost, Realms: []string{"auth.example.org"}}, login(marker)))
		for _, want := range []string{host, "auth.example.org", "bucket.example.net"} {
			if n := strings.Count(proxy.Received(), "CONNECT "+want+":443 "); n == 0 {
				t.Errorf("%s was not reached through the proxy", want)
			}
		}
		f.nobodyElse(marker, "auth.example.org")
		f.nobodyElse("token-1", host)
	}
}

// The proxy's no is not the registry's: it refuses no login, and is told with the proxy's name.
func TestP12TheProxysNoIsNotTheRegistrys(t *testing.T) {
	for status, want := range map[int]struct {
		tries int
		hint  string
	}{
		407: {1, "whoever runs the proxy lets this node through without a login, or an organization admin names another one (proxy)"},
		403: {1, "whoever runs the proxy lets this node reach " + host + " through it"},
		401: {1, "whoever runs the proxy lets this node reach " + host + " through it"},
		503: {4, "try again; if it stays so, whoever runs the proxy looks why it does not reach " + host},
	} {
		f := newFixture(t)
		f.HTTPS(host, basic(f.inner, marker))
		proxy := f.HTTP(proxyHost, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		_, err := f.client(egress.Rules{Proxy: "http://" + proxyHost}, login(marker)).Manifest(t.Context(), repo, "v1")
		var e *client.Error
		if !errors.As(err, &e) || e.Place != client.PlaceProxy || e.Host != proxyHost || e.Status != status || client.Refused(err) || errors.Is(err, oci.ErrDenied) || errors.Is(err, oci.ErrUnauthorized) || !errors.Is(err, oci.ErrUnavailable) || !errors.Is(err, egress.ErrProxy) {
			t.Errorf("%d: %v (%+v)", status, err, e)
			continue
		}
		text := fmt.Sprintf("manifest v1 of %s/%s: GET https://%s/v2/%s/manifests/v1: the proxy %s refused: it answered %d ", host, repo, host, repo, proxyHost, status)
		if !strings.HasPrefix(err.Error(), text) || egress.HintOf(err) != want.hint {
			t.Errorf("%v\n  hint: %s", err, egress.HintOf(err))
		}
		if n := strings.Count(proxy.Received(), "CONNECT"); n != want.tries || len(f.took()) != 0 {
			t.Errorf("%d: %d tries, logins %q", status, n, f.took())
		}
	}
}

// A proxy that is in trouble for a moment, and one that lets nobody reach the token server: asked as often as for any
// token, and not for each try of the manifest again.
func TestP12ProxiesInTrouble(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://auth.example.org/token", password: is(marker)}
	f.HTTPS("auth.example.org", i)
	f.HTTPS(host, i.protect(f.inner))
	inner, troubles := f.Proxy(), 2
	proxy := f.HTTP(proxyHost, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.mu.Lock(); troubles > 0 && strings.HasPrefix(r.Host, "auth.") {
			troubles--
			w.WriteHeader(502)
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		inner.ServeHTTP(w, r)
	}))
	rules := egress.Rules{Proxy: "http://" + proxyHost, Realms: []string{"auth.example.org"}}
	f.reads(f.client(rules, login(marker)))
	before := strings.Count(proxy.Received(), "CONNECT auth.")
	troubles = 1000
	_, err := f.client(rules, login(marker)).Manifest(t.Context(), repo, "v1")
	if n := strings.Count(proxy.Received(), "CONNECT auth.") - before; before != 3 || n != 4 || !errors.Is(err, egress.ErrProxy) || client.Refused(err) {
		t.Errorf("%d and %d times, %v", before, n, err)
	}
}

// A registry with a private CA and storage under a public one, and the reverse: the CA is added to the system's. The
// process that finds out has a system of its own, since Go reads it once.
func TestP12PrivateAndPublicCertificates(t *testing.T) {
	const child = "PIERHEAD_TEST_PUBLIC_ROOTS"
	if os.Getenv(child) == "" {
		command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		command.Env = append(os.Environ(), child+"=1")
		out, err := command.CombinedOutput()
		if err != nil || strings.Count(string(out), "--- PASS") != 5 {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	public := egresstest.New(t)
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, []byte(public.CA()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	for name, test := range map[string]struct {
		publicRegistry, publicStorage, ca bool
		fault                             string // who is not trusted; "" for nobody
	}{
		"private registry, public storage": {false, true, true, ""}, "public registry, private storage": {true, false, true, ""},
		"private registry without the CA": {false, true, false, host}, "private storage without the CA": {true, false, false, "bucket.example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			from := map[bool]*egresstest.World{true: public, false: f.World}
			f.HTTPSWith(host, from[test.publicRegistry].Certificate(host, nil), basic(f.blobsAt("https://bucket.example.net/x?sig=1"), marker))
			f.HTTPSWith("bucket.example.net", from[test.publicStorage].Certificate("bucket.example.net", nil), f.storage())
			rules := egress.Rules{Host: host}
			if test.ca {
				rules.CA = f.CA()
			}
			f.logins = append(f.logins, login(marker))
			c, err := client.New(client.Config{Rules: rules, Network: f.Network(), Credentials: f})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if test.fault == "" {
				f.reads(c)
				return
			}
			_, err = blob(t, c, f.blob, 0, -1)
			var e *egress.Error
			if !errors.As(err, &e) || e.TLS != egress.TLSUnknownAuthority || e.Evidence.Last().Host != test.fault {
				t.Errorf("%v", err)
			}
			if test.fault == host {
				f.nobodyElse(marker)
			}
		})
	}
}
