// Package egress is the only way out to addresses that others choose: registries, their token servers, and the storage
// that they redirect to. It is for everything that speaks to a host named by an image reference, an admin or an answer.
//
// A Client is made for one registry host by its Rules. It checks the address of every connection after the name was
// resolved, follows redirects by hand, gives a credential to the registry's own host and its paired token servers only,
// bounds what an answer may cost in bytes and time, and keeps evidence of every hop for diagnosis. It goes through a
// proxy where the Rules name one (proxy.go says what is checked then, and where); it reads no proxy settings from the
// environment, keeps no cookies, and uncompresses nothing.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits bound one request. A zero field means the default beside it.
type Limits struct {
	Connect     time.Duration // 10 s: resolving the name and dialling, all addresses together
	Handshake   time.Duration // 10 s: TLS
	FirstByte   time.Duration // 30 s: from the request's end to the end of the answer's header
	Stall       time.Duration // 30 s: waiting for MinProgress bytes of a body, in either direction
	MinProgress int64         // 1 KiB: less than this in Stall is a stalled transfer
	Whole       time.Duration // 60 s: an answer whose size is bounded (MaxBody, or any error answer), in full
	HeaderBytes int64         // 64 KiB: header of an answer
	ErrorBytes  int64         // 64 KiB: body of an error answer; the rest is cut off
	Redirects   int           // 5: hops after the first
}

func (l Limits) orDefaults() Limits {
	pick(&l.Connect, 10*time.Second)
	pick(&l.Handshake, 10*time.Second)
	pick(&l.FirstByte, 30*time.Second)
	pick(&l.Stall, 30*time.Second)
	pick(&l.MinProgress, 1<<10)
	pick(&l.Whole, 60*time.Second)
	pick(&l.HeaderBytes, 64<<10)
	pick(&l.ErrorBytes, 64<<10)
	pick(&l.Redirects, 5)
	return l
}

func pick[T int | int64 | time.Duration](field *T, otherwise T) {
	if *field == 0 {
		*field = otherwise
	}
}

// A Client sends requests under one registry's rules. It is safe for concurrent use and keeps connections.
type Client struct {
	rules     rules
	limits    Limits
	network   Network
	transport *http.Transport
	plain     *http.Transport // for http addresses, where there is a proxy; else nil
}

// New makes a Client. The errors say which rule cannot be understood and wrap ErrRules.
func New(r Rules, n Network) (*Client, error) {
	compiled, err := r.compile()
	if err != nil {
		return nil, err
	}
	roots, err := rootsWith(r.CA)
	if err != nil {
		return nil, err
	}
	c := &Client{rules: compiled, limits: r.Limits.orDefaults(), network: n.orDefaults()}
	c.transport = c.newTransport(roots, c.dial)
	if c.rules.proxy != nil {
		c.proxied(roots)
	}
	return c, nil
}

func (c *Client) newTransport(roots *x509.CertPool, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // never from the environment: a proxy there would be dialled without our rules
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    c.limits.Handshake,
		ResponseHeaderTimeout:  c.limits.FirstByte,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: c.limits.HeaderBytes,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // digests are of the bytes as sent; and a bomb stays as small as it came
	}
}

// rootsWith adds PEM certificates to the system's roots: a private CA must not take the public ones away, since blobs
// of a private registry often lie on a public host. Without any it is nil, which is the system's roots to crypto/tls: a copy of
// them for each client would be the dearest part of lending a login.
func rootsWith(pem string) (*x509.CertPool, error) {
	if strings.TrimSpace(pem) == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM([]byte(pem)) {
		return nil, fmt.Errorf("%w: the CA has no PEM certificate in it", ErrRules)
	}
	return roots, nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	if c.plain != nil {
		c.plain.CloseIdleConnections()
	}
}

// A Request is one request, with all that may follow from it by redirects.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header // sent with every hop; without Authorization, Cookie and Proxy-Authorization, which are refused
	// Authorization is the header's value. It is refused unless URL is at the registry's own host or a token server
	// paired with it, and leaves the chain at the first hop to another scheme, host or port, for good.
	Authorization string
	Body          func() (io.ReadCloser, error) // nil: none; called once per hop that carries it
	Length        int64                         // of Body in bytes; -1 when not known
	SecretBody    bool                          // Body holds a credential: it goes where Authorization may go, and is never redirected
	SameOrigin    bool                          // a redirect to another scheme, host or port is an error
	MaxBody       int64                         // bytes; a longer answer is ErrTooLarge. 0: no bound, stalls are still noticed
	Secrets       []string                      // what must not come back in evidence, beside what Authorization holds
}

// A Response is the last answer of a chain. Close Body.
type Response struct {
	Status   int
	Header   http.Header
	URL      *url.URL // of the last hop; never print it: its query may be a signature
	Foreign  bool     // the chain left the scheme, host and port that was asked first, and perhaps came back without Authorization
	Length   int64    // of Body; -1 when not known
	Body     io.ReadCloser
	Evidence Evidence
}

// Do sends a request and follows its redirects. Any answer with a final status is a Response, also 401 or 500; the
// body of an error answer is in memory, cut at Limits.ErrorBytes, and cleaned of the secrets that were sent.
// Errors are *Error: ErrRefused (with the rule), ErrProxy, ErrDNS, ErrConnect, ErrTimeout, ErrTLS, ErrBroken, ErrProtocol,
// ErrTooLarge, and the context's own.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	ch := &chain{client: c, request: r, method: r.Method, url: r.URL, secrets: secretsOf(r)}
	if err := ch.begin(); err != nil {
		return nil, ch.fail(err)
	}
	for {
		if err := ch.hop(ctx); err != nil {
			return nil, ch.fail(err)
		}
		again, err := ch.follow()
		if err != nil {
			ch.closeAnswer()
			return nil, ch.fail(err)
		}
		if !again {
			return ch.answer()
		}
		ch.closeAnswer()
	}
}

// MayCarry tells whether a credential may go to a URL: nil for the registry's own host and for its paired token
// servers, else an *Error with the rule that forbids it. Secrets are what must not be in its text: a host may be named
// after one.
func (c *Client) MayCarry(u *url.URL, secrets ...string) error {
	o, err := c.rules.originOf(u)
	if err == nil {
		err = c.rules.mayCarry(o)
	}
	if err == nil {
		return nil
	}
	forms := secretsOf(Request{Secrets: secrets})
	err.Detail = hide(err.Detail, forms)
	if hide(err.Realm, forms) != err.Realm {
		err.Realm = ""
	}
	return err
}

// IsHost tells whether a URL is at the registry's own scheme, host and port.
func (c *Client) IsHost(u *url.URL) bool {
	o, err := c.rules.originOf(u)
	return err == nil && o == c.rules.origin
}

var forbiddenHeaders = []string{"Authorization", "Cookie", "Proxy-Authorization", "Host"}

func checkHeader(h http.Header) error {
	for name := range h {
		if slices.Contains(forbiddenHeaders, http.CanonicalHeaderKey(name)) {
			return refused(RuleHeader, "the header "+name+" may not be set by hand")
		}
	}
	return nil
}

// unmapped is an address without an IPv4-in-IPv6 coat and without a zone.
func unmapped(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
