// Package kube reads the service-account tokens of a Kubernetes cluster and says whose they are: namespace and name,
// from the token's own claims, after its signature, issuer, audience and times are found right. Where the other rooms of
// identity say who this node is, this one says for which pod it is asked.
//
// The kubelet hands such a token to its credential provider for the pod that an image is pulled for (KEP-4412). Nothing that
// a pod says of itself is believed, only what the cluster's issuer signed for exactly our audience.
//
// # Keys
//
// They come from the issuer by OIDC discovery, from an address of a key set (JWKS), or from a file of one. They are asked
// for again when they are ten minutes old, and at once for a token with a key that is not known, but not more than once in
// ten seconds: a rotation is followed, and wrong tokens do not become requests. While the issuer is away the keys that are
// there go on for 24 hours, over restarts too where there is a file to keep them in.
//
// github.com/coreos/go-oidc would do most of this. Its key sets forget no withdrawn key until an unknown one comes, ask
// anew for every unknown one, and read answers of any length; and it forgives a clock in one direction only.
package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pierhead.dev/pierhead"
)

// Config says whose tokens are read. The zero value, but for Audience, is the cluster that the process runs in as a pod.
type Config struct {
	Audience string // the one that tokens must be for
	// Issuer is the cluster's "iss", an address; "" in a pod: what the API server calls itself.
	Issuer string
	// Keys is where the key set is, a file or an address; "" is found by discovery at Issuer.
	Keys string
	// CA is a PEM file that is trusted beside the system's roots; "" in a pod: the cluster's own.
	CA string
	// BearerFile has a token that the issuer wants to see before it shows its keys, as an API server does unless somebody
	// opened its discovery to all. It is sent to the host of Issuer and of Keys only. "" in a pod: the pod's own.
	BearerFile string
	// Kept is a file of ours in which keys outlive a restart; "": nowhere.
	Kept string

	APIServer string           // "host:port" of the pod's API server; "" where the process is no pod
	Mounted   string           // where Kubernetes mounts a pod's CA and token; "": its usual place
	Now       func() time.Time // nil: time.Now
}

// mounted is where Kubernetes puts what a pod needs to talk to its API server.
const mounted = "/var/run/secrets/kubernetes.io/serviceaccount"

// An Account is a service account of the cluster.
type Account struct {
	Namespace string
	Name      string
}

// String is "namespace/name".
func (a Account) String() string { return a.Namespace + "/" + a.Name }

// A Verifier reads tokens. It is safe for concurrent use.
type Verifier struct {
	config Config

	mu     sync.Mutex
	keys   keySet
	asking *asking   // of keys; nil while nobody asks
	asked  time.Time // when somebody last did
	failed error     // what came of it
}

// New makes a verifier and asks nobody. Errors: pierhead.ErrBadInput, with a hint.
func New(c Config) (*Verifier, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Mounted == "" {
		c.Mounted = mounted
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.inPod() {
		if c.CA == "" {
			c.CA = filepath.Join(c.Mounted, "ca.crt")
		}
		if c.BearerFile == "" {
			c.BearerFile = filepath.Join(c.Mounted, "token")
		}
	}
	v := &Verifier{config: c}
	v.keys = v.restore()
	return v, nil
}

// inPod tells whether the pod's own API server is who is asked.
func (c Config) inPod() bool { return c.Issuer == "" && c.Keys == "" }

func (c Config) check() error {
	wrong := func(text, hint string) error { return pierhead.NewProblem(pierhead.ErrBadInput, text, hint) }
	switch {
	case c.Audience == "":
		return wrong("no audience is set for service-account tokens", "name the one that the kubelet's configuration has as serviceAccountTokenAudience")
	case c.inPod() && c.APIServer == "":
		return wrong("no issuer of service-account tokens is named, and this is no pod of a cluster", "name the cluster's issuer: kubectl get --raw /.well-known/openid-configuration shows it")
	case c.Issuer == "" && !c.inPod():
		return wrong("keys of service-account tokens are named without the issuer that they are of", "name the issuer too: kubectl get --raw /.well-known/openid-configuration shows it")
	}
	for _, address := range []string{c.Issuer, c.Keys} {
		if address == "" || filepath.IsAbs(address) && address == c.Keys {
			continue
		}
		if err := checkAddress(address); err != nil {
			return wrong(fmt.Sprintf("%q is no address for keys of service-account tokens: %v", address, err), "write https://HOST/…, or for a file of keys its absolute path")
		}
	}
	return nil
}

// checkAddress allows plain HTTP on loopback only: whoever sits on the way would choose the keys.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it cannot be read")
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return errors.New("it has no host, or has more than host, path and query")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errors.New("it is not https")
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("plain http is for loopback only")
	}
	return nil
}

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 16 << 10

