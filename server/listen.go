package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"pierhead.dev/pierhead"
)

// DefaultAddress is where the server listens when nothing else is said.
const DefaultAddress = "127.0.0.1:7070"

// A ListenConfig says where a server listens, and how. The zero value is plain HTTP on DefaultAddress.
type ListenConfig struct {
	Address string // --listen, "HOST:PORT"; empty: DefaultAddress. Port 0 takes a free one
	// CertFile and KeyFile are --tls-cert and --tls-key: PEM, the certificate with its chain. Both or none.
	CertFile, KeyFile string
	// Self is --tls self: a certificate of an authority that is kept in Directory. Not together with CertFile.
	Self bool
	// Names are the names and addresses that a certificate of Self is for, beside the listening address, this machine's
	// name and loopback; the host of --url belongs here.
	Names []string
	// Directory is where Self keeps its authority: "tls" in the data directory. It is made when it is not there.
	Directory string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// A Listener is ready for Server.Serve.
type Listener struct {
	net.Listener
	URL    string // "http://127.0.0.1:7070", with the port that was really taken
	CA     []byte // with Self: the authority's certificate in PEM, for clients
	CAHash string // with Self: "sha256:…" of that certificate's DER, for people to compare
	CASum  []byte // the same for programs
}

// Listen opens the listener. Loopback may be plain HTTP; everywhere else it refuses without TLS, because tokens would
// travel in the clear. Errors: pierhead.ErrBadInput for what cannot be meant, ErrConflict for a port in use,
// ErrNotAllowed for a port that takes more rights.
func Listen(ctx context.Context, c ListenConfig) (*Listener, error) {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the address to listen on, %q, is not of the form HOST:PORT", cut(c.Address)), "an example is 127.0.0.1:7070")
	}
	listener := &Listener{}
	config, err := c.tls(host, listener)
	if err != nil {
		return nil, err
	}
	if config == nil && !loopbackName(host) {
		return nil, plainRefused(c.Address)
	}
	plain, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, listenProblem(c.Address, err)
	}
	address := plain.Addr().(*net.TCPAddr)
	if config == nil && !address.IP.IsLoopback() { // "localhost" can be made to mean anything
		return nil, errors.Join(plainRefused(address.String()), plain.Close())
	}
	scheme := "http"
	listener.Listener = plain
	if config != nil {
		scheme = "https"
		listener.Listener = tls.NewListener(plain, config)
	}
	listener.URL = fmt.Sprintf("%s://%s", scheme, address)
	return listener, nil
}

// tls is the configuration, or nil for plain HTTP.
func (c ListenConfig) tls(host string, listener *Listener) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	switch {
	case c.Self && (c.CertFile != "" || c.KeyFile != ""):
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "--tls self and --tls-cert exclude each other", "leave one of them out")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "--tls-cert and --tls-key need each other", "give both")
	case c.CertFile != "":
		pair, err := newPairFiles(c.CertFile, c.KeyFile, c.Now)
		if err != nil {
			return nil, err
		}
		config.GetCertificate = pair.certificate
	case c.Self:
		authority, err := openAuthority(c.Directory, c.Now)
		if err != nil {
			return nil, err
		}
		listener.CA, listener.CAHash, listener.CASum = authority.pem(), authority.hash(), authority.sum()
		config.GetCertificate = newSelfSigned(authority, append([]string{host}, c.Names...), c.Now).certificate
	default:
		return nil, nil
	}
	return config, nil
}

func loopbackName(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func plainRefused(address string) error {
	return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("without TLS the server listens on loopback only, not on %s", cut(address)),
		"give --tls-cert and --tls-key, or --tls self for a certificate of its own; or listen on 127.0.0.1:7070")
}

func listenProblem(address string, err error) error {
	problem := &pierhead.Problem{Kind: pierhead.ErrBadInput, Text: fmt.Sprintf("cannot listen on %s", cut(address)), Hint: "give an address of this machine and a free port", Cause: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		problem.Kind, problem.Text = pierhead.ErrConflict, fmt.Sprintf("the address %s is in use by another process", cut(address))
		problem.Hint = "stop that process (perhaps another pier), or choose another port with --listen"
	case errors.Is(err, syscall.EACCES):
		problem.Kind, problem.Text = pierhead.ErrNotAllowed, fmt.Sprintf("listening on %s takes more rights", cut(address))
		problem.Hint = "choose a port from 1024 on with --listen"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		problem.Text = fmt.Sprintf("%s is no address of this machine", cut(address))
	}
	return problem
}
