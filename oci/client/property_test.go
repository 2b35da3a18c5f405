package client_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// families are registries with the look-alikes that advisories tell of: in front, behind, above, below, other ports.
var families = map[string][]string{
	"r.example.com":         {"evilr.example.com", "sub.r.example.com", "example.com", "r.example.com.evil.com", "r.example.com:8443"},
	"ghcr.io":               {"evilghcr.io", "ghcr.io.evil.com", "sub.ghcr.io"},
	"acme.azurecr.io":       {"acme.azurecr.io.evil.com", "evil.azurecr.io", "acme.azurecr.io:8443"},
	"registry-1.docker.io":  {"auth.docker.io", "auth.docker.io.evil.com", "evilauth.docker.io", "docker.io.evil.com", "docker.io"},
	"europe-docker.pkg.dev": {"europe-docker.pkg.dev.evil.com", "xeurope-docker.pkg.dev", "docker.pkg.dev"},
	"111122223333.dkr.ecr.eu-west-1.amazonaws.com": {"x.amazonaws.com.evil.com", "999988887777.dkr.ecr.eu-west-1.amazonaws.com", "amazonaws.com"},
}

// kinds are the user names by which logins differ: a password, refresh tokens in both forms, ECR's, Google's, Azure's.
var kinds = []string{"ci", "<token>", "", "AWS", "oauth2accesstoken", "00000000-0000-0000-0000-000000000000"}

// outside is where nobody may ever be asked, whatever the proxy would do.
var outside = []string{"127.0.0.1", "10.0.0.1", "localhost", "metadata.google.internal", "instance-data"}

const hostileToken = "Tok3n-of-the-registry"

// A hostile world has all registries and look-alikes, each of which does anything to anybody, and a proxy.
type hostile struct {
	*fixture
	random *rand.Rand
	near   []string // hosts of the family that is played with
	all    []string
	token  string // that token servers give out
	marks  map[*egresstest.Server]int
	secure map[*egresstest.Server]bool
}

func newHostile(t *testing.T, seed uint64) *hostile {
	h := &hostile{fixture: newFixture(t), random: rand.New(rand.NewPCG(seed, 1)), marks: map[*egresstest.Server]int{}, secure: map[*egresstest.Server]bool{}}
	h.all = []string{"evil.com", "auth.example.org"}
	for home, strangers := range families {
		h.all = append(append(h.all, home), strangers...)
	}
	slices.Sort(h.all) // so that a seed repeats itself
	h.Name("localhost", "127.0.0.1")
	h.Name("metadata.google.internal", "169.254.169.254")
	h.Name("instance-data", "169.254.169.254")
	for _, name := range slices.Concat(h.all, outside) {
		h.secure[h.HTTPS(name, h)] = true
		if !strings.Contains(name, ":") {
			h.HTTP(name, h)
		}
	}
	h.HTTP(proxyHost, h.Proxy())
	return h
}

func (h *hostile) one(list ...string) string { return list[h.random.IntN(len(list))] }

// place is an address that a registry might name.
func (h *hostile) place() string {
	name := h.one(h.near...)
	switch h.random.IntN(8) {
	case 0:
		name = h.one(h.all...)
	case 1:
		name = h.one(outside...)
	}
	scheme := h.one("https://", "https://", "https://", "http://", "//", "HTTPS://")
	return scheme + h.one("", "", "", h.near[0]+"@", "ci:x@") + name + h.one("", "", ":443", ".", "%2eevil.com") + h.one("/token", "/", "/v2/x", "?a=b", "")
}

// ServeHTTP does anything to anybody.
func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range h.random.IntN(3) {
		w.Header().Add("WWW-Authenticate", h.one(bearerAt(h.place()), bearerAt(h.place()), bearerAt("https://"+r.Host+"/token"), bearerAt("http://"+r.Host+"/token"),
			bearerAt("https://auth.example.org/token"), bearerAt("https://auth.docker.io/token"), `Basic realm="`+h.place()+`"`, "Negotiate"))
	}
	w.Header().Set("Location", h.one(h.place(), h.place(), "/v2/y", "/token"))
	w.Header().Set("Link", "<"+h.place()+`>; rel="next"`)
	w.Header().Set("Docker-Content-Digest", h.digest.String())
	body := h.one(`{"token":"`+h.token+`"}`, `{"access_token":"`+h.token+`","refresh_token":"`+h.token+`"}`, string(h.manifest), "expired", string(h.layer), "")
	w.WriteHeader([]int{200, 200, 401, 401, 401, 403, 400, 307, 302, 308, 201, 202, 404, 503}[h.random.IntN(14)])
	fmt.Fprint(w, body)
}

// added is what a server was sent since the last call.
func (h *hostile) added(s *egresstest.Server) string {
	text := s.Received()
	defer func() { h.marks[s] = len(text) }()
	return text[h.marks[s]:]
}

// A round is one client with its logins, and who may know them.
type round struct {
	rules   egress.Rules
	user    string
	secret  string
	holders []string // of the login, by https
}

