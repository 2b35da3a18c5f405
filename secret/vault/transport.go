package vault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// maxAnswer bounds an answer of Vault: a secret of KV is at most 1 MiB (512 KiB with Consul), as JSON.
const maxAnswer = 3 << 20

// newHTTP makes the client for the one address that the operator gave. Redirects are not followed: a standby's would take
// the token to whatever address the active node claims.
func newHTTP(caFile string) (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, errors.New("the file with Vault's CA cannot be read: " + caFile)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("the file with Vault's CA has no PEM certificate in it: " + caFile)
		}
	}
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: bounded{&http.Transport{
			Proxy:                  http.ProxyFromEnvironment, // the operator's, as the address is
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    5 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    16,
			MaxConnsPerHost:        32,
			IdleConnTimeout:        90 * time.Second,
		}},
	}, nil
}

// bounded cuts answers off at maxAnswer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}
