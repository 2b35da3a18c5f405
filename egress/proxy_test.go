package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
)

const proxyHost = "proxy.corp.example:3128"

// only is the world's network for a machine that knows one name.
func only(t *testing.T, w *egresstest.World, name string) egress.Network {
	n := w.Network()
	resolve := n.Resolve
	n.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		if host != name {
			t.Errorf("%s was looked up here and not by the proxy", host)
		}
		return resolve(ctx, host)
	}
	return n
}

// proxied is a client that goes through a proxy at proxyHost.
func proxied(t *testing.T, w *egresstest.World, rules egress.Rules) *egress.Client {
	t.Helper()
	if rules.Host == "" {
		rules.Host = "r.example.com"
	}
	if rules.Proxy == "" {
		rules.Proxy = "http://" + proxyHost
	}
	rules.CA = w.CA()
	c, err := egress.New(rules, only(t, w, "proxy.corp.example"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// The registry, its storage and whatever it redirects to are reached through the proxy alone, and TLS ends at them.
func TestP12EverythingGoesThroughTheProxy(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			w := egresstest.New(t)
			r := w.HTTPS("r.example.com", routes(map[string]http.Handler{"/v2/": ok, "/blob": to(307, "https://blobs.example.org:8443/x?sig="+marker)}))
			blobs := w.HTTPS("blobs.example.org:8443", ok)
			start := w.HTTP
			if scheme == "https" {
				start = w.HTTPS
			}
			proxy := start(proxyHost, w.Proxy())
			c := proxied(t, w, egress.Rules{Proxy: scheme + "://" + proxyHost})
			for _, path := range []string{"/v2/", "/blob"} {
				answer, err := get(t, c, "https://r.example.com"+path)
				if err != nil {
					t.Fatal(err)
				}
				read(answer)
				for _, hop := range answer.Evidence.Hops {
					if hop.Proxy != proxyHost || hop.ByProxy || hop.ProxyStatus != 0 || hop.Address != w.Address("proxy.corp.example")+":3128" || hop.Status == 0 {
						t.Errorf("%+v", hop)
					}
				}
			}
			if !r.Knows(marker) || blobs.Received() == "" {
				t.Error("the hosts were not reached")
			}
			asked := proxy.Received()
			for _, want := range []string{"CONNECT r.example.com:443 HTTP/1.1\r\nHost: r.example.com:443\r\n", "CONNECT blobs.example.org:8443 HTTP/1.1\r\n"} {
				if strings.Count(asked, want) != 1 {
					t.Errorf("%q is not there once", want)
				}
			}
			if strings.Contains(asked, "/v2/") || strings.Contains(strings.ToLower(asked), "authorization") || proxy.Knows(marker) {
				t.Error("the proxy learned more than hosts and ports")
			}
		})
	}
}

