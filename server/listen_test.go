package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/server"
)

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		name   string
		config server.ListenConfig
		kind   error
		hint   string
	}{
		{"plain HTTP for everybody", server.ListenConfig{Address: "0.0.0.0:0"}, pierhead.ErrBadInput, "--tls self"},
		{"plain HTTP for everybody, IPv6", server.ListenConfig{Address: "[::]:0"}, pierhead.ErrBadInput, "--tls self"},
		{"plain HTTP, no host", server.ListenConfig{Address: ":0"}, pierhead.ErrBadInput, "--tls self"},
		{"plain HTTP on a name", server.ListenConfig{Address: "pier.example:0"}, pierhead.ErrBadInput, "--tls self"},
		{"a port in use", server.ListenConfig{Address: taken.Addr().String()}, pierhead.ErrConflict, "--listen"},
		{"no port", server.ListenConfig{Address: "127.0.0.1"}, pierhead.ErrBadInput, "127.0.0.1:7070"},
		{"another machine's address", server.ListenConfig{Address: "192.0.2.1:0", Self: true, Directory: filepath.Join(t.TempDir(), "tls")}, pierhead.ErrBadInput, "free port"},
		{"a certificate without a key", server.ListenConfig{CertFile: "x"}, pierhead.ErrBadInput, "both"},
		{"a certificate that is not there", server.ListenConfig{CertFile: "/nowhere", KeyFile: "/nowhere"}, pierhead.ErrBadInput, "PEM"},
		{"two kinds of certificate", server.ListenConfig{Self: true, CertFile: "x", KeyFile: "y"}, pierhead.ErrBadInput, "leave one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			listener, err := server.Listen(t.Context(), test.config)
			if err == nil {
				listener.Close()
			}
			if !errors.Is(err, test.kind) || !strings.Contains(pierhead.HintOf(err), test.hint) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, hint %q", err, pierhead.HintOf(err))
			}
		})
	}
}

// serve runs k's server on a listener until the test ends, and returns how it ended.
func (k *kit) serve(ctx context.Context, listener net.Listener) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- k.server.Serve(ctx, listener) }()
	return ended
}

