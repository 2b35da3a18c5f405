package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxAnswer bounds a discovery document, a key set, and the files of one, in bytes.
	maxAnswer = 256 << 10
	// maxKeys bounds how many keys are tried for a token that names none.
	maxKeys = 64
)

// fetch gets the keys from wherever the configuration says.
func (v *Verifier) fetch(ctx context.Context) (keySet, error) {
	c := v.config
	if filepath.IsAbs(c.Keys) {
		text, err := readFile(c.Keys)
		if err != nil {
			return keySet{}, err
		}
		return keysIn(c.Issuer, text)
	}
	client, err := c.client()
	if err != nil {
		return keySet{}, err
	}
	defer client.CloseIdleConnections()
	issuer, address := c.Issuer, c.Keys
	if address == "" {
		if issuer, address, err = v.discover(ctx, client); err != nil {
			return keySet{}, err
		}
	}
	text, err := v.get(ctx, client, address)
	if err != nil {
		return keySet{}, err
	}
	return keysIn(issuer, text)
}

// discover asks the issuer what it is called and where its keys are (OpenID Connect Discovery 1.0, section 4).
func (v *Verifier) discover(ctx context.Context, client *http.Client) (issuer, address string, err error) {
	base := v.config.Issuer
	if v.config.inPod() {
		base = "https://" + v.config.APIServer
	}
	text, err := v.get(ctx, client, strings.TrimSuffix(base, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", "", err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	switch err := json.Unmarshal(text, &document); {
	case err != nil:
		return "", "", errors.New("what it calls its configuration is not JSON")
	case v.config.inPod() && document.Issuer != "":
		// The document names an address of the API server from outside. This one has the keys at hand, at a fixed path.
		return document.Issuer, base + "/openid/v1/jwks", nil
	case document.Issuer == "" || document.Issuer != v.config.Issuer:
		return "", "", fmt.Errorf("it calls itself %q", cut(document.Issuer))
	}
	if err := checkAddress(document.JWKSURI); err != nil {
		return "", "", fmt.Errorf("it names %q as the address of its keys: %v", cut(document.JWKSURI), err)
	}
	return document.Issuer, document.JWKSURI, nil
}

// get is one bounded request, with the bearer token where that may go.
func (v *Verifier) get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if v.mayBear(request.URL) {
		bearer, err := readFile(v.config.BearerFile)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(bearer)))
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("User-Agent", "pierhead")
	answer, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // its text repeats the address
		}
		return nil, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	defer answer.Body.Close()
	text, err := bounded(answer.Body)
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answered %s to %s", request.URL.Host, answer.Status, request.URL.Path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	return text, nil
}

// mayBear tells whether the bearer token may go to an address: to the hosts that the operator named, over TLS.
func (v *Verifier) mayBear(to *url.URL) bool {
	c := v.config
	if c.BearerFile == "" || to.Scheme != "https" {
		return false
	}
	for _, named := range []string{c.Issuer, c.Keys} {
		if u, err := url.Parse(named); err == nil && u.Host == to.Host && u.Scheme == to.Scheme {
			return true
		}
	}
	return c.inPod() && to.Host == c.APIServer
}

// client is made for each look, so that a rotated CA is seen. It follows no redirect.
func (c Config) client() (*http.Client, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		text, err := readFile(c.CA)
		if err != nil {
			return nil, err
		}
		if trust.RootCAs, err = x509.SystemCertPool(); err != nil {
			trust.RootCAs = x509.NewCertPool()
		}
		if !trust.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM", c.CA)
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10}
	return &http.Client{Transport: transport, Timeout: fetchWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// keysIn reads a key set (RFC 7517). Keys of kinds that are not known, private and shared ones are passed over.
func keysIn(issuer string, text []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return keySet{}, errors.New("what it calls its keys is no set of keys")
	}
	found := keySet{Issuer: issuer}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || !key.IsPublic() || !key.Valid() || key.Use != "" && key.Use != "sig" {
			continue
		}
		if found.Keys = append(found.Keys, key); len(found.Keys) > maxKeys {
			return keySet{}, fmt.Errorf("it names more than %d keys", maxKeys)
		}
	}
	return found, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := bounded(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

func bounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		return nil, fmt.Errorf("there is more than %d KiB", maxAnswer>>10)
	}
	return text, err
}
