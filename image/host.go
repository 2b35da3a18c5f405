package image

import (
	"fmt"
	"net/netip"
	"strings"
)

// Docker Hub's name in references, and the host that serves them.
const (
	Hub     = "docker.io"
	HubDial = "registry-1.docker.io"
)

// hubNames are the hosts that mean Docker Hub (docker, containerd, kubelet and their users each write another one).
// No other name below docker.io or docker.com is a registry: auth.docker.io and hub.docker.com are not folded.
func isHubName(host string) bool {
	switch host {
	case Hub, "index.docker.io", HubDial, "registry.hub.docker.com":
		return true
	}
	return false
}

// CanonicalHost reads a registry host as people and secrets write it ("GCR.io:443", "https://index.docker.io/v1/") and
// returns the one form in which hosts are compared: "host[:port]" in lower case, without the port 443, IPv6 literals
// bracketed and shortened, and every name of Docker Hub as docker.io. A scheme and a path are dropped; two hosts are
// the same if their canonical forms are equal, never because one ends with the other. Errors: ErrEmpty, ErrSpace,
// ErrScheme, ErrUserinfo, ErrHost.
func CanonicalHost(s string) (string, error) {
	host, _, err := CanonicalServer(s)
	return host, err
}

// CanonicalServer is CanonicalHost for a place that may name a namespace too, as the "server" of a secret and the keys
// of containers-auth.json do: "registry.example.com/team" gives the path "team", which covers repositories "team" and
// "team/…" and nothing else. The paths of the old API addresses, "/v1/" and "/v2/", are no namespace.
func CanonicalServer(s string) (host, path string, err error) {
	text := strings.TrimSpace(s)
	rest := text
	if scheme := schemeOf(text); scheme != "" {
		if !strings.EqualFold(scheme, "https://") && !strings.EqualFold(scheme, "http://") {
			return "", "", fault("host", text, ErrScheme, "write only the host, as in registry.example.com:5000")
		}
		rest = text[len(scheme):]
	}
	switch {
	case rest == "":
		return "", "", fault("host", text, ErrEmpty, "write a host, as in registry.example.com:5000")
	case hasSpace(rest):
		return "", "", fault("host", text, ErrSpace, "write a host, as in registry.example.com:5000")
	case strings.Contains(rest, "@"):
		return "", "", fault("host", text, ErrUserinfo, "write only the host; the login belongs in the credential")
	case strings.ContainsAny(rest, "?#"):
		return "", "", fault("host", text, ErrHost, "write only the host, without query or fragment")
	}
	host, path, _ = strings.Cut(rest, "/")
	if err := checkHost(host, false); err != nil {
		return "", "", fault("host", text, ErrHost, err.Error())
	}
	host, err = foldHost(host)
	if err != nil {
		return "", "", fault("host", text, ErrHost, err.Error())
	}
	path = strings.Trim(path, "/")
	if first, _, _ := strings.Cut(path, "/"); first == "v1" || first == "v2" {
		path = ""
	}
	return host, path, nil
}

// foldHost makes the canonical form of a host that checkHost or the grammar of references accepted.
func foldHost(host string) (string, error) {
	host = strings.ToLower(host)
	if strings.HasPrefix(host, "[") {
		literal, port, _ := strings.Cut(host[1:], "]")
		address, err := netip.ParseAddr(literal)
		if err != nil || !address.Is6() || address.Zone() != "" {
			return "", fmt.Errorf("[%s] is not an IPv6 address", literal)
		}
		host = "[" + ipv6Text(address) + "]" + port
	}
	host = strings.TrimSuffix(host, ":443")
	if isHubName(host) {
		host = Hub
	}
	return host, nil
}

// ipv6Text is the shortest form without a dotted tail, which the grammar of references does not know.
func ipv6Text(a netip.Addr) string {
	if !a.Is4In6() {
		return a.String()
	}
	b := a.As16()
	return fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]))
}

// checkHost holds a host against the grammar of references (distribution/reference): labels of letters, digits and
// inner hyphens, or a bracketed IPv6 literal, then perhaps a port. With globs, a label may have "*" in it. The error
// says what to write.
func checkHost(host string, globs bool) error {
	if strings.HasPrefix(host, "[") {
		return checkLiteral(host)
	}
	name, port, hasPort := strings.Cut(host, ":")
	if strings.Contains(port, ":") {
		return fmt.Errorf("write an IPv6 address in brackets, as in [::1]:5000")
	}
	if hasPort && !allDigits(port) {
		return fmt.Errorf("after the host comes a port of digits only, and %q is none", port)
	}
	if name == "" {
		return fmt.Errorf("write a host before the first slash, as in docker.io/library/ubuntu")
	}
	if strings.HasSuffix(name, ".") {
		return fmt.Errorf("write it without the trailing dot: %q", strings.TrimRight(name, "."))
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label, globs); err != nil {
			return err
		}
	}
	return nil
}

func checkLiteral(host string) error {
	literal, rest, closed := strings.Cut(host[1:], "]")
	if !closed || literal == "" || rest != "" && (rest[0] != ':' || !allDigits(rest[1:])) {
		return fmt.Errorf("write an IPv6 address in brackets and then the port, as in [::1]:5000")
	}
	if strings.ContainsAny(literal, "*%") {
		return fmt.Errorf("an IPv6 address has neither a wildcard nor a zone")
	}
	return nil
}

func checkLabel(label string, globs bool) error {
	if label == "" {
		return fmt.Errorf("there is nothing between two of its dots")
	}
	for i := 0; i < len(label); i++ {
		switch c := label[i]; {
		case isLower(c), isDigit(c), 'A' <= c && c <= 'Z':
		case c == '*' && globs:
		case c == '-' && i > 0 && i < len(label)-1:
		case c == '-':
			return fmt.Errorf("%q begins or ends with a hyphen", label)
		case c == '_':
			return fmt.Errorf("%q has an underscore, which no host name has", label)
		case c == '<' || c == '>' || c == '{' || c == '}' || c == '$':
			return fmt.Errorf("%q is a placeholder: write what it stands for", label)
		case c >= 0x80:
			return fmt.Errorf("write %q in its ASCII form, which begins with xn--", label)
		default:
			return fmt.Errorf("%q is no character of a host name", c)
		}
	}
	return nil
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