// Without TLS the proxy is asked in the absolute form, and sees everything, as plain HTTP has it.
func TestP12PlainHTTPGoesInTheAbsoluteForm(t *testing.T) {
	w := egresstest.New(t)
	w.HTTP("r.example.com:5000", routes(map[string]http.Handler{"/v2/": ok, "/blob": to(307, "http://blobs.example.org/x"), "/up": to(307, "https://blobs.example.org/x"), "/gone": to(307, "http://missing.example.org/")}))
	blobs := w.HTTP("blobs.example.org", ok)
	w.HTTPS("blobs.example.org", ok)
	proxy := w.HTTP(proxyHost, w.Proxy())
	c := proxied(t, w, egress.Rules{Host: "r.example.com:5000", PlainHTTP: true})
	for _, path := range []string{"/v2/", "/blob", "/up"} {
		answer, err := get(t, c, "http://r.example.com:5000"+path)
		if err != nil || answer.Status != 200 || read(answer) == "" || answer.Evidence.Last().Proxy != proxyHost {
			t.Errorf("%s: %+v, %v", path, answer, err)
		}
	}
	for _, want := range []string{"GET http://r.example.com:5000/v2/ HTTP/1.1\r\nHost: r.example.com:5000\r\n", "GET http://blobs.example.org/x HTTP/1.1\r\n", "CONNECT blobs.example.org:443 HTTP/1.1\r\n"} {
		if !strings.Contains(proxy.Received(), want) {
			t.Errorf("%q is not there", want)
		}
	}
	if blobs.Knows(marker) || strings.Contains(proxy.Received(), "Proxy-Authorization") {
		t.Error("a login went where it does not belong")
	}
	answer, err := get(t, c, "http://r.example.com:5000/gone")
	if err != nil || answer.Status != 502 { // nothing in it says who sent it
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestP12HTTP2ThroughATunnel(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	real := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		from, buffer, _ := http.NewResponseController(w).Hijack()
		fmt.Fprint(from, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\nVia: me\r\n\r\n")
		go func() { _, _ = io.Copy(to, buffer); to.Close() }()
		_, _ = io.Copy(from, to)
		from.Close()
	})
	w := egresstest.New(t)
	w.HTTP(proxyHost, real)
	c, err := egress.New(egress.Rules{Host: "example.com", CA: string(pemOf(server.Certificate())), Proxy: "http://" + proxyHost}, w.Network())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := get(t, c, "https://example.com/")
	if err != nil || read(answer) != "HTTP/2.0" {
		t.Errorf("%+v, %v", answer, err)
	}
}

// Which of the two said no: the proxy's own answers are told as the proxy's.
func TestP12TheProxysOwnAnswers(t *testing.T) {
	for status, text := range map[int]string{
		407: "it answered 407 Proxy Authentication Required to CONNECT r.example.com:443; it asks for a login, and is sent none",
		403: "it answered 403 Forbidden to CONNECT r.example.com:443", 502: "it answered 502 Bad Gateway to CONNECT r.example.com:443",
		503: "it answered 503 Service Unavailable to CONNECT r.example.com:443", 504: "it answered 504 Gateway Timeout to CONNECT r.example.com:443",
		302: "it answered 302 Found to CONNECT r.example.com:443", 401: "it answered 401 Unauthorized to CONNECT r.example.com:443", 799: "it answered 799 to CONNECT r.example.com:443",
	} {
		w := egresstest.New(t)
		r := w.HTTPS("r.example.com", ok)
		evil := w.HTTPS("evil.example.com", ok)
		proxy := w.HTTP(proxyHost, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Authenticate", `Basic realm="corp"`)
			w.Header().Set("WWW-Authenticate", `Basic realm="corp"`)
			w.Header().Set("Location", "https://evil.example.com/")
			w.WriteHeader(status)
			fmt.Fprint(w, strings.Repeat("<h1>no</h1>", 10000))
		}))
		_, err := get(t, proxied(t, w, egress.Rules{}), "https://r.example.com/v2/")
		e := fault(t, err)
		if !errors.Is(err, egress.ErrProxy) || e.ProxyStatus != status || !e.ByProxy || e.Proxy != proxyHost || err.Error() != "GET https://r.example.com/v2/: the proxy "+proxyHost+" refused: "+text {
			t.Errorf("%d: %v", status, err)
		}
		last := e.Evidence.Last()
		if last.Status != 0 || last.ProxyStatus != status || !last.ByProxy || last.Host != "r.example.com" || last.Header.Get("Proxy-Authenticate") == "" {
			t.Errorf("%+v", last)
		}
		if r.Received()+evil.Received() != "" || proxy.Knows(marker) || strings.Count(proxy.Received(), "CONNECT") != 1 {
			t.Errorf("%d: more was sent than one CONNECT", status)
		}
	}
}

