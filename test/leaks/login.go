package leaks

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/goccy/go-yaml"
)

// A Login is a server and the token that is for it and for no other. It prints as the server's address. The zero Login
// is for no server.
type Login struct {
	server *url.URL
	token  string
	ca     string // PEM, or empty
}

// ReadLogin reads the current one of pier's contexts from a file. No error quotes the file: it holds tokens.
func ReadLogin(path string) (Login, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Login{}, fmt.Errorf("read contexts: %w", err)
	}
	var file struct {
		Current  string `yaml:"current"`
		Contexts map[string]struct {
			Server string `yaml:"server"`
			Token  string `yaml:"token"`
			CA     string `yaml:"ca"`
		} `yaml:"contexts"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return Login{}, fmt.Errorf("%s is no file of contexts", path)
	}
	current, ok := file.Contexts[file.Current]
	if !ok || current.Token == "" {
		return Login{}, fmt.Errorf("%s has no current context with a token", path)
	}
	server, err := url.Parse(current.Server)
	if err != nil || server.Host == "" {
		return Login{}, fmt.Errorf("the current context of %s has no server", path)
	}
	return Login{server: server, token: current.Token, ca: current.CA}, nil
}

// Format prints the server only.
func (l Login) Format(f fmt.State, _ rune) {
	if l.server != nil {
		_, _ = io.WriteString(f, l.server.Redacted())
	}
}

// fits tells whether the token may be sent to an address.
func (l Login) fits(address *url.URL) bool {
	return l.server != nil && l.server.Scheme == address.Scheme && l.server.Host == address.Host
}

// roots are nil for the system's.
func (l Login) roots() (*x509.CertPool, error) {
	if l.ca == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM([]byte(l.ca)) {
		return nil, errors.New("the context's CA is no certificate")
	}
	return roots, nil
}
