package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A proxy is what stands between this machine and everything that a registry's requests are for.
//
// https goes through a tunnel (CONNECT) and is verified end to end, by the same authorities as without a proxy: the
// proxy learns host and port. http goes in the absolute form, and the proxy reads it all, a login too, as whoever else is
// on the way does: that is what plain HTTP means. The proxy itself is sent no login, neither its own nor anybody's.
//
// Its address is dialled from here and judged like any other one. What is behind it, it resolves and dials: names cannot
// be judged here, so that the proxy's own rules decide about them. Judged here is what can be: schemes, ports, user names,
// addresses written out, in any spelling, localhost, the names of metadata services, and the proxy's own address.
type proxy struct {
	origin
	rules rules // where it may be itself
}

// String is host:port, "" for no proxy.
func (p *proxy) String() string {
	if p == nil {
		return ""
	}
	return p.origin.address()
}

// address is host:port, always with the port.
func (o origin) address() string { return net.JoinHostPort(o.host, strconv.Itoa(int(o.port))) }

func parseProxy(text string, private []netip.Prefix) (*proxy, *Error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, refused(RuleHost, "not http://HOST:PORT or https://HOST:PORT") // the text may hold a login
	}
	at, bad := parseHostPort(u.Host, defaultPort(u.Scheme))
	if bad != nil {
		return nil, bad
	}
	return &proxy{origin{u.Scheme, at.host, at.port}, rules{private: private, listed: []hostPort{at}}}, nil
}

// mayAskFor decides about what is behind the proxy, as far as its text tells.
func (r *rules) mayAskFor(o origin) *Error {
	literal, err := netip.ParseAddr(o.host)
	switch {
	case o.host == r.proxy.host && o.port == r.proxy.port:
		return refused(RuleHost, o.String()+" is the proxy itself")
	case err == nil:
		return r.mayDial(o.host, o.port, literal)
	case o.host == "localhost" || strings.HasSuffix(o.host, ".localhost"):
		return r.mayDial(o.host, o.port, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case isMetadataName(o.host):
		return refused(RuleMetadata, o.host+" is "+describe[RuleMetadata])
	case numberShape.MatchString(o.host):
		return refused(RuleHost, "an address in a form that only some read") // 2130706433, 127.1, 0x7f.1: loopback to many a resolver
	}
	return nil
}

// numberShape is of hosts whose last part is a number (WHATWG URL, "ends in a number"): no name is one.
var numberShape = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)

// metadataNames of clouds that name theirs in public zones.
var metadataNames = []string{"metadata.goog", "metadata.tencentyun.com"}

// isMetadataName tells metadata.google.internal, metadata.azure.internal, AWS's instance-data and instance-data.ec2.internal,
// and their short forms in a resolver's search list.
func isMetadataName(host string) bool {
	first, zone, _ := strings.Cut(host, ".")
	inside := zone == "" || zone == "internal" || strings.HasSuffix(zone, ".internal")
	return inside && (first == "metadata" || first == "instance-data") || slices.Contains(metadataNames, host)
}

// proxied makes both transports go through the proxy: one speaks TLS through tunnels, the other one the absolute form.
func (c *Client) proxied(roots *x509.CertPool) {
	ahead := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ServerName: c.rules.proxy.host, NextProtos: []string{"http/1.1"}}
	c.transport.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		connection, err := c.dialProxy(ctx, ahead)
		if err != nil {
			return nil, err
		}
		return c.tunnel(ctx, connection, address)
	}
	c.plain = c.newTransport(roots, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.dialProxy(ctx, ahead)
	})
	c.plain.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: c.rules.proxy.String()}) // its TLS is dialProxy's
}

// roundTrip sends one request, and takes an answer of the proxy's own for what it is.
func (c *Client) roundTrip(r *http.Request) (*http.Response, error) {
	if c.plain == nil || r.URL.Scheme != "http" {
		return c.transport.RoundTrip(r)
	}
	answer, err := c.plain.RoundTrip(r)
	if err == nil && ofProxy(answer) {
		_ = answer.Body.Close()
		return nil, c.rules.proxy.refusal(answer, r.Method+" "+r.URL.Host)
	}
	return answer, err
}