func (h *hostile) round(n int) round {
	home := h.one("r.example.com", "ghcr.io", "acme.azurecr.io", "registry-1.docker.io", "europe-docker.pkg.dev", "111122223333.dkr.ecr.eu-west-1.amazonaws.com", "evil.com")
	h.mu.Lock()
	h.near = append([]string{home, home, "evil.com", "auth.example.org"}, families[home]...)
	h.token = fmt.Sprintf("%s-%d", hostileToken, h.random.Uint64())
	h.mu.Unlock()
	p := round{rules: egress.Rules{Host: home}, user: kinds[n%len(kinds)], secret: fmt.Sprintf("%s-%d", marker, h.random.Uint64()), holders: []string{home}}
	if h.random.IntN(2) == 0 {
		p.rules.Realms = []string{"auth.example.org"}
		p.holders = append(p.holders, "auth.example.org")
	}
	if home == "registry-1.docker.io" {
		p.holders = append(p.holders, "auth.docker.io")
	}
	if h.random.IntN(2) == 0 {
		p.rules.Proxy = "http://" + proxyHost
	}
	p.rules.PlainHTTP = h.random.IntN(5) == 0
	return p
}

// may tells whether a server may know the login, and a token, of a round.
func (p round) may(s *egresstest.Server, secure bool) (login, token bool) {
	own := s.Host == p.rules.Host && secure == !p.rules.PlainHTTP
	switch {
	case s.Host == proxyHost: // plain HTTP is read by all who are on the way
		return p.rules.PlainHTTP && p.rules.Proxy != "", p.rules.PlainHTTP && p.rules.Proxy != ""
	case own:
		return true, true
	case p.rules.PlainHTTP && s.Host == "auth.docker.io":
		return false, false // paired with the https registry only
	}
	return secure && slices.Contains(p.holders[1:], s.Host), false
}

// A property: whatever registries, token servers and storages answer, with a proxy and without, no byte of a login
// reaches a host that is not its own, its vendor's or its confirmed token server, no byte of a token one that is not the
// registry, and nobody is asked at addresses that are out of bounds.
func TestP18NoCredentialByteElsewhere(t *testing.T) {
	seed := rand.Uint64()
	h := newHostile(t, seed)
	served := map[string]int{} // by user name, and whether there was a proxy
	for n := range 120 {
		p := h.round(n)
		hosts := []string{canonical(p.rules.Host)}
		c := h.client(p.rules, credential.New(p.user, p.secret, time.Time{}, hosts), credential.New(p.user, p.secret+"2", time.Time{}, hosts))
		attack(t, h.fixture, c)
		c.Close()
		for _, s := range h.Servers() {
			text := h.added(s)
			knowsLogin, knowsToken := egresstest.Contains(text, p.secret), egresstest.Contains(text, h.token)
			login, token := p.may(s, h.secure[s])
			if knowsLogin && !login || knowsToken && !token {
				t.Fatalf("seed %d, round %d: %s (https %v) knows login %v, token %v of %+v", seed, n, s.Host, h.secure[s], knowsLogin, knowsToken, p)
			}
			if text != "" && slices.Contains(outside, s.Host) {
				t.Fatalf("seed %d, round %d: %s was asked for %+v", seed, n, s.Host, p)
			}
			if knowsLogin && s.Host != proxyHost {
				served[p.user]++
				served["proxy "+fmt.Sprint(p.rules.Proxy != "")]++
			}
			if knowsToken && s.Host != proxyHost {
				served["a token"]++
			}
		}
	}
	for _, kind := range append([]string{"proxy true", "proxy false", "a token"}, kinds...) {
		if served[kind] == 0 {
			t.Errorf("seed %d: %q was never sent: this proves little (%v)", seed, kind, served)
		}
	}
}

// attack uses every face of the client once.
func attack(t *testing.T, f *fixture, c *client.Client) {
	ctx := t.Context()
	var errs []error
	_, err := c.Resolve(ctx, repo, "v1")
	errs = append(errs, err)
	_, err = c.Manifest(ctx, repo, f.digest.String())
	errs = append(errs, err)
	_, err = blob(t, c, f.blob, 0, -1)
	errs = append(errs, err)
	_, err = c.StatBlob(ctx, repo, f.blob)
	errs = append(errs, err)
	_, err = c.Tags(ctx, repo, oci.Page{N: oci.All})
	errs = append(errs, err)
	_, err = c.Referrers(ctx, repo, f.digest, oci.ReferrerFilter{})
	errs = append(errs, err)
	_, err = c.PutManifest(ctx, repo, oci.Manifest{MediaType: "application/vnd.oci.image.manifest.v1+json", Content: f.manifest}, []string{"v1"})
	errs = append(errs, err)
	_, err = c.Mount(ctx, repo, f.blob, []string{"acme/other"})
	errs = append(errs, err, c.DeleteBlob(ctx, repo, f.blob))
	u, err := c.StartUpload(ctx, repo, "")
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader("x"))
		errs = append(errs, err)
		_, err = u.Finish(ctx, f.blob)
	}
	errs = append(errs, err)
	for _, err := range errs {
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), marker) {
			t.Fatalf("a login is in an error: %v", err)
		}
	}
}