// skew is by how much the clocks of issuer and node may differ.
const skew = time.Minute

// algorithms are those that Kubernetes and its external signers sign with: never one with a shared key.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// claims are what a service-account token says beside the registered claims (KEP-1205).
type claims struct {
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// Verify returns whose token it is. Errors, with a hint: pierhead.ErrNotAllowed when it is none of this issuer's for this
// audience and time; pierhead.ErrUnreachable when the issuer's keys cannot be had; and the context's own. Their texts have
// nothing of a token but its claims of issuer, audience, key and times.
func (v *Verifier) Verify(ctx context.Context, token string) (Account, error) {
	if len(token) > MaxToken {
		return Account{}, refused(fmt.Sprintf("it is longer than %d KiB", MaxToken>>10), "")
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return Account{}, refused("it is no signed token of a kind that clusters issue", "") // without err, which may have parts of it
	}
	known, err := v.keysWith(ctx, parsed.Headers[0].KeyID)
	if err != nil {
		return Account{}, err
	}
	for _, key := range known.named(parsed.Headers[0].KeyID) {
		var registered jwt.Claims
		var own claims
		if parsed.Claims(key.Key, &registered, &own) == nil {
			return v.check(known.Issuer, registered, own)
		}
	}
	return Account{}, refused("its signature is not that of "+known.Issuer, "does the token come from another cluster?")
}

// check judges claims that the issuer signed.
func (v *Verifier) check(issuer string, registered jwt.Claims, own claims) (Account, error) {
	now := v.config.Now()
	clock := "are the clocks of this node and of the API server right?"
	switch {
	case registered.Issuer != issuer:
		return Account{}, refused(fmt.Sprintf("it says that %q issued it, and this node trusts %q", cut(registered.Issuer), issuer), "does the token come from another cluster?")
	case !registered.Audience.Contains(v.config.Audience):
		return Account{}, refused(fmt.Sprintf("it is for %s, not for %q", audiences(registered.Audience), v.config.Audience),
			"serviceAccountTokenAudience in the kubelet's configuration and the agent's audience have to be the same")
	case registered.Expiry == nil:
		return Account{}, refused("it does not say until when it is good", "")
	case !now.Before(registered.Expiry.Time().Add(skew)):
		return Account{}, refused("it was good until "+stamp(registered.Expiry), clock)
	case registered.NotBefore != nil && now.Add(skew).Before(registered.NotBefore.Time()):
		return Account{}, refused("it is good only from "+stamp(registered.NotBefore), clock)
	}
	account := Account{Namespace: own.Kubernetes.Namespace, Name: own.Kubernetes.ServiceAccount.Name}
	if !isName(account.Namespace) || !isName(account.Name) || registered.Subject != "system:serviceaccount:"+account.Namespace+":"+account.Name {
		return Account{}, refused("it does not say of which service account it is", "")
	}
	return account, nil
}

// name is what Kubernetes takes for the name of a namespace or service account: a DNS sub-domain (RFC 1123).
var name = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$`)

func isName(s string) bool { return name.MatchString(s) }

func refused(why, hint string) error {
	return pierhead.NewProblem(pierhead.ErrNotAllowed, "the service-account token is refused: "+why, hint)
}

func stamp(at *jwt.NumericDate) string { return at.Time().UTC().Format(time.RFC3339) }

// audiences writes a token's audiences for people.
func audiences(all jwt.Audience) string {
	if len(all) == 0 {
		return "no audience"
	}
	told := make([]string, 0, 3)
	for _, one := range all[:min(len(all), 3)] {
		told = append(told, fmt.Sprintf("%q", cut(one)))
	}
	return strings.Join(told, ", ")
}

// cut bounds what others wrote.
func cut(text string) string {
	const most = 120
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
