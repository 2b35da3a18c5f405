package google_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/identity/googletest"
)

// served is a transport as the program has it, over sockets and TLS, to a server that answers in the place of every host.
// trusted says whether the server's certificate is known.
func served(t *testing.T, handler http.Handler, trusted bool) http.RoundTripper {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	if trusted {
		pool.AddCert(server.Certificate())
	}
	transport := &http.Transport{
		// The test server's certificate is for example.com, whatever the host.
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func TestOverSockets(t *testing.T) {
	cloud := googletest.New()
	key := keyOf(t, cloud.Account(robot).Key())
	byHost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cloud.Handler(r.Host).ServeHTTP(w, r) })
	client := google.NewClient(served(t, byHost, true))
	source, err := client.KeyToken(t.Context(), key)
	good(t, cloud, source, err, robot)
	cloud.Account(target)
	cloud.Grant(robot, googletest.GetAccessToken, target)
	token, err := client.Impersonate(t.Context(), source, target)
	good(t, cloud, token, err, target)

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // of four tries there is time for one
	defer cancel()
	_, err = google.NewClient(served(t, byHost, false)).KeyToken(short, key)
	bad(t, cloud, err, google.ErrUnreachable, "certificate", "SSL_CERT_FILE")
}

// What trickles, breaks off, redirects or never ends is none of Google's answers, and a redirect takes nothing along.
func TestHostileSockets(t *testing.T) {
	cloud := googletest.New()
	key := keyOf(t, cloud.Account(robot).Key())
	for what, c := range map[string]struct {
		handler http.HandlerFunc
		word    string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "oauth2.googleapis.com" {
				t.Errorf("%s was asked after a redirect", r.Host)
			}
			http.Redirect(w, r, "https://evil.com/token", http.StatusTemporaryRedirect)
		}, "307"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for _, err := w.Write(make([]byte, 1<<16)); err == nil; _, err = w.Write(make([]byte, 1<<16)) {
			}
		}, "longer than 256 KiB"},
		"control characters": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid\u001b[2Jgrant","error_description":"` + strings.Repeat(`\u0000x y\n`, 1000) + `"}`))
		}, "400 invalid[2Jgrant: x y x y"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := google.NewClient(served(t, c.handler, true)).KeyToken(t.Context(), key)
			kind := google.ErrUnreachable
			if what == "control characters" {
				kind = google.ErrRefused
			}
			bad(t, cloud, err, kind, c.word)
			if len(err.Error()) > 600 {
				t.Errorf("%d bytes of text", len(err.Error()))
			}
		})
	}
}
