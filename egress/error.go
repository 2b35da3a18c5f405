package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// The kinds of failure, found with errors.Is. An answer with an error status is none of them.
var (
	ErrRules    = errors.New("the rules cannot be understood")
	ErrRefused  = errors.New("refused by a rule")
	ErrProxy    = errors.New("the proxy refused")
	ErrDNS      = errors.New("name not resolved")
	ErrConnect  = errors.New("no connection")
	ErrTimeout  = errors.New("timed out")
	ErrTLS      = errors.New("no secure connection")
	ErrBroken   = errors.New("the connection broke")
	ErrProtocol = errors.New("the answer is not HTTP")
	ErrTooLarge = errors.New("the answer is too large")
)

// A Rule names what refused a request; the text is stable.
type Rule string

// The rules.
const (
	RuleScheme    Rule = "scheme"             // neither https nor, where the registry says so, http
	RuleHost      Rule = "host"               // no host, or not one that can be a host
	RulePort      Rule = "port"               // a system port that is neither 80, 443 nor the registry's own
	RuleUserinfo  Rule = "userinfo"           // a URL with a user in it
	RuleHeader    Rule = "header"             // a header that only egress sets
	RuleMetadata  Rule = "metadata-address"   // a cloud's metadata service
	RuleLoopback  Rule = "loopback-address"   // this machine, not listed
	RuleLinkLocal Rule = "link-local-address" // this link
	RuleSpecial   Rule = "special-address"    // unspecified, multicast, reserved, documentation
	RulePrivate   Rule = "private-address"    // a private range that is not listed
	RuleRealm     Rule = "realm"              // a credential for a token server that is not paired with the registry
	RuleDowngrade Rule = "redirect-downgrade" // https to http
	RuleRedirects Rule = "redirect-count"     // too many
	RuleOrigin    Rule = "redirect-origin"    // away from where the request may not leave
	RuleLocation  Rule = "redirect-location"  // a redirect without a usable address
)

// A TLSFault says what is wrong with a secure connection; the text is stable.
type TLSFault string

// The faults.
const (
	TLSUnknownAuthority TLSFault = "unknown-authority"
	TLSNameMismatch     TLSFault = "name-mismatch"
	TLSExpired          TLSFault = "expired"
	TLSPlainServer      TLSFault = "plain-http-server"
	TLSOther            TLSFault = "other"
)

// An Error is why a request got no answer. It prints no query string, no credential, and no control character.
type Error struct {
	Kind     error    // one of the kinds above, or the context's error
	Rule     Rule     // with ErrRefused
	TLS      TLSFault // with ErrTLS
	Method   string   // of the hop that failed; empty when nothing was sent
	Address  string   // its address as scheme://host/path
	Detail   string   // one phrase
	Realm    string   // with RuleRealm: the token server as Rules.Realms would list it; "" where no list would help
	Evidence Evidence // the failed hop is the last

	Proxy       string // the proxy that stood in the way, "host:port"; "" where there is none
	ByProxy     bool   // it is the proxy that said no, or that could not be reached: Address was not asked
	ProxyStatus int    // with ErrProxy: what the proxy answered

	header http.Header // of the proxy's answer
}

