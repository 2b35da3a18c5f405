package egress

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Evidence is what happened on the wire, hop by hop: what diagnosis reads. It is safe to print and to keep.
type Evidence struct {
	Hops []Hop
}

// A Hop is one request and its answer.
type Hop struct {
	Method     string
	Scheme     string
	Host       string   // with its port where that is not the scheme's own
	Path       string   // cleaned; without the query
	Query      []string // names of the query's parameters, sorted; never their values
	Authorized bool     // an Authorization header went with it
	Range      string   // the Range header that was sent

	Proxy       string // the proxy that it went through, "host:port"; "" without one
	ByProxy     bool   // the proxy itself said no, or could not be reached: the host was not asked
	ProxyStatus int    // what the proxy answered itself; Header is that answer's

	Resolved []string // addresses of the host's name, or of the proxy's
	Address  string   // ip:port that was connected to: the proxy's where there is one
	Reused   bool     // over a connection that was open already

	Status int         // 0: no answer
	Header http.Header // of the answer; selected, cut, without query values
	Body   string      // of an error answer; at most 4 KiB, no control characters

	Fault string    // why there is no answer: the text of the error's kind
	Rule  Rule      // with a refusal
	TLS   TLSFault  // with a TLS error
	Text  string    // one phrase
	Start time.Time // by our clock

	Connected time.Duration // from Start until a connection was there, 0 when it never was
	FirstByte time.Duration // from Start until the answer began, likewise
	Total     time.Duration // from Start until the answer's header was read, and an error's body
	Clock     time.Duration // the server's Date minus our clock, to the second; 0 without a Date
}

// Last is the hop that the answer, or its absence, came from; a zero one when nothing was sent.
func (e Evidence) Last() Hop {
	if len(e.Hops) == 0 {
		return Hop{}
	}
	return e.Hops[len(e.Hops)-1]
}

const (
	maxEvidenceBody   = 4 << 10
	maxEvidenceHeader = 2 << 10
	maxEvidenceHops   = 24
)

// Append adds what happened later; the oldest hops but the first are dropped when there are too many.
func (e Evidence) Append(later Evidence) Evidence {
	hops := append(slices.Clone(e.Hops), later.Hops...)
	if extra := len(hops) - maxEvidenceHops; extra > 0 {
		hops = append(hops[:1], hops[1+extra:]...)
	}
	return Evidence{Hops: hops}
}

// kept are the headers that diagnosis can use.
var kept = []string{
	"Www-Authenticate", "Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "Retry-After", "Date", "Server", "Via",
	"Ratelimit-Limit", "Ratelimit-Remaining", "Docker-Ratelimit-Source", "Docker-Content-Digest",
	"Docker-Distribution-Api-Version", "Location", "Warning", "X-Amz-Request-Id", "X-Ms-Request-Id", "X-Ms-Error-Code",
	"X-Cache", "Cf-Ray", "X-Request-Id",
	"Proxy-Authenticate", "Proxy-Status", "X-Squid-Error",
}

func keepHeader(h http.Header, secrets []string) http.Header {
	out := http.Header{}
	for _, name := range kept {
		for _, value := range h[name][:min(len(h[name]), 4)] {
			out.Add(name, clean(withoutQuery(hide(value, secrets)), maxEvidenceHeader))
		}
	}
	return out
}

var queryShape = regexp.MustCompile(`\?[^\s"'<>]*`)

// withoutQuery takes query strings out of a header's value: a redirect's is often a signature.
func withoutQuery(text string) string { return queryShape.ReplaceAllString(text, "?…") }

// Clean makes foreign text fit to print: control characters, and what is not UTF-8, become spaces, and it is cut to a
// number of bytes.
func Clean(text string, most int) string { return clean(text, most) }

func clean(text string, most int) string {
	text = text[:min(len(text), most+utf8.UTFMax)]
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return strings.TrimSpace(text)
}

// secretsOf lists the forms in which a server might send back what it was sent.
func secretsOf(r Request) []string {
	var out []string
	add := func(s string) {
		if len(s) < 4 {
			return // it would cut up every text, and hides nothing
		}
		out = append(out, s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)))
		if quoted, err := json.Marshal(s); err == nil {
			out = append(out, string(quoted[1:len(quoted)-1]))
		}
	}
	scheme, value, _ := strings.Cut(r.Authorization, " ")
	add(value)
	if strings.EqualFold(scheme, "basic") {
		if pair, err := base64.StdEncoding.DecodeString(value); err == nil {
			_, password, _ := strings.Cut(string(pair), ":")
			add(password)
		}
	}
	for _, s := range r.Secrets {
		add(s)
	}
	// The longest first, so that no form is cut up by a shorter one inside it.
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}

func hide(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[hidden]")
	}
	return text
}

func pathOf(u *url.URL, secrets []string) string { return clean(hide(u.Path, secrets), 512) }

func queryNames(u *url.URL, secrets []string) []string {
	var names []string
	for name := range u.Query() {
		names = append(names, clean(hide(name, secrets), 64))
	}
	slices.Sort(names)
	return names[:min(len(names), 32)]
}

// A trace collects what the transport tells of a hop; it may tell more after the hop has ended.
type trace struct {
	mu        sync.Mutex
	start     time.Time
	addresses []string
	address   string
	reused    bool
	connected time.Duration
	firstByte time.Duration
}

type traceKey struct{}

func withTrace(ctx context.Context, t *trace) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, traceKey{}, t), &httptrace.ClientTrace{
		GotConn:              t.gotConn,
		GotFirstResponseByte: t.gotFirstByte,
	})
}

func traceOf(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

func (t *trace) resolved(addresses []netip.Addr) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		t.addresses = append(t.addresses, unmapped(a).String())
	}
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	inner := info.Conn
	if secure, ok := inner.(*tls.Conn); ok {
		inner = secure.NetConn()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reused, t.connected = info.Reused, time.Since(t.start)
	if c, ok := inner.(conn); ok {
		t.address = c.to.String()
	}
}

func (t *trace) gotFirstByte() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.firstByte = time.Since(t.start)
}

func (t *trace) into(h *Hop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.Resolved, h.Address, h.Reused = slices.Clone(t.addresses), t.address, t.reused
	h.Connected, h.FirstByte, h.Total = t.connected, t.firstByte, time.Since(t.start)
}
