// Package egresstest is a small internet for tests of what goes out through egress: hosts with names and public
// addresses of their own, TLS under a CA of their own, and a record of every byte that each was sent. The rules of
// egress are applied in front of it as they are in front of the real one. Nothing leaves the machine.
package egresstest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead/egress"
)

// A World is names, addresses and servers.
type World struct {
	t   testing.TB
	ca  *x509.Certificate
	key *ecdsa.PrivateKey

	mu      sync.Mutex
	names   map[string][]netip.Addr
	places  map[netip.AddrPort]string // where an address really is
	servers []*Server
}

// A Server is one host of a World.
type Server struct {
	Host string // "host" or "host:port", as in URLs

	mu       sync.Mutex
	received bytes.Buffer
}

// New makes an empty world. Its servers stop when the test ends.
func New(t testing.TB) *World {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &World{t: t, ca: ca, key: key, names: map[string][]netip.Addr{}, places: map[netip.AddrPort]string{}}
}

// CA is the PEM of the world's CA, for egress.Rules.
func (w *World) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Raw}))
}

// Network is the world as egress reaches it.
func (w *World) Network() egress.Network {
	return egress.Network{Resolve: w.resolve, Dial: w.dial}
}

func (w *World) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	addresses, ok := w.names[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.9.8.7:53", IsNotFound: true}
	}
	return addresses, nil
}

func (w *World) dial(ctx context.Context, to netip.AddrPort, check func(netip.AddrPort) error) (net.Conn, error) {
	if err := check(to); err != nil {
		return nil, err
	}
	w.mu.Lock()
	place, ok := w.places[to]
	w.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", place)
}

// Name gives a host other addresses than its own, or addresses of others.
func (w *World) Name(host string, addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[host] = nil
	for _, a := range addresses {
		w.names[host] = append(w.names[host], netip.MustParseAddr(a))
	}
}

// Address is the address that a host of this world has.
func (w *World) Address(host string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[host][0].String()
}

// HTTPS starts a server at "host" or "host:port" with a certificate for that host.
func (w *World) HTTPS(host string, handler http.Handler) *Server {
	name, _, _ := strings.Cut(host, ":")
	return w.HTTPSWith(host, w.Certificate(name, nil), handler)
}

// HTTPSWith starts a server with any certificate.
func (w *World) HTTPSWith(host string, certificate tls.Certificate, handler http.Handler) *Server {
	return w.start(host, 443, handler, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
}

// HTTP starts a server without TLS.
func (w *World) HTTP(host string, handler http.Handler) *Server {
	return w.start(host, 80, handler, nil)
}

// Certificate makes one for a name, signed by the world's CA; change may spoil it.
func (w *World) Certificate(name string, change func(*x509.Certificate)) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if address := net.ParseIP(name); address != nil {
		template.IPAddresses = []net.IP{address}
	} else {
		template.DNSNames = []string{name}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.ca, key.Public(), w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (w *World) start(host string, port int, handler http.Handler, secure *tls.Config) *Server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	s := &Server{Host: host}
	name := host
	if before, after, found := strings.Cut(host, ":"); found {
		name = before
		if port, err = strconv.Atoi(after); err != nil {
			w.t.Fatal(err)
		}
	}
	w.settle(name, port, listener.Addr().String(), s)
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(recordingListener{listener, secure, s})
	w.t.Cleanup(func() { _ = server.Close() })
	return s
}

// settle gives a name its address, a new public one unless it has one or is one.
func (w *World) settle(name string, port int, place string, s *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if literal, err := netip.ParseAddr(name); err == nil {
		w.names[name] = []netip.Addr{literal}
	} else if w.names[name] == nil {
		w.names[name] = []netip.Addr{netip.AddrFrom4([4]byte{20, 0, byte(len(w.servers) / 200), byte(1 + len(w.servers)%200)})}
	}
	w.servers = append(w.servers, s)
	w.places[netip.AddrPortFrom(w.names[name][0], uint16(port))] = place
}

// Servers are all servers so far.
func (w *World) Servers() []*Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Server(nil), w.servers...)
}

// Received is all that the server was sent, inside TLS.
func (s *Server) Received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received.String()
}

// Knows tells whether the server was sent a secret in any usual form.
func (s *Server) Knows(secret string) bool { return Contains(s.Received(), secret) }

// Contains tells whether a text holds a secret: as it is, URL-encoded, in hexadecimal, or anywhere inside a base64 text.
func Contains(text, secret string) bool {
	if len(secret) < 6 {
		panic("a secret that is found by chance")
	}
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret))}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		// The first and last characters depend on the neighbours.
		inner := encoded[(shift*8+5)/6 : len(encoded)-4]
		forms = append(forms, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner), url.QueryEscape(inner))
	}
	for _, form := range forms {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

type recordingListener struct {
	net.Listener
	secure *tls.Config
	server *Server
}

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.secure != nil {
		c = tls.Server(c, l.secure)
	}
	return recordingConn{c, l.server}, nil
}

type recordingConn struct {
	net.Conn
	server *Server
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.received.Write(p[:n])
	return n, err
}