// Error says what was asked, of whom, and what came of it.
func (e *Error) Error() string {
	text := e.Kind.Error()
	if e.Kind == ErrProxy {
		text = "the proxy " + e.Proxy + " refused"
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	switch {
	case e.Kind == ErrProxy || e.Proxy == "":
	case e.ByProxy:
		text = "the proxy " + e.Proxy + ": " + text
	default:
		text += ", through the proxy " + e.Proxy
	}
	if e.Address != "" {
		text = strings.TrimSpace(e.Method+" "+e.Address) + ": " + text
	}
	return text
}

// Unwrap lets errors.Is find the kind.
func (e *Error) Unwrap() error { return e.Kind }

// HintOf says whose turn it is where a proxy stands in the way of an Error in err's tree, else "".
func HintOf(err error) string {
	var e *Error
	if !errors.As(err, &e) || e.Proxy == "" {
		return ""
	}
	where := e.Evidence.Last().Host
	switch {
	case e.Kind == ErrProxy && e.ProxyStatus == http.StatusProxyAuthRequired:
		return "whoever runs the proxy lets this node through without a login, or an organization admin names another one (proxy)"
	case e.Kind == ErrProxy && e.ProxyStatus >= 500:
		return "try again; if it stays so, whoever runs the proxy looks why it does not reach " + where
	case e.Kind == ErrProxy:
		return "whoever runs the proxy lets this node reach " + where + " through it"
	case !e.ByProxy && e.Kind == ErrTLS:
		return "if the proxy looks into TLS, an organization admin adds its authority's certificate (ca): pier registry update NAME --ca-file FILE; if not, whoever runs " + where + " looks at its certificate"
	case !e.ByProxy:
		return ""
	case e.Rule == RulePrivate:
		return "if the proxy is meant to be there, an organization admin lists its network (private_networks): pier registry update NAME --private-network CIDR"
	case e.Kind == ErrRefused:
		return "an organization admin corrects the proxy's address (proxy); one on this machine is written as its address or localhost"
	case e.TLS == TLSUnknownAuthority:
		return "if the proxy's authority is your own, an organization admin adds its certificate (ca): pier registry update NAME --ca-file FILE"
	case e.TLS == TLSPlainServer:
		return "the proxy has no TLS: an organization admin writes it as http://" + e.Proxy
	}
	return "whoever runs this node's network looks at the proxy and the way there, or an organization admin names another one (proxy)"
}

func refused(rule Rule, detail string) *Error {
	return &Error{Kind: ErrRefused, Rule: rule, Detail: detail}
}

// causes that we put into a hop's context when a limit of ours is reached.
var (
	errStalled = errors.New("the transfer stalled")
	errSlow    = errors.New("the answer took too long in all")
)

// classify makes an Error of what the transport or a body returned. The cause itself is dropped: its text may hold the
// whole URL, and nobody can tell what else.
func classify(ctx context.Context, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	switch cause := context.Cause(ctx); {
	case cause == errStalled || cause == errSlow:
		return &Error{Kind: ErrTimeout, Detail: cause.Error()}
	case ctx.Err() != nil:
		return &Error{Kind: ctx.Err()}
	}
	if e := classifyTLS(err); e != nil {
		return e
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &Error{Kind: ErrTimeout, Detail: timeoutText(err)}
	}
	return classifyBroken(err)
}

func classifyBroken(err error) *Error {
	text := err.Error()
	switch {
	case strings.Contains(text, "response headers exceeded") || strings.Contains(text, "header list too large"):
		return &Error{Kind: ErrTooLarge, Detail: "its header"}
	case strings.Contains(text, "malformed"):
		return &Error{Kind: ErrProtocol}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe),
		strings.Contains(text, "server closed"), strings.Contains(text, "connection lost"), strings.Contains(text, "stream error"),
		strings.Contains(text, "GOAWAY"), strings.Contains(text, "connection broken"):
		return &Error{Kind: ErrBroken}
	}
	return &Error{Kind: ErrProtocol}
}

func timeoutText(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "TLS handshake"):
		return "TLS handshake"
	case strings.Contains(text, "response headers"):
		return "waiting for the answer"
	}
	return ""
}

// classifyTLS returns nil for what has nothing to do with TLS.
func classifyTLS(err error) *Error {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
		alert     tls.AlertError
	)
	fault := func(f TLSFault, text string) *Error {
		return &Error{Kind: ErrTLS, TLS: f, Detail: text + issuerOf(err)}
	}
	switch {
	case errors.As(err, &authority):
		return fault(TLSUnknownAuthority, "the certificate is signed by an authority that is not trusted")
	case errors.As(err, &name):
		return fault(TLSNameMismatch, "the certificate is for another name")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fault(TLSExpired, "the certificate has expired or is not valid yet")
	case errors.As(err, &record):
		if string(record.RecordHeader[:]) == "HTTP/" {
			return fault(TLSPlainServer, "the server speaks plain HTTP")
		}
		return fault(TLSOther, "the server does not speak TLS")
	case errors.As(err, &alert):
		return fault(TLSOther, clean(alert.Error(), 100))
	case errors.As(err, &verify), errors.As(err, &invalid):
		return fault(TLSOther, "the certificate is not acceptable")
	case strings.Contains(err.Error(), "tls: "):
		return fault(TLSOther, "the handshake failed")
	}
	return nil
}

// issuerOf names who signed a certificate that was not accepted.
func issuerOf(err error) string {
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) || len(verify.UnverifiedCertificates) == 0 {
		return ""
	}
	issuer := clean(verify.UnverifiedCertificates[0].Issuer.String(), 100)
	if issuer == "" {
		return ""
	}
	return " (issuer " + issuer + ")"
}
