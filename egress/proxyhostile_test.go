package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
)

// What a proxy can do instead of its work.
func TestP12HostileProxies(t *testing.T) {
	const said = "HTTP/1.1 200 OK\r\n\r\n"
	for name, test := range map[string]struct {
		answer  string
		kind    error
		tls     egress.TLSFault
		byProxy bool
	}{
		"hangs up":             {"", egress.ErrBroken, "", true},
		"garbles":              {"SSH-2.0-OpenSSH_9.2\r\n", egress.ErrProtocol, "", true},
		"half a header":        {"HTTP/1.1 200 OK\r\nVia: x", egress.ErrBroken, "", true},
		"a huge header":        {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 200) + "\r\n", egress.ErrTooLarge, "", true},
		"a huge line":          {"HTTP/1.1 200 " + strings.Repeat("O", 1<<20) + "K\r\n\r\n", egress.ErrTooLarge, "", true},
		"interim answers":      {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50), egress.ErrProtocol, "", true},
		"another protocol":     {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", egress.ErrProxy, "", true},
		"a page for browsers":  {said + "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>Sign in</h1>", egress.ErrTLS, egress.TLSPlainServer, false},
		"a body":               {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", egress.ErrTLS, egress.TLSOther, false},
		"says yes, hangs up":   {said, egress.ErrBroken, "", false},
		"no HTTP/1 but a page": {"<html>\n", egress.ErrProtocol, "", true},
	} {
		w := egresstest.New(t)
		proxy := w.HTTP(proxyHost, hijacked(test.answer))
		_, err := get(t, proxied(t, w, egress.Rules{}), "https://r.example.com/v2/")
		e := fault(t, err)
		through := strings.HasSuffix(err.Error(), ", through the proxy "+proxyHost) || strings.Contains(err.Error(), "the proxy "+proxyHost+": ") || e.Kind == egress.ErrProxy
		if !errors.Is(err, test.kind) || e.TLS != test.tls || e.ByProxy != test.byProxy || e.Evidence.Last().ByProxy != test.byProxy || e.Evidence.Last().Proxy != proxyHost || !through {
			t.Errorf("%s: %v (%+v)", name, err, e.Evidence.Last())
		}
		if proxy.Knows(marker) {
			t.Errorf("%s: it was sent the login", name)
		}
	}
}

// A proxy that ends TLS itself is believed where its authority is the registry's CA, and else sent nothing.
func TestP12ProxiesThatLookIntoTLS(t *testing.T) {
	w, theirs := egresstest.New(t), egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	for _, trusted := range []bool{false, true} {
		from := theirs
		if trusted {
			from = w
		}
		certificate := from.Certificate("r.example.com", nil)
		seen := make(chan string, 1)
		w.HTTP(proxyHost, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := http.NewResponseController(w).Hijack()
			defer c.Close()
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
			inside := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
			r, err := http.ReadRequest(bufio.NewReader(inside))
			if err != nil {
				seen <- ""
				return
			}
			seen <- r.Header.Get("Authorization")
			fmt.Fprint(inside, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}))
		_, err := get(t, proxied(t, w, egress.Rules{}), "https://r.example.com/v2/")
		if got := <-seen; trusted && (err != nil || !strings.Contains(got, marker)) || !trusted && got != "" {
			t.Errorf("trusted %v: it saw %q, %v", trusted, got, err)
		}
		if trusted {
			continue
		}
		want := "GET https://r.example.com/v2/: no secure connection: the certificate is signed by an authority that is not trusted (issuer CN=test CA), through the proxy " + proxyHost
		if e := fault(t, err); e.TLS != egress.TLSUnknownAuthority || e.ByProxy || err.Error() != want {
			t.Errorf("%v", err)
		}
	}
}

func TestP12TheProxysCertificate(t *testing.T) {
	w, theirs := egresstest.New(t), egresstest.New(t)
	w.HTTPS("r.example.com", ok)
	for want, certificate := range map[egress.TLSFault]tls.Certificate{
		egress.TLSUnknownAuthority: theirs.Certificate("proxy.corp.example", nil), egress.TLSNameMismatch: w.Certificate("r.example.com", nil),
	} {
		w.HTTPSWith(proxyHost, certificate, w.Proxy())
		_, err := get(t, proxied(t, w, egress.Rules{Proxy: "https://" + proxyHost}), "https://r.example.com/")
		if e := fault(t, err); e.TLS != want || !e.ByProxy || !strings.HasPrefix(err.Error(), "GET https://r.example.com/: the proxy "+proxyHost+": no secure connection: the certificate is ") {
			t.Errorf("%v", err)
		}
	}
	w.HTTP(proxyHost, w.Proxy())
	_, err := get(t, proxied(t, w, egress.Rules{Proxy: "https://" + proxyHost}), "https://r.example.com/")
	if e := fault(t, err); e.TLS != egress.TLSPlainServer || !e.ByProxy {
		t.Errorf("%v", err)
	}
}

// Proxies that say nothing: the wait is bounded, and ends with whoever waits.
func TestP12ProxiesThatHang(t *testing.T) {
	for name, test := range map[string]struct {
		proxy  string
		cancel bool
		kind   error
		text   string
	}{
		"to CONNECT":            {"http://" + proxyHost, false, egress.ErrTimeout, "the proxy " + proxyHost + ": timed out: waiting for its answer to CONNECT r.example.com:443"},
		"to a TLS handshake":    {"https://" + proxyHost, false, egress.ErrTimeout, "the proxy " + proxyHost + ": timed out: TLS handshake"},
		"and somebody goes":     {"http://" + proxyHost, true, context.Canceled, "context canceled"},
		"and somebody goes too": {"https://" + proxyHost, true, context.Canceled, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := egress.Network{
					Resolve: func(context.Context, string) ([]netip.Addr, error) {
						return []netip.Addr{netip.MustParseAddr("20.1.1.1")}, nil
					},
					Dial: func(context.Context, netip.AddrPort, func(netip.AddrPort) error) (net.Conn, error) {
						ours, theirs := net.Pipe()
						go func() { _, _ = io.Copy(io.Discard, theirs) }()
						return ours, nil
					},
				}
				c, err := egress.New(egress.Rules{Host: "r.example.com", Proxy: test.proxy}, network)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.cancel {
					go func() { synctest.Wait(); cancel() }()
				}
				_, err = c.Do(ctx, egress.Request{Method: "GET", URL: address(t, "https://r.example.com/")})
				if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("%v", err)
				}
				c.Close()
			})
		})
	}
}