func TestServeOnLoopback(t *testing.T) {
	k := newKit(t)
	listener, err := server.Listen(t.Context(), server.ListenConfig{Address: "localhost:0"})
	k.must(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := k.serve(ctx, listener)
	client, err := api.NewClient(api.ClientConfig{URL: listener.URL, Token: k.token["node"]})
	k.must(err)
	polled := make(chan error, 1)
	go func() {
		_, _, err := client.TakeWork(t.Context(), 0, api.MaxWait)
		polled <- err
	}()
	until(t, "the poll", func() bool { return strings.Contains(k.log.String(), `"/readyz"`) || ready(listener.URL) })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-polled; err != nil && !errors.Is(err, pierhead.ErrUnreachable) { // it may not have begun
		t.Errorf("poll: %v", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func ready(url string) bool {
	response, err := http.Get(url + "/readyz")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// --tls self: clients that trust its authority reach it by every name; the authority stays over restarts, and its hash
// is that of the certificate.
func TestSelfSignedTLS(t *testing.T) {
	k := newKit(t)
	directory := filepath.Join(t.TempDir(), "tls")
	config := server.ListenConfig{Address: "127.0.0.1:0", Self: true, Directory: directory, Names: []string{"pier.example"}}
	listener, err := server.Listen(t.Context(), config)
	k.must(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := k.serve(ctx, listener)
	defer func() { stop(); <-ended }()

	block, _ := pem.Decode(listener.CA)
	sum := sha256.Sum256(block.Bytes)
	if listener.CAHash != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("hash is %s", listener.CAHash)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(listener.CA)
	client, err := api.NewClient(api.ClientConfig{URL: listener.URL, Token: k.token["alice"], CAs: pool})
	k.must(err)
	defer client.CloseIdle()
	if who, err := client.Whoami(t.Context()); err != nil || who.Name != "alice" {
		t.Errorf("who is %+v, %v", who, err)
	}
	for _, name := range []string{"pier.example", "localhost", "127.0.0.1"} {
		connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: name, NextProtos: []string{"h2"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if protocol := connection.ConnectionState().NegotiatedProtocol; protocol != "h2" {
			t.Errorf("%s: protocol %q", name, protocol)
		}
		connection.Close()
	}
	if info, err := os.Stat(filepath.Join(directory, "authority.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's file: %v, %v", info, err)
	}
	// Regression: ca.pem, which people copy to their clients, had the authority's key in it.
	if text, err := os.ReadFile(filepath.Join(directory, "ca.pem")); err != nil || !bytes.Equal(text, listener.CA) || bytes.Contains(text, []byte("KEY")) {
		t.Errorf("what clients get: %s, %v", text, err)
	}
	again, err := server.Listen(t.Context(), config)
	k.must(err)
	defer again.Close()
	if again.CAHash != listener.CAHash {
		t.Error("a restart made another authority")
	}
	k.must(os.WriteFile(filepath.Join(directory, "authority.pem"), []byte("broken"), 0o600))
	if _, err := server.Listen(t.Context(), config); !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("a broken authority: %v", err)
	}
}

// The certificate is renewed while the server runs, well before its end.
func TestSelfSignedCertificateIsRenewed(t *testing.T) {
	now := time.Now()
	listener, err := server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:0", Self: true, Directory: filepath.Join(t.TempDir(), "tls"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	first := peer(t, listener)
	if same := peer(t, listener); !same.Equal(first) {
		t.Error("every connection has a certificate of its own")
	}
	now = now.Add(61 * 24 * time.Hour)
	if renewed := peer(t, listener); renewed.Equal(first) || renewed.NotAfter.Sub(now) < 60*24*time.Hour {
		t.Errorf("after 61 days the certificate ends at %v", renewed.NotAfter)
	}
}

// peer makes one handshake and returns the server's certificate.
func peer(t *testing.T, listener net.Listener) *x509.Certificate {
	t.Helper()
	go func() {
		if connection, err := listener.Accept(); err == nil {
			_ = connection.(*tls.Conn).HandshakeContext(t.Context())
			connection.Close()
		}
	}()
	connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // it only looks
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0]
}

// Certificate files that somebody renewed are taken up without a restart, and broken ones are not.
func TestCertificateFilesAreReadAgain(t *testing.T) {
	now := time.Now()
	directory := t.TempDir()
	file := filepath.Join(directory, "both.pem")
	write := func(text []byte, at time.Time) {
		if err := errors.Join(os.WriteFile(file, text, 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	pairs := [2][]byte{authorityText(t), authorityText(t)}
	write(pairs[0], now)
	listener, err := server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:0", CertFile: file, KeyFile: file, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	first := peer(t, listener)
	write([]byte("half a file"), now.Add(time.Second))
	now = now.Add(2 * time.Minute)
	if still := peer(t, listener); !still.Equal(first) {
		t.Error("a broken file took the certificate away")
	}
	write(pairs[1], now)
	now = now.Add(2 * time.Minute)
	if second := peer(t, listener); second.Equal(first) {
		t.Error("a new file is not taken up")
	}
}

// authorityText is a certificate and its key, as another program would make it.
func authorityText(t *testing.T) []byte {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "tls")
	listener, err := server.Listen(t.Context(), server.ListenConfig{Address: "127.0.0.1:0", Self: true, Directory: directory})
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	text, err := os.ReadFile(filepath.Join(directory, "authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokenKeyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.pem")
	first, err := server.OpenTokenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.OpenTokenKey(path)
	if err != nil || second.ID() != first.ID() {
		t.Errorf("the second start has key %v, not %v: %v", second, first, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", info, err)
	}
	if err := os.WriteFile(path, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.OpenTokenKey(path); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken file: %v", err)
	}
}
