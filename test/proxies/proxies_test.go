// Package proxies pulls an image through other people's HTTP proxies, Tinyproxy and Squid, each with settings of its own:
// open, asking for a login, closed to the registry, and with TLS.
package proxies

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/test/internal/machine"
)

const password = "hunter2-behind-the-proxy"

// A shop is a registry that wants a login and keeps its blobs on another server.
type shop struct {
	host, storage string
	ca            string
	blob          digest.Digest
	content       string
	vias          []string // how its requests came
}

func newShop(t *testing.T, secure bool) *shop {
	t.Helper()
	s := &shop{content: strings.Repeat("a layer behind a proxy\n", 200_000)}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.blob = digest.FromString(s.content)
	start := httptest.NewServer
	if secure {
		start = httptest.NewTLSServer
	}
	storage := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the login went to the storage")
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.content))
	}))
	t.Cleanup(storage.Close)
	server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.vias = append(s.vias, r.Header.Get("Via"))
		switch _, sent, _ := r.BasicAuth(); {
		case sent != password:
			w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet:
			http.Redirect(w, r, storage.URL+"/x?sig=1", http.StatusTemporaryRedirect)
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	_, s.host, _ = strings.Cut(server.URL, "://")
	_, s.storage, _ = strings.Cut(storage.URL, "://")
	if secure {
		s.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	return s
}

// pull reads a blob through the proxy at an address.
func (s *shop) pull(ctx context.Context, proxy string) error {
	c, err := client.New(client.Config{
		Rules:       egress.Rules{Host: s.host, PlainHTTP: s.ca == "", CA: s.ca, Listed: []string{s.host, s.storage}, Proxy: proxy},
		Credentials: fixed{credential.New("ci", password, time.Time{}, []string{s.host})},
		Sleep:       func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := c.Blob(ctx, "team/app", s.blob, 0, -1)
	if err != nil {
		return err
	}
	defer b.Close()
	got, err := io.ReadAll(b.Body)
	if err == nil && string(got) != s.content {
		err = fmt.Errorf("%d bytes came", len(got))
	}
	return err
}

type fixed struct{ login credential.Credential }

func (f fixed) Credential(context.Context, *credential.Credential) (credential.Credential, error) {
	return f.login, nil
}

// A brand is a proxy program and how its settings are written.
type brand struct {
	program   string
	arguments func(file string) []string
	settings  func(dir, address string, mood mood, ports []string) string
}

type mood int

const (
	open mood = iota
	login
	closed
	secured
)

func brands() []brand {
	return []brand{
		{"tinyproxy", func(file string) []string { return []string{"-d", "-c", file} }, tinyproxy},
		{"squid", func(file string) []string { return []string{"-N", "-f", file} }, squid},
	}
}

func tinyproxy(_, address string, m mood, ports []string) string {
	host, port, _ := net.SplitHostPort(address)
	text := fmt.Sprintf("Listen %s\nPort %s\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\n", host, port)
	switch m {
	case login:
		text += "BasicAuth somebody secret\n"
	case closed:
		return text + "ConnectPort 443\nFilter \"/dev/null\"\nFilterDefaultDeny Yes\n"
	}
	for _, p := range ports {
		text += "ConnectPort " + p + "\n"
	}
	return text
}

func squid(dir, address string, m mood, _ []string) string {
	text := "cache deny all\naccess_log none\ncache_store_log none\ncache_log " + filepath.Join(dir, "log") + "\npid_filename none\ncoredump_dir none\nnetdb_filename none\n" +
		"shutdown_lifetime 0 seconds\nvisible_hostname proxy.test\n"
	switch m {
	case login:
		text += "auth_param basic program /usr/lib/squid/basic_fake_auth\nacl known proxy_auth REQUIRED\nhttp_access allow known\n"
	case closed:
		text += "http_access deny all\n"
	}
	if m == secured {
		return text + "https_port " + address + " tls-cert=" + filepath.Join(dir, "proxy.pem") + "\nhttp_access allow all\n"
	}
	return text + "http_port " + address + "\nhttp_access allow all\n"
}

// start runs a proxy until the test ends, and returns its host and port.
func start(t *testing.T, b brand, m mood, certificate []byte, targets ...string) string {
	t.Helper()
	machine.Need(t, b.program)
	dir := machine.Scratch(t, machine.Remove(t))
	must(t, os.Chmod(dir, 0o777)) // Squid writes as nobody
	address := machine.FreeAddress(t)
	var ports []string
	for _, target := range targets {
		_, port, _ := net.SplitHostPort(target)
		ports = append(ports, port)
	}
	file := filepath.Join(dir, "settings")
	must(t, os.WriteFile(file, []byte(b.settings(dir, address, m, ports)), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "proxy.pem"), certificate, 0o644))
	said, err := os.Create(filepath.Join(dir, "said"))
	must(t, err)
	defer said.Close()
	proxy := exec.Command(b.program, b.arguments(file)...)
	proxy.Stdout, proxy.Stderr = said, said
	must(t, proxy.Start())
	ended := make(chan error, 1)
	go func() { ended <- proxy.Wait() }()
	t.Cleanup(func() { _ = proxy.Process.Kill(); <-ended })
	for begun := time.Now(); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return address
		}
		select {
		case <-ended:
			ended <- nil // for the cleanup
		case <-time.After(20 * time.Millisecond):
			if time.Since(begun) < 20*time.Second {
				continue
			}
		}
		text, _ := os.ReadFile(said.Name())
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("%s does not answer\n%s%s", b.program, text, log)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An open proxy passes everything on; one that does not is told by what it says, with TLS to the registry and without.
func TestPullsThroughProxies(t *testing.T) {
	for _, b := range brands() {
		for _, secure := range []bool{true, false} {
			for m, status := range map[mood]int{open: 0, login: 407, closed: 403} {
				t.Run(fmt.Sprintf("%s, TLS %v, mood %d", b.program, secure, m), func(t *testing.T) {
					s := newShop(t, secure)
					proxy := start(t, b, m, nil, s.host, s.storage)
					err := s.pull(t.Context(), "http://"+proxy)
					if status == 0 {
						if err != nil || len(s.vias) == 0 || !secure && s.vias[0] == "" {
							t.Errorf("%v; it came via %q", err, s.vias)
						}
						return
					}
					var e *egress.Error
					if !errors.As(err, &e) || !errors.Is(err, egress.ErrProxy) || e.ProxyStatus != status || e.Proxy != proxy || client.Refused(err) || len(s.vias) != 0 {
						t.Errorf("%v; it came via %q", err, s.vias)
					}
				})
			}
		}
	}
}

// A registry that is not there is the proxy's to tell.
func TestProxiesThatReachNobody(t *testing.T) {
	for _, b := range brands() {
		t.Run(b.program, func(t *testing.T) {
			s := newShop(t, true)
			s.host = machine.FreeAddress(t)
			proxy := start(t, b, open, nil, s.host)
			err := s.pull(t.Context(), "http://"+proxy)
			var e *egress.Error
			if !errors.As(err, &e) || !errors.Is(err, egress.ErrProxy) || e.ProxyStatus < 500 {
				t.Errorf("%v", err)
			}
			t.Log(err)
		})
	}
}

// pair is a server's key and certificate as Squid reads them.
func pair(t *testing.T, server *httptest.Server) []byte {
	t.Helper()
	c := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	must(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})...)
}

// A proxy with TLS of its own, to which Tinyproxy has nothing to compare: it is believed where the registry's CA or the
// system's is its authority.
func TestPullsThroughAProxyWithTLS(t *testing.T) {
	for _, secure := range []bool{true, false} {
		s := newShop(t, secure)
		theirs := httptest.NewTLSServer(nil)
		theirs.Close()
		proxy := start(t, brands()[1], secured, pair(t, theirs))
		if err := s.pull(t.Context(), "https://"+proxy); secure && err != nil {
			t.Errorf("%v", err)
		} else if e := new(egress.Error); !secure && (!errors.As(err, &e) || e.TLS != egress.TLSUnknownAuthority || !e.ByProxy) {
			t.Errorf("%v", err)
		}
	}
}