// ofProxy tells answers to the absolute form that the proxy gave itself, where they show it: a 407, and the error pages
// of Squid and Tinyproxy. All others count as the host's.
func ofProxy(answer *http.Response) bool {
	return answer.StatusCode == http.StatusProxyAuthRequired || answer.StatusCode >= 400 &&
		(answer.Header.Get("X-Squid-Error") != "" || strings.HasPrefix(answer.Header.Get("Server"), "tinyproxy"))
}

func (p *proxy) refusal(answer *http.Response, to string) *Error {
	text := strings.TrimSpace(strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode))
	e := &Error{Kind: ErrProxy, ByProxy: true, ProxyStatus: answer.StatusCode, header: answer.Header, Detail: "it answered " + text + " to " + to}
	if answer.StatusCode == http.StatusProxyAuthRequired {
		e.Detail += "; it asks for a login, and is sent none"
	}
	return e
}

// atProxy classifies what went wrong before there was a way through the proxy.
func atProxy(ctx context.Context, err error) *Error {
	e := *classify(ctx, err)
	e.ByProxy = true
	return &e
}

// dialProxy connects to the proxy, in TLS where it has that.
func (c *Client) dialProxy(ctx context.Context, secure *tls.Config) (net.Conn, error) {
	p := c.rules.proxy
	connection, err := c.dialUnder(ctx, &p.rules, hostPort{p.host, p.port})
	if err != nil {
		return nil, atProxy(ctx, err)
	}
	if p.scheme != "https" {
		return connection, nil
	}
	inTLS := tls.Client(connection, secure)
	done := bounded(ctx, connection, c.limits.Handshake)
	if err := firstOf(inTLS.HandshakeContext(ctx), done()); err != nil {
		_ = connection.Close()
		e := atProxy(ctx, err)
		if e.Kind == ErrTimeout {
			e.Detail = "TLS handshake"
		}
		return nil, e
	}
	return conn{inTLS, connection.(conn).to}, nil
}

// bounded limits what is read and written from now on in time, and ends it with ctx; what it returns lifts that.
func bounded(ctx context.Context, connection net.Conn, most time.Duration) (lift func() error) {
	_ = connection.SetDeadline(time.Now().Add(most)) // a connection that knows none ends with ctx
	stop := context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })
	return func() error {
		if !stop() {
			return ctx.Err()
		}
		return connection.SetDeadline(time.Time{})
	}
}

// maxInterim answers (1xx) may come before the one that counts.
const maxInterim = 5

// tunnel asks the proxy for a way to an address. What it sends beside the answer's header is no answer yet, and stays.
func (c *Client) tunnel(ctx context.Context, connection net.Conn, address string) (net.Conn, error) {
	lift := bounded(ctx, connection, c.limits.FirstByte)
	limited := &io.LimitedReader{R: connection, N: c.limits.HeaderBytes}
	reader := bufio.NewReader(limited)
	err := c.connect(connection, reader, address)
	if lifted := lift(); err == nil {
		err = lifted
	}
	if err == nil {
		return conn{tunnelled{connection, reader}, connection.(conn).to}, nil
	}
	_ = connection.Close()
	e := atProxy(ctx, err)
	switch {
	case e.Kind == ErrTimeout:
		e.Detail = "waiting for its answer to CONNECT " + address
	case limited.N <= 0:
		e.Kind, e.Detail = ErrTooLarge, "the header of its answer to CONNECT"
	}
	return nil, e
}

// connect sends CONNECT (RFC 9110, 9.3.6) and reads its answer.
func (c *Client) connect(connection net.Conn, reader *bufio.Reader, address string) error {
	if _, err := fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pierhead\r\n\r\n", address, address); err != nil {
		return err
	}
	for range maxInterim {
		answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
		switch {
		case err != nil:
			return err
		case answer.StatusCode/100 == 2:
			return nil
		case answer.StatusCode/100 != 1 || answer.StatusCode == http.StatusSwitchingProtocols:
			return c.rules.proxy.refusal(answer, "CONNECT "+address)
		}
	}
	return &Error{Kind: ErrProtocol, Detail: "its answers to CONNECT do not end"}
}

// tunnelled is a connection whose first bytes may have been read with the proxy's answer.
type tunnelled struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (t tunnelled) Read(p []byte) (int, error) {
	if t.reader.Buffered() == 0 {
		return t.Conn.Read(p)
	}
	return t.reader.Read(p)
}
