package amazon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxAnswer is the longest answer of a service that is read: a secret is at most 64 KiB, in base64 and JSON.
const maxAnswer = 1 << 20

// tryWithin bounds one try of one request, its answer included.
const tryWithin = 8 * time.Second

// errLong is what reading an answer longer than that ends in.
var errLong = errors.New("the answer is too long")

// shared keeps the SDK from copying the client, and its connections with it, for every question.
type shared struct{ aws.HTTPClient }

// serviceClient is the client for Amazon's services. It trusts whom the client trusts that the SDK's configuration made
// (AWS_CA_BUNDLE, a profile's ca_bundle).
func serviceClient(transport http.RoundTripper, configured aws.HTTPClient) *http.Client {
	if transport == nil {
		own := newTransport()
		if made, ok := configured.(*awshttp.BuildableClient); ok {
			own = made.GetTransport()
		}
		transport = own
	}
	return &http.Client{Transport: bounded{transport}, Timeout: tryWithin, CheckRedirect: stay}
}

// chainClient is the client that the SDK's chain uses while it is set up. It must be of the SDK's own kind, or else the SDK
// refuses to add the operator's certificates to it.
func chainClient(transport http.RoundTripper) aws.HTTPClient {
	if transport != nil {
		return serviceClient(transport, nil)
	}
	return awshttp.NewBuildableClient().WithTimeout(tryWithin).WithTransportOptions(func(t *http.Transport) {
		own := newTransport()
		t.Proxy, t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = own.Proxy, own.TLSHandshakeTimeout, own.ResponseHeaderTimeout
		// The operator's certificates are added to the system's, not put in their place.
		if roots, err := x509.SystemCertPool(); err == nil {
			t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
	}).WithDialerOptions(func(d *net.Dialer) { d.Timeout = 4 * time.Second })
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: proxy, DialContext: (&net.Dialer{Timeout: 4 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 4 * time.Second, ResponseHeaderTimeout: 6 * time.Second,
		IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 2, ForceAttemptHTTP2: true,
	}
}

// proxy is the environment's, for the services. What is asked over plain HTTP is on this machine or this link, where no
// proxy reaches (and IMDS refuses one).
func proxy(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme == "http" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// metadataClient is the client of the instance's metadata service. Off the cloud it finds nobody soon.
func metadataClient(transport http.RoundTripper) aws.HTTPClient {
	if transport == nil {
		own := newTransport()
		own.DialContext = (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext
		transport = own
	}
	return shared{&http.Client{Transport: noting{bounded{transport}}, Timeout: metadataTry, CheckRedirect: stay}}
}

// stay follows no redirect: none of these services sends one, and a signed request is for one host.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// bounded cuts answers off.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err == nil {
		response.Body = &boundedBody{response.Body, maxAnswer}
	}
	return response, err
}

// boundAnswer does the same for the clients inside the SDK's chain.
type boundAnswer struct{}

// AfterTransmit implements smithyhttp.AfterTransmitInterceptor.
func (boundAnswer) AfterTransmit(_ context.Context, in *smithyhttp.InterceptorContext) error {
	if in.Response != nil && in.Response.Body != nil {
		in.Response.Body = &boundedBody{in.Response.Body, maxAnswer}
	}
	return nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read fails where the answer goes on too long, so that it is not taken for a shorter one.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
