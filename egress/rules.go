package egress

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rules say where the requests made for one registry host may go, and with what. The zero value, but for Host, means
// https only, public addresses only, and credentials to the host itself and its vendor's token server only.
type Rules struct {
	// Host is the registry's host[:port] as it is dialled ("registry-1.docker.io", not "docker.io").
	Host string
	// PlainHTTP makes Host an http one. Others may then be reached by http too, but never with a credential.
	PlainHTTP bool
	// CA is PEM, added to the system's roots.
	CA string
	// Realms are token servers ("host" or "host:port") that an admin confirmed for this registry. They may be dialled
	// where Listed ones may.
	Realms []string
	// PrivateNetworks are CIDR prefixes, of the operator and of the registry, that names may resolve to.
	// They do not open loopback, link-local and metadata addresses.
	PrivateNetworks []string
	// Listed are the hosts ("host" or "host:port") written out in the registry's match. Those that are private or
	// loopback by their very text (an address, or localhost) may be dialled, at that port only.
	Listed []string
	// Proxy is "http://HOST:PORT" or "https://HOST:PORT", without a login: every request goes through it, and it alone is
	// dialled from here. It may be where PrivateNetworks are, and one that is private or loopback by its very text lists
	// itself; neither opens its address to a request.
	Proxy string
	// Limits bound requests; zero fields are the defaults.
	Limits Limits
}

// An origin is what a credential belongs to. The host is lower-case, an IPv6 one without brackets.
type origin struct {
	scheme string
	host   string
	port   uint16
}

func (o origin) String() string {
	text := o.host
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if o.port != defaultPort(o.scheme) {
		text += ":" + strconv.Itoa(int(o.port))
	}
	return text
}

type hostPort struct {
	host string
	port uint16
}

// rules are Rules, read.
type rules struct {
	origin    origin
	plainHTTP bool
	realms    []hostPort
	private   []netip.Prefix
	listed    []hostPort
	proxy     *proxy // nil: none
}

func (r Rules) compile() (rules, error) {
	out := rules{plainHTTP: r.PlainHTTP}
	scheme := "https"
	if r.PlainHTTP {
		scheme = "http"
	}
	host, err := parseHostPort(r.Host, defaultPort(scheme))
	if err != nil {
		return out, fmt.Errorf("%w: host %q: %s", ErrRules, clean(r.Host, 100), err.Detail)
	}
	out.origin = origin{scheme, host.host, host.port}
	for _, text := range r.Realms {
		realm, err := parseHostPort(text, 443)
		if err != nil {
			return out, fmt.Errorf("%w: realm %q: %s", ErrRules, clean(text, 100), err.Detail)
		}
		out.realms = append(out.realms, realm)
	}
	for _, text := range r.Listed {
		listed, err := parseHostPort(text, defaultPort(scheme))
		if err != nil {
			return out, fmt.Errorf("%w: listed host %q: %s", ErrRules, clean(text, 100), err.Detail)
		}
		out.listed = append(out.listed, listed)
	}
	for _, text := range r.PrivateNetworks {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return out, fmt.Errorf("%w: private network %q is not an address range like 10.0.0.0/8", ErrRules, clean(text, 100))
		}
		out.private = append(out.private, prefix.Masked())
	}
	if r.Proxy != "" {
		if out.proxy, err = parseProxy(r.Proxy, out.private); err != nil {
			return out, fmt.Errorf("%w: proxy: %s", ErrRules, err.Detail)
		}
	}
	return out, nil
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

var hostShape = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// parseHost folds a host's case and refuses what is not a plain name or address: a trailing dot, a zone, another script.
func parseHost(text string) (string, *Error) {
	host := strings.ToLower(text)
	if bare, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(bare, "]")
	}
	if strings.Contains(host, ":") {
		address, err := netip.ParseAddr(host)
		if err != nil || address.Zone() != "" {
			return "", refused(RuleHost, "not an IPv6 address")
		}
		return unmapped(address).String(), nil
	}
	if len(host) > 253 || !hostShape.MatchString(host) {
		return "", refused(RuleHost, "not a host name")
	}
	return host, nil
}

