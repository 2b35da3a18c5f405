package azure

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	tryTime = 10 * time.Second // for one request and its answer
	maxBody = 1 << 20          // bytes of an answer
)

// A wire is the transport of Azure's libraries: it bounds each try in time and bytes, follows no redirect, and notes what
// came back on the trail of its context.
type wire struct{ transport http.RoundTripper }

// newTransport is the room's own. The addresses are those that Azure's library derives, and those of the metadata service.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  proxyFor,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
	}
}

// proxyFor is the environment's proxy, but none for what is on this machine or its link: the metadata service and the
// identity endpoints of App Service and Arc are not behind it.
func proxyFor(r *http.Request) (*url.URL, error) {
	address, err := netip.ParseAddr(r.URL.Hostname())
	if err == nil && (address.IsLinkLocalUnicast() || address.IsLoopback()) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// Do sends one request. The answer's body is in memory. Errors are *Error with ErrUnreachable, and the context's own.
func (w wire) Do(r *http.Request) (*http.Response, error) {
	trail := trailOf(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), tryTime)
	defer cancel()
	host := r.URL.Host
	answer, err := w.transport.RoundTrip(r.WithContext(ctx))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
		_ = answer.Body.Close() // everything that counts has been read
	}
	switch {
	case r.Context().Err() != nil:
		trail.note(r.URL, 0, nil, r.Context().Err())
		return nil, r.Context().Err()
	case err != nil:
		err = faultOf(ctx, host, err)
	case len(body) > maxBody:
		err = &Error{Kind: ErrUnreachable, Text: host + " sent an answer that is too large", Hint: hintNetwork}
	}
	if err != nil {
		trail.note(r.URL, 0, nil, err)
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	trail.note(r.URL, answer.StatusCode, body, nil)
	return answer, nil
}

// Final marks an error as not worth another try, in the way that Azure's libraries know.
func Final(cause error) error { return final{cause} }

type final struct{ cause error }

// Error is the cause's.
func (f final) Error() string { return f.cause.Error() }

// Unwrap is the cause.
func (f final) Unwrap() error { return f.cause }

// NonRetriable marks it.
func (final) NonRetriable() {}

// faultOf says in a few words why there is no answer. The error's own text is dropped: it may hold addresses with queries.
func faultOf(ctx context.Context, host string, err error) error {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	fault := &Error{Kind: ErrUnreachable, Text: host + " cannot be reached: ", Hint: hintNetwork}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		fault.Kind = ErrNoHost
		fault.Text += "there is no host of that name"
		return Final(fault)
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid):
		fault.Text += "its certificate is not trusted here"
		fault.Hint = "whoever runs the node's network looks for what answers in its place; a proxy's own CA belongs into the node's system roots (or SSL_CERT_FILE of the agent)"
		return Final(fault)
	case errors.As(err, &dns):
		fault.Text += "its name cannot be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		fault.Text += "the connection was refused"
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		fault.Text += "no answer in time"
	default:
		fault.Text += "the connection broke"
	}
	return fault
}

// A trail is the last thing that came back in the making of one token. Azure's libraries wrap what they were answered in
// texts of their own, with all of the body in them; this is read instead.
type trail struct {
	host   string
	asked  bool // for the token itself, not for what is needed to ask
	status int  // 0: no answer
	body   []byte
	err    error
}

type trailKey struct{}

func withTrail(ctx context.Context) (context.Context, *trail) {
	t := &trail{}
	return context.WithValue(ctx, trailKey{}, t), t
}

func trailOf(ctx context.Context) *trail {
	t, _ := ctx.Value(trailKey{}).(*trail)
	return t
}

// note is called by one request after the other: a token's requests are never sent side by side.
func (t *trail) note(u *url.URL, status int, body []byte, err error) {
	if t != nil {
		t.host, t.asked, t.status, t.body, t.err = u.Host, strings.HasSuffix(u.Path, "/token"), status, body, err
	}
}
