package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// A Network is how a Client reaches the world. The zero value is this machine's own. Tests give names and addresses
// places of their own with it; the rules are applied in front of it either way.
type Network struct {
	// Resolve returns the addresses of a host name.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial opens a TCP connection. The default checks the address once more as the socket connects.
	Dial func(ctx context.Context, to netip.AddrPort, check func(netip.AddrPort) error) (net.Conn, error)
}

func (n Network) orDefaults() Network {
	if n.Resolve == nil {
		n.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if n.Dial == nil {
		n.Dial = dialSystem
	}
	return n
}

func dialSystem(ctx context.Context, to netip.AddrPort, check func(netip.AddrPort) error) (net.Conn, error) {
	dialer := net.Dialer{
		KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			dialled, err := netip.ParseAddrPort(address)
			if err != nil {
				return refused(RuleHost, "not an address")
			}
			return check(dialled)
		},
	}
	return dialer.DialContext(ctx, "tcp", to.String())
}

// conn remembers the address that was asked for, for evidence.
type conn struct {
	net.Conn
	to netip.AddrPort
}

// dial connects to where a request goes.
func (c *Client) dial(ctx context.Context, _, address string) (net.Conn, error) {
	to, bad := parseHostPort(address, 0)
	if bad != nil {
		return nil, bad
	}
	return c.dialUnder(ctx, &c.rules, to)
}

// dialUnder resolves a name, strikes out the addresses that the rules forbid, and connects to the first of the others
// that answers. The name is not looked up again in between, so an answer that changes cannot get past the check.
func (c *Client) dialUnder(ctx context.Context, rules *rules, to hostPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Connect)
	defer cancel()
	addresses, err := c.resolve(ctx, to.host)
	if err != nil {
		return nil, err
	}
	check := func(a netip.AddrPort) error {
		if err := rules.mayDial(to.host, a.Port(), a.Addr()); err != nil {
			return err
		}
		return nil
	}
	var first error
	var open []netip.AddrPort
	for _, a := range addresses {
		target := netip.AddrPortFrom(unmapped(a), to.port)
		if err := check(target); err != nil {
			first = firstOf(first, err)
			continue
		}
		open = append(open, target)
	}
	traceOf(ctx).resolved(addresses)
	if len(open) == 0 {
		return nil, first
	}
	return c.race(ctx, open, check)
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if literal, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{literal}, nil
	}
	addresses, err := c.network.Resolve(ctx, host)
	if err != nil {
		return nil, dnsError(ctx, host, err)
	}
	if len(addresses) == 0 {
		return nil, &Error{Kind: ErrDNS, Detail: host + " has no address"}
	}
	return alternate(addresses), nil
}

// dnsError keeps the name and what came of it; the resolver's own text names servers of the node's network.
func dnsError(ctx context.Context, host string, err error) *Error {
	var dns *net.DNSError
	detail := "looking up " + host
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		detail = "there is no host " + host
	case errors.As(err, &dns) && dns.IsTimeout, ctx.Err() != nil:
		detail = "the name server did not answer for " + host
	}
	return &Error{Kind: ErrDNS, Detail: detail}
}

// alternate orders addresses so that the families take turns, IPv6 first as resolvers order them (RFC 8305).
func alternate(addresses []netip.Addr) []netip.Addr {
	six := func(a netip.Addr) bool { return unmapped(a).Is6() }
	families := [2][]netip.Addr{}
	for _, a := range addresses {
		family := 0
		if six(a) != six(addresses[0]) {
			family = 1
		}
		families[family] = append(families[family], a)
	}
	var out []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				out = append(out, family[i])
			}
		}
	}
	return slices.Compact(out)
}

// raceDelay is the head start of each address before the next is tried beside it (RFC 8305, "Connection Attempt Delay").
const raceDelay = 250 * time.Millisecond

// maxAddresses of one name are tried.
const maxAddresses = 8

type dialled struct {
	turn int
	conn net.Conn
	to   netip.AddrPort
	err  error
}

// race connects to the first address that answers.
func (c *Client) race(ctx context.Context, open []netip.AddrPort, check func(netip.AddrPort) error) (net.Conn, error) {
	open = open[:min(len(open), maxAddresses)]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialled, len(open))
	start := func(turn int) {
		connection, err := c.network.Dial(ctx, open[turn], check)
		results <- dialled{turn, connection, open[turn], err}
	}
	failed := make([]error, len(open))
	for started, ended := 0, 0; ended < len(open); {
		var next <-chan time.Time
		if started < len(open) {
			go start(started)
			started++
			next = time.After(raceDelay)
		}
		select {
		case r := <-results:
			ended++
			if r.err == nil {
				go closeRest(results, started-ended)
				return conn{r.conn, r.to}, nil
			}
			failed[r.turn] = connectError(ctx, r)
		case <-next:
		}
	}
	return nil, failed[0] // of the address that the resolver prefers
}

func closeRest(results <-chan dialled, n int) {
	for range n {
		if r := <-results; r.err == nil {
			_ = r.conn.Close()
		}
	}
}

func connectError(ctx context.Context, r dialled) error {
	var own *Error
	var timeout net.Error
	switch {
	case errors.As(r.err, &own):
		return own
	case errors.Is(r.err, syscall.ECONNREFUSED):
		return &Error{Kind: ErrConnect, Detail: "connection refused by " + r.to.String()}
	case ctx.Err() != nil, errors.As(r.err, &timeout) && timeout.Timeout():
		return &Error{Kind: ErrTimeout, Detail: "connecting to " + r.to.String()}
	case errors.Is(r.err, syscall.ENETUNREACH), errors.Is(r.err, syscall.EHOSTUNREACH):
		return &Error{Kind: ErrConnect, Detail: "no route to " + r.to.String()}
	}
	return &Error{Kind: ErrConnect, Detail: "to " + r.to.String()}
}