func parseHostPort(text string, otherwise uint16) (hostPort, *Error) {
	hostText, portText := text, ""
	if colon := strings.LastIndexByte(text, ':'); colon >= 0 && !strings.HasSuffix(text, "]") {
		hostText, portText = text[:colon], text[colon+1:]
		if strings.Contains(hostText, ":") && !strings.HasPrefix(hostText, "[") {
			return hostPort{}, refused(RuleHost, "an IPv6 address needs brackets")
		}
	}
	host, err := parseHost(hostText)
	if err != nil {
		return hostPort{}, err
	}
	port := otherwise
	if portText != "" || strings.HasSuffix(text, ":") {
		if port, err = parsePort(portText); err != nil {
			return hostPort{}, err
		}
	}
	return hostPort{host, port}, nil
}

func parsePort(text string) (uint16, *Error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, refused(RulePort, "not a port")
	}
	return uint16(n), nil
}

// originOf reads a URL's origin and applies the rules that need no network.
func (r *rules) originOf(u *url.URL) (origin, *Error) {
	if u == nil || u.Opaque != "" {
		return origin{}, refused(RuleHost, "not an address with a host")
	}
	scheme := strings.ToLower(u.Scheme)
	switch {
	case scheme != "https" && scheme != "http":
		return origin{}, refused(RuleScheme, "only https, and http where the registry's settings say plain_http")
	case scheme == "http" && !r.plainHTTP:
		return origin{}, refused(RuleScheme, "plain HTTP, which this registry's settings do not allow")
	case u.User != nil:
		return origin{}, refused(RuleUserinfo, "a user name inside an address")
	}
	host, err := parseHost(u.Hostname())
	if err != nil {
		return origin{}, err
	}
	port := defaultPort(scheme)
	if text := u.Port(); text != "" || strings.HasSuffix(u.Host, ":") {
		if port, err = parsePort(text); err != nil {
			return origin{}, err
		}
	}
	if port < 1024 && port != 80 && port != 443 && port != r.origin.port {
		// A request to a mail server or the like is an attack on that server, not a pull.
		return origin{}, refused(RulePort, "port "+strconv.Itoa(int(port))+" is not one of a registry")
	}
	o := origin{scheme, host, port}
	if r.proxy != nil {
		if err := r.mayAskFor(o); err != nil {
			return origin{}, err
		}
	}
	return o, nil
}

// mayCarry tells whether a credential may go to an origin: the registry's own, or a token server paired with it.
func (r *rules) mayCarry(o origin) *Error {
	if o == r.origin {
		return nil
	}
	secure := o.scheme == "https" || (r.plainHTTP && o.host == r.origin.host)
	to := hostPort{o.host, o.port}
	paired := to == hostPort{r.origin.host, r.origin.port} || slices.Contains(r.realms, to) || (o.scheme == "https" && vendorPair(r.origin, to))
	if secure && paired {
		return nil
	}
	e := refused(RuleRealm, o.String()+" is not a token server of "+r.origin.String())
	if e.Realm = o.String(); !secure {
		e.Detail, e.Realm = e.Detail+" (plain HTTP)", ""
	}
	return e
}

// vendorPairs are the token servers of vendors who keep them on another host than the registry. Both sides are
// compared whole.
var vendorPairs = []struct {
	registry *regexp.Regexp
	realm    string
}{
	{regexp.MustCompile(`^(registry-1|index)\.docker\.io$`), "auth.docker.io"},
	{regexp.MustCompile(`^registry\.gitlab\.com$`), "gitlab.com"},
	{regexp.MustCompile(`^registry\.digitalocean\.com$`), "api.digitalocean.com"},
	{regexp.MustCompile(`^rg\.[a-z0-9-]+\.scw\.cloud$`), "api.scaleway.com"},
}

func vendorPair(registry origin, to hostPort) bool {
	if registry.scheme != "https" || registry.port != 443 || to.port != 443 {
		return false
	}
	for _, pair := range vendorPairs {
		if pair.realm == to.host && pair.registry.MatchString(registry.host) {
			return true
		}
	}
	return false
}