// In the absolute form only some answers show that they are the proxy's.
func TestP12ThePlainProxysOwnAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		status  int
		header  string
		byProxy bool
	}{
		"asks for a login": {407, "", true}, "Squid's": {503, "X-Squid-Error", true}, "Tinyproxy's": {403, "Server", true},
		"somebody's": {503, "", false}, "a success": {200, "Server", false},
	} {
		w := egresstest.New(t)
		w.HTTP(proxyHost, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if test.header != "" {
				w.Header().Set(test.header, "tinyproxy/1.11.1")
			}
			w.WriteHeader(test.status)
		}))
		_, err := get(t, proxied(t, w, egress.Rules{Host: "r.example.com:5000", PlainHTTP: true}), "http://r.example.com:5000/v2/")
		if !test.byProxy {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if e := fault(t, err); !errors.Is(err, egress.ErrProxy) || e.ProxyStatus != test.status || !strings.Contains(err.Error(), " to GET r.example.com:5000") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The proxy's own address is judged as any other one that is dialled from here, and listing it opens nothing else.
func TestP18WhereAProxyMayBe(t *testing.T) {
	for _, test := range []struct {
		proxy    string
		at       string // of its name; "" for a literal
		networks []string
		want     egress.Rule
	}{
		{"http://" + proxyHost, "10.1.2.3", nil, egress.RulePrivate},
		{"http://" + proxyHost, "10.1.2.3", []string{"10.0.0.0/8"}, ""},
		{"http://" + proxyHost, "127.0.0.1", []string{"0.0.0.0/0"}, egress.RuleLoopback},
		{"http://" + proxyHost, "169.254.169.254", []string{"0.0.0.0/0"}, egress.RuleMetadata},
		{"http://169.254.169.254:80", "", []string{"0.0.0.0/0"}, egress.RuleMetadata},
		{"http://169.254.1.1:80", "", []string{"0.0.0.0/0"}, egress.RuleLinkLocal},
		{"http://[fe80::1]:80", "", nil, egress.RuleLinkLocal},
		{"http://0.0.0.0:80", "", nil, egress.RuleSpecial},
		{"http://10.1.2.3:3128", "", nil, ""}, {"http://127.0.0.1:3128", "", nil, ""}, {"http://localhost:3128", "127.0.0.1", nil, ""},
	} {
		w := egresstest.New(t)
		w.HTTPS("r.example.com", ok)
		w.HTTP("10.1.2.3:3128", w.Proxy())
		w.HTTP("127.0.0.1:3128", w.Proxy())
		if test.at != "" {
			w.Name("proxy.corp.example", test.at)
			w.Name("localhost", test.at)
		}
		c, err := egress.New(egress.Rules{Host: "r.example.com", CA: w.CA(), Proxy: test.proxy, PrivateNetworks: test.networks}, w.Network())
		if err != nil {
			t.Fatal(err)
		}
		_, err = get(t, c, "https://r.example.com/")
		if test.want == "" && err != nil {
			t.Errorf("%+v: %v", test, err)
		} else if test.want != "" && (fault(t, err).Rule != test.want || !fault(t, err).ByProxy) {
			t.Errorf("%+v: %v", test, err)
		}
		c.Close()
	}
}

// What the proxy would resolve and dial for a hostile registry is judged by its text, before the proxy is asked.
func TestP18WhatAProxyIsNotAskedFor(t *testing.T) {
	for location, want := range map[string]egress.Rule{
		"https://10.0.0.1/b": egress.RulePrivate, "https://127.0.0.1/b": egress.RuleLoopback, "https://[::1]/b": egress.RuleLoopback, "https://[::ffff:10.0.0.1]/b": egress.RulePrivate,
		"https://169.254.169.254/latest/meta-data/": egress.RuleMetadata, "https://[fd00:ec2::254]/": egress.RuleMetadata, "https://169.254.1.1/": egress.RuleLinkLocal, "https://0.0.0.0/": egress.RuleSpecial,
		"https://localhost/b": egress.RuleLoopback, "https://LOCALHOST:8443/b": egress.RuleLoopback, "https://x.localhost/b": egress.RuleLoopback,
		"https://metadata.google.internal/computeMetadata/v1/": egress.RuleMetadata, "https://metadata/": egress.RuleMetadata, "https://metadata.azure.internal/": egress.RuleMetadata,
		"https://instance-data/latest/": egress.RuleMetadata, "https://instance-data.ec2.internal/": egress.RuleMetadata, "https://Metadata.Goog/": egress.RuleMetadata,
		"https://127.1/": egress.RuleHost, "https://2130706433/": egress.RuleHost, "https://0x7f.0.0.1/": egress.RuleHost, "https://0177.0.0.1/": egress.RuleHost, "https://127.0.0.0x1/": egress.RuleHost, "https://0x/": egress.RuleHost,
		"https://metadata.google.internal./": egress.RuleHost, "https://localhost./": egress.RuleHost,
		"https://" + proxyHost + "/squid-internal-mgr/": egress.RuleHost, "http://" + proxyHost + "/": egress.RuleScheme,
		"http://evil.example.com/": egress.RuleScheme, "https://evil.example.com:25/": egress.RulePort, "https://ci:x@evil.example.com/": egress.RuleUserinfo, "ftp://evil.example.com/": egress.RuleScheme,
	} {
		w := egresstest.New(t)
		w.HTTPS("r.example.com", to(307, location))
		proxy := w.HTTP(proxyHost, w.Proxy())
		_, err := get(t, proxied(t, w, egress.Rules{PrivateNetworks: []string{"192.168.0.0/16"}}), "https://r.example.com/blob")
		if e := fault(t, err); !errors.Is(err, egress.ErrRefused) || e.Rule != want {
			t.Errorf("%s: %v", location, err)
		}
		if strings.Count(proxy.Received(), "CONNECT") != 1 {
			t.Errorf("%s: the proxy was asked", location)
		}
	}
}

// What is listed is open behind a proxy too, and names are the proxy's to judge.
func TestP12WhatAProxyIsAskedFor(t *testing.T) {
	for _, location := range []string{"https://10.0.0.1/b", "https://127.0.0.1:5000/b", "https://intranet.corp.example/b", "https://metadata.example.com/b", "https://r2d2.example.com/b"} {
		w := egresstest.New(t)
		w.HTTPS("r.example.com", to(307, location))
		u := address(t, location)
		w.HTTPS(u.Host, ok)
		if u.Hostname() == "intranet.corp.example" {
			w.Name(u.Hostname(), "10.0.0.1")
			w.HTTPS(u.Host, ok)
		}
		w.HTTP(proxyHost, w.Proxy())
		c := proxied(t, w, egress.Rules{PrivateNetworks: []string{"10.0.0.0/8"}, Listed: []string{"127.0.0.1:5000"}})
		if answer, err := get(t, c, "https://r.example.com/blob"); err != nil || answer.Status != 200 {
			t.Errorf("%s: %v", location, err)
		}
	}
}

func TestProxiesThatCannotBeUnderstood(t *testing.T) {
	for _, text := range []string{"proxy", "proxy:3128", "socks5://proxy:1080", "http://", "http://user:" + marker + "@proxy:3128", "http://proxy:3128/path", "http://proxy:3128?x", "http://proxy:3128#x", "http://proxy:0", "http://proxy:99999", "http://proxy.:3128", "http://pröxy:3128", "http:proxy:3128", "http://2606::1:3128"} {
		_, err := egress.New(egress.Rules{Host: "r.example.com", Proxy: text}, egress.Network{})
		if !errors.Is(err, egress.ErrRules) || strings.Contains(err.Error(), marker) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"http://proxy:3128", "https://proxy.example:3129/", "http://[2606::1]:3128", "http://PROXY", "https://10.0.0.1"} {
		if _, err := egress.New(egress.Rules{Host: "r.example.com", Proxy: text}, egress.Network{}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Unreachable proxies are told as such.
func TestP12ProxiesThatAreNotThere(t *testing.T) {
	w := egresstest.New(t)
	r := w.HTTPS("r.example.com", ok)
	w.Name("closed.corp.example", "20.9.9.9")
	var texts []string
	for _, host := range []string{"closed", "missing"} {
		c, err := egress.New(egress.Rules{Host: "r.example.com", CA: w.CA(), Proxy: "http://" + host + ".corp.example:3128"}, w.Network())
		if err != nil {
			t.Fatal(err)
		}
		_, err = get(t, c, "https://r.example.com/")
		texts = append(texts, fault(t, err).Error())
	}
	want := []string{
		"GET https://r.example.com/: the proxy closed.corp.example:3128: no connection: connection refused by 20.9.9.9:3128",
		"GET https://r.example.com/: the proxy missing.corp.example:3128: name not resolved: there is no host missing.corp.example",
	}
	if !slices.Equal(texts, want) || r.Received() != "" {
		t.Errorf("%q", texts)
	}
}
