package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/secret"
)

var (
	errGarbled = errors.New("not an answer of Vault's")
	errDead    = errors.New("the token has ended")
)

// explain turns what happened into the error for people: whose turn it is depends on whether it was the login, the path,
// the policy, or Vault itself.
func (s *Source) explain(ref secret.Ref, p place, a answer, err error) error {
	e := &secret.Error{Kind: secret.ErrUnreachable, Ref: ref}
	var login *loginError
	var file *fileError
	var identity *identityError
	var place *misplaced
	var gone *goneError
	switch {
	case errors.As(err, &gone):
		e.Kind, e.Text = secret.ErrNotFound, gone.Error()
		e.Hint = "put a new version there; one that was deleted comes back with vault kv undelete, one that was destroyed does not"
	case errors.As(err, &place):
		e.Kind, e.Text, e.Hint = secret.ErrNotFound, place.text, place.hint
	case errors.As(err, &file):
		e.Kind, e.Text = secret.ErrNotAllowed, "this node cannot log in to Vault: "+file.Error()
		e.Hint = "the operator of the node puts the file there, or names another one"
	case errors.As(err, &identity):
		e.Kind, e.Text, e.Hint = secret.ErrNotAllowed, "this node cannot log in to Vault by aws: "+clean(identity.Error()), "the operator gives the node an identity at Amazon, or another way to log in"
	case errors.As(err, &login) && (status(err) == http.StatusForbidden || status(err) == http.StatusBadRequest || status(err) == http.StatusNotFound):
		s.explainLogin(e, login)
	case errors.Is(err, errDead):
		e.Kind, e.Text = secret.ErrNotAllowed, "Vault at "+s.host+" does not know this node's token any more: it has ended or was revoked"
		e.Hint = "the operator gives the node a new token, or a way to log in by itself: --vault-auth"
	case status(err) != 0:
		s.explainAnswer(e, p, a.mount, err)
	default:
		e.Text, e.Hint = s.wire(err)
	}
	return e
}

func (s *Source) explainLogin(e *secret.Error, login *loginError) {
	c := s.config
	e.Kind = secret.ErrNotAllowed
	e.Text = fmt.Sprintf("Vault at %s does not let this node log in at auth/%s", s.host, c.AuthMount)
	if c.Role != "" {
		e.Text += " as role " + c.Role
	}
	e.Text += said(login.err, login.secrets)
	e.Hint = "whoever runs Vault looks at the method and its role: who may log in, the audience, and how long a secret id lives; the operator at --vault-auth, --vault-auth-mount and --vault-role"
}

// explainAnswer is about an answer to the reading itself.
func (s *Source) explainAnswer(e *secret.Error, p place, m mount, err error) {
	code, text := status(err), said(err, nil)
	switch {
	case code == http.StatusForbidden:
		e.Kind, e.Text = secret.ErrNotAllowed, "Vault at "+s.host+" does not let this node read it"+text
		e.Hint = "whoever runs Vault adds to the policy of this node: " + m.policy(p)
	case code == http.StatusNotFound && strings.Contains(text, "no handler for route"):
		e.Kind, e.Text = secret.ErrNotFound, "Vault at "+s.host+" has no secrets engine there"+s.inNamespace()
		e.Hint = "write the mount's own path before the secret's; vault secrets list shows it, and a namespace is the operator's to say: --vault-namespace"
	case code == http.StatusNotFound:
		e.Kind, e.Text = secret.ErrNotFound, "Vault at "+s.host+" has nothing at "+p.path+s.inNamespace()
		e.Hint = "write it as vault kv get takes it, without data/ between the mount and the path"
	case code == http.StatusServiceUnavailable:
		e.Text, e.Hint = "Vault at "+s.host+" is sealed or starting"+text, "whoever runs Vault unseals it"
	case code >= 300 && code < 400:
		e.Text, e.Hint = "Vault at "+s.host+" is a standby that sends its callers elsewhere, which is not followed with this node's token", "the operator names the active node, or the balancer before it: --vault-addr"
	case code == http.StatusTooManyRequests:
		e.Text, e.Hint = "Vault at "+s.host+" is throttling"+text, "try again in a minute; whoever runs Vault sees its rate limits"
	default:
		e.Text, e.Hint = fmt.Sprintf("Vault at %s answered %d%s", s.host, code, text), "try again; if it stays so, whoever runs Vault looks at its log"
	}
}

// policy is the rule that lets a token read a place: with KV 2, data/ stands after the mount.
func (m mount) policy(p place) string {
	path := p.path
	if m.kv != 1 {
		at := m.path
		if at == "" {
			at, _, _ = strings.Cut(p.path, "/")
		}
		path = at + "/data" + strings.TrimPrefix(p.path, at)
	}
	return `path "` + path + `" { capabilities = ["read"] }`
}

func (s *Source) inNamespace() string {
	if s.config.Namespace == "" {
		return ""
	}
	return " in namespace " + s.config.Namespace
}

// said is the reason in an answer of Vault's, without what was sent.
func said(err error, secrets []string) string {
	var answered *api.ResponseError
	if !errors.As(err, &answered) || answered.RawError || len(answered.Errors) == 0 {
		return ""
	}
	text := strings.Join(answered.Errors, "; ")
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[hidden]")
	}
	// What STS says of a signature that it does not take is the whole signed request, session token and all.
	if before, _, found := strings.Cut(text, "from STS"); found {
		text = before + "from STS"
	}
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "1 error occurred:\n\t* "))
	return ": " + clean(text)
}

// wire is for answers that never came.
func (s *Source) wire(err error) (text, hint string) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var dns *net.DNSError
	var call *net.OpError
	var asked *url.Error
	who := "Vault at " + s.host
	switch {
	case errors.As(err, &authority):
		return who + " has a certificate of an unknown authority", "the operator names its CA: --vault-ca-cert (VAULT_CACERT)"
	case errors.As(err, &name):
		return who + " has a certificate for other names", "the operator corrects --vault-addr, or whoever runs Vault the certificate"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &asked) && asked.Timeout():
		return who + " does not answer in time", "try again; if it stays so, a network admin looks at the way from this node to it"
	case errors.As(err, &dns), errors.As(err, &call):
		return who + " cannot be reached", "a network admin looks at the way from this node to it, the operator at --vault-addr"
	case errors.Is(err, errGarbled), !errors.As(err, &asked):
		return who + " answered something that is no answer of Vault's", "the operator looks at what answers at --vault-addr"
	}
	return who + " breaks off", "try again; if it stays so, whoever runs Vault looks at it"
}

// clean makes foreign text fit to print.
func clean(text string) string { return egress.Clean(text, 300) }
