package egress_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
)

// Each way of not getting an answer is told apart (FIELD P1, P12), and told without the query.
func TestP1KindsOfFailure(t *testing.T) {
	w := egresstest.New(t)
	other := egresstest.New(t)
	w.HTTPSWith("unknown.example.com", other.Certificate("unknown.example.com", nil), ok)
	w.HTTPSWith("name.example.com", w.Certificate("another.example.com", nil), ok)
	w.HTTPSWith("expired.example.com", w.Certificate("expired.example.com", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), ok)
	w.HTTP("plain.example.com:443", ok)
	w.Name("closed.example.com", "20.9.9.9")
	w.Name("empty.example.com")
	w.HTTPS("hangup.example.com", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	w.HTTPS("noise.example.com", hijacked("SSH-2.0-OpenSSH_9.2\r\n"))
	w.HTTPS("headers.example.com", hijacked("HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 200)))
	for host, test := range map[string]struct {
		kind error
		tls  egress.TLSFault
		rule egress.Rule
		text string
	}{
		"unknown": {egress.ErrTLS, egress.TLSUnknownAuthority, "", "no secure connection: the certificate is signed by an authority that is not trusted (issuer CN=test CA)"},
		"name":    {egress.ErrTLS, egress.TLSNameMismatch, "", "no secure connection: the certificate is for another name (issuer CN=test CA)"},
		"expired": {egress.ErrTLS, egress.TLSExpired, "", "no secure connection: the certificate has expired or is not valid yet (issuer CN=test CA)"},
		"plain":   {egress.ErrTLS, egress.TLSPlainServer, "", "no secure connection: the server speaks plain HTTP"},
		"closed":  {egress.ErrConnect, "", "", "no connection: connection refused by 20.9.9.9:443"},
		"missing": {egress.ErrDNS, "", "", "name not resolved: there is no host missing.example.com"},
		"empty":   {egress.ErrDNS, "", "", "name not resolved: empty.example.com has no address"},
		"hangup":  {egress.ErrBroken, "", "", "the connection broke"},
		"noise":   {egress.ErrProtocol, "", "", "the answer is not HTTP"},
		"headers": {egress.ErrTooLarge, "", "", "the answer is too large: its header"},
	} {
		c := newClient(t, w, egress.Rules{Host: host + ".example.com"})
		_, err := get(t, c, "https://"+host+".example.com/v2/x?sig="+marker)
		e := fault(t, err)
		if !errors.Is(err, test.kind) || e.TLS != test.tls || e.Rule != test.rule || err.Error() != "GET https://"+host+".example.com/v2/x: "+test.text {
			t.Errorf("%s: %v", host, err)
		}
		if last := e.Evidence.Last(); last.Fault != test.kind.Error() || last.TLS != test.tls || last.Host != host+".example.com" || last.Status != 0 {
			t.Errorf("%s: evidence %+v", host, last)
		}
	}
}

// hijacked answers with any bytes and hangs up.
func hijacked(answer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		fmt.Fprint(buffer, answer)
		_ = buffer.Flush()
	})
}

func TestP12PrivateCAIsAddedToTheSystems(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	with, err := egress.New(egress.Rules{Host: "r.example.com", CA: "\n" + w.CA()}, w.Network())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, with, "https://r.example.com/"); err != nil {
		t.Error(err)
	}
	without, err := egress.New(egress.Rules{Host: "r.example.com"}, w.Network())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, without, "https://r.example.com/"); fault(t, err).TLS != egress.TLSUnknownAuthority {
		t.Error(err)
	}
}

// A name's addresses are judged one by one, when they are dialled.
func TestP18NamesAtHome(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	public := w.Address("r.example.com")
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	for _, test := range []struct {
		addresses []string
		rule      egress.Rule
	}{
		{[]string{"127.0.0.1"}, egress.RuleLoopback}, {[]string{"::1"}, egress.RuleLoopback}, {[]string{"169.254.169.254"}, egress.RuleMetadata},
		{[]string{"10.0.0.1", "192.168.0.1"}, egress.RulePrivate}, {[]string{"::ffff:169.254.169.254"}, egress.RuleMetadata},
		{[]string{"10.0.0.1", public}, ""}, {[]string{public, "127.0.0.1"}, ""},
	} {
		c.Close() // no connection from before
		w.Name("r.example.com", test.addresses...)
		r, err := get(t, c, "https://r.example.com/v2/")
		if test.rule == "" {
			if err != nil || r.Evidence.Last().Address != public+":443" {
				t.Errorf("%v: %v", test.addresses, err)
			} else {
				r.Body.Close()
			}
			continue
		}
		if e := fault(t, err); e.Rule != test.rule || len(e.Evidence.Last().Resolved) != len(test.addresses) {
			t.Errorf("%v: %v, %+v", test.addresses, err, e.Evidence.Last())
		}
	}
}

// The system's own dialler, with the check as the socket connects: on loopback, which a literal in match opens.
func TestLiteralLoopbackListsItself(t *testing.T) {
	server := httptest.NewServer(ok)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := net.SplitHostPort(host)
	for _, test := range []struct {
		host   string
		listed []string
		opens  bool
	}{
		{host, []string{host}, true}, {"localhost:" + port, []string{"localhost:" + port}, true},
		{host, nil, false}, {host, []string{"127.0.0.1:1"}, false}, {host, []string{"localhost:" + port}, false}, {"localhost:" + port, []string{host}, false},
	} {
		c, err := egress.New(egress.Rules{Host: test.host, PlainHTTP: true, Listed: test.listed, PrivateNetworks: []string{"127.0.0.0/8"}}, egress.Network{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = get(t, c, "http://"+test.host+"/")
		if test.opens && err != nil || !test.opens && fault(t, err).Rule != egress.RuleLoopback {
			t.Errorf("%s with %v: %v", test.host, test.listed, err)
		}
		c.Close()
	}
}

// Both families, and an address that does not answer beside one that does.
func TestEveryAddressHasItsTurn(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	w.Name("r.example.com", "2606:4700::1", "20.9.9.9", w.Address("r.example.com"))
	if _, err := get(t, newClient(t, w, egress.Rules{Host: "r.example.com"}), "https://r.example.com/"); err != nil {
		t.Error(err)
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	w := egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	if _, err := get(t, newClient(t, w, egress.Rules{Host: "r.example.com"}), "https://r.example.com/"); err != nil {
		t.Error(err)
	}
}

func TestContextsOwnErrors(t *testing.T) {
	w := egresstest.New(t)
	begun := make(chan struct{})
	w.HTTPS("r.example.com", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() }))
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err := c.Do(ctx, egress.Request{Method: "GET", URL: address(t, "https://r.example.com/")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	ca := string(pemOf(server.Certificate()))
	c, err := egress.New(egress.Rules{Host: host, Listed: []string{host}, CA: ca}, egress.Network{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := get(t, c, server.URL+"/")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(r); got != "HTTP/2.0" || r.Evidence.Last().Address != host {
		t.Errorf("%s from %s", got, r.Evidence.Last().Address)
	}
}
