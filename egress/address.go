package egress

import (
	"net/netip"
	"slices"
)

// metadata are the addresses of clouds' metadata services (IMDS of AWS, GCP and Azure; AWS over IPv6; ECS; EKS Pod
// Identity, both families; Azure's wire server; Alibaba; Oracle's old one). No list opens them.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"), netip.MustParseAddr("fd00:ec2::23"),
	netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd20:ce::254"),
}

// private ranges are reached only where they are listed.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' NAT
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks; in use behind VPNs
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fec0::/10"),      // site-local, deprecated
	netip.MustParsePrefix("64:ff9b:1::/48"), // a site's own NAT64
}

// special ranges are nobody's registry.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"), // the second includes broadcast
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
}

// wrappers are IPv6 ranges that carry an IPv4 address, and the byte at which it begins.
var wrappers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // NAT64 of a site, in the /96 form
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // translated
	{netip.MustParsePrefix("::/96"), 12},           // compatible, deprecated
}

// wrapped returns the IPv4 address inside an IPv6 one.
func wrapped(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() || a == netip.IPv6Unspecified() || a == netip.IPv6Loopback() {
		return a, false
	}
	for _, w := range wrappers {
		if w.prefix.Contains(a) {
			bytes := a.As16()
			return netip.AddrFrom4([4]byte(bytes[w.at : w.at+4])), true
		}
	}
	return a, false
}

// classOf says which rule an address falls under by itself, "" for a public one.
func classOf(a netip.Addr) Rule {
	a = unmapped(a)
	switch {
	case slices.Contains(metadata, a):
		return RuleMetadata
	case a.IsLoopback():
		return RuleLoopback
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast():
		return RuleLinkLocal
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), within(a, special):
		return RuleSpecial
	}
	inner, is := wrapped(a)
	if is {
		if class := classOf(inner); class != "" {
			return class
		}
	}
	if within(a, private) {
		return RulePrivate
	}
	return ""
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// mayDial decides about one address that a host's name stands for. Private ranges are open where they are listed;
// a private or loopback host that the registry names itself is open under that very name and port.
func (r *rules) mayDial(host string, port uint16, a netip.Addr) *Error {
	a = unmapped(a)
	class := classOf(a)
	switch class {
	case "":
		return nil
	case RulePrivate:
		inner, _ := wrapped(a)
		if within(a, r.private) || within(inner, r.private) {
			return nil
		}
	}
	if (class == RulePrivate || class == RuleLoopback) && r.listsItself(host, port, a) {
		return nil
	}
	where := host + " is at " + a.String() + ", which is "
	if host == a.String() {
		where = host + " is "
	}
	return refused(class, where+describe[class])
}

var describe = map[Rule]string{
	RuleMetadata:  "a cloud's metadata service",
	RuleLoopback:  "this machine itself",
	RuleLinkLocal: "on this link only",
	RuleSpecial:   "no address of a host",
	RulePrivate:   "in a private network that is not listed for this registry",
}

// listsItself tells whether host:port is written out in the registry's match or among its realms: as this very address,
// or as localhost for a loopback one. A name that merely resolves to a private address does not list itself.
func (r *rules) listsItself(host string, port uint16, a netip.Addr) bool {
	to := hostPort{host, port}
	if !slices.Contains(r.listed, to) && !slices.Contains(r.realms, to) {
		return false
	}
	if host == "localhost" {
		return a.IsLoopback()
	}
	literal, err := netip.ParseAddr(host)
	return err == nil && unmapped(literal) == a
}
