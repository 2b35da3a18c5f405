package egress

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestRulesThatCannotBeUnderstood(t *testing.T) {
	good := Rules{Host: "a.example.com:5000", Realms: []string{"auth.example.com", "[2606::1]:8443"}, Listed: []string{"LOCALHOST:1"}, PrivateNetworks: []string{"10.0.0.1/8"}}
	if _, err := New(good, Network{}); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]Rules{
		"no host":      {},
		"a URL":        {Host: "https://a.example.com"},
		"a path":       {Host: "a.example.com/x"},
		"a login":      {Host: "user:x@a.example.com"},
		"trailing dot": {Host: "a.example.com."},
		"a space":      {Host: "a.example.com "},
		"no port":      {Host: "a.example.com:"},
		"port 0":       {Host: "a.example.com:0"},
		"port 65536":   {Host: "a.example.com:65536"},
		"bare IPv6":    {Host: "2606::1"},
		"a zone":       {Host: "[fe80::1%25eth0]:5000"},
		"a glob":       {Host: "*.example.com"},
		"realm":        {Host: "a.example.com", Realms: []string{"https://auth.example.com/token"}},
		"network":      {Host: "a.example.com", PrivateNetworks: []string{"10.0.0.1"}},
		"listed":       {Host: "a.example.com", Listed: []string{"a b"}},
		"CA":           {Host: "a.example.com", CA: "not PEM"},
	} {
		if _, err := New(bad, Network{}); !errors.Is(err, ErrRules) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whom a login may be sent to: the registry itself, and its own token servers. The strangers are the look-alikes of
// FIELD P18: suffixes, prefixes, sub-domains, userinfo, other ports and schemes.
func TestP18RealmPairs(t *testing.T) {
	for _, test := range []struct {
		rules Rules
		yes   []string
		no    []string
	}{
		{Rules{Host: "ghcr.io"},
			[]string{"https://ghcr.io/token", "https://GHCR.io:443/token?x=y"},
			[]string{"https://evilghcr.io/token", "https://ghcr.io.evil.com/", "https://sub.ghcr.io/", "https://ghcr.io:8443/", "http://ghcr.io/", "https://ghcr.io@evil.com/", "https://evil.com/ghcr.io", "https://evil.com/?ghcr.io",
				"https://evil.com#ghcr.io", "https://ghcr.io./", "https://io/", "https://gcr.io/", "https://auth.docker.io/token", "ftp://ghcr.io/", "//ghcr.io/", "ghcr.io/token", "https://ghcr.io%2eevil.com/", "https://xn--ghcr-io/", "https://ghcr。io/", "https://user@ghcr.io/"}},
		{Rules{Host: "registry-1.docker.io"},
			[]string{"https://auth.docker.io/token", "https://registry-1.docker.io/token"},
			[]string{"https://docker.io.evil.com/", "https://auth.docker.io.evil.com/token", "https://evilauth.docker.io/", "https://x.auth.docker.io/", "http://auth.docker.io/token", "https://auth.docker.io:8443/token", "https://docker.io/", "https://hub.docker.com/"}},
		{Rules{Host: "registry.gitlab.com"}, []string{"https://gitlab.com/jwt/auth"}, []string{"https://evilgitlab.com/", "https://auth.docker.io/", "https://gitlab.com.evil.com/"}},
		{Rules{Host: "registry.digitalocean.com"}, []string{"https://api.digitalocean.com/v2/registry/auth"}, []string{"https://digitalocean.com/"}},
		{Rules{Host: "rg.fr-par.scw.cloud"}, []string{"https://api.scaleway.com/registry-internal/v1/regions/fr-par/tokens"}, []string{"https://scaleway.com/", "https://rg.nl-ams.scw.cloud/"}},
		// The vendor's token server is for the vendor's registry alone.
		{Rules{Host: "evil.com"}, []string{"https://evil.com/"}, []string{"https://auth.docker.io/token", "https://gitlab.com/", "https://api.scaleway.com/"}},
		{Rules{Host: "rg.x.evil.scw.cloud"}, nil, []string{"https://api.scaleway.com/"}},
		{Rules{Host: "registry-1.docker.io.evil.com"}, nil, []string{"https://auth.docker.io/token"}},
		{Rules{Host: "registry-1.docker.io:5000"}, nil, []string{"https://auth.docker.io/token"}},
		{Rules{Host: "registry-1.docker.io", PlainHTTP: true}, nil, []string{"https://auth.docker.io/token", "http://auth.docker.io/token"}},
		{Rules{Host: "111122223333.dkr.ecr.eu-west-1.amazonaws.com"}, []string{"https://111122223333.dkr.ecr.eu-west-1.amazonaws.com/"},
			[]string{"https://111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.com/", "https://x.amazonaws.com.evil.com/", "https://999988887777.dkr.ecr.eu-west-1.amazonaws.com/", "https://amazonaws.com/"}},
		// Confirmed by an admin: exactly these.
		{Rules{Host: "r.example.com", Realms: []string{"auth.example.com", "auth.example.com:8443"}},
			[]string{"https://auth.example.com/t", "https://auth.example.com:8443/t"}, []string{"https://auth.example.com:9443/", "http://auth.example.com/", "https://x.auth.example.com/", "https://example.com/"}},
		// Plain HTTP: the same host only, whatever is confirmed.
		{Rules{Host: "r.example.com:5000", PlainHTTP: true, Realms: []string{"r.example.com:5001", "auth.example.com"}},
			[]string{"http://r.example.com:5000/token", "https://r.example.com:5000/token", "http://r.example.com:5001/token", "https://auth.example.com/t"},
			[]string{"http://auth.example.com:443/t", "http://auth.example.com/t", "http://r.example.com/t", "http://r.example.com:5002/", "https://r.example.com/"}},
	} {
		c, err := New(test.rules, Network{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range test.yes {
			if err := c.MayCarry(parsed(t, text)); err != nil {
				t.Errorf("%s to %s: %v", test.rules.Host, text, err)
			}
		}
		for _, text := range test.no {
			u, err := url.Parse(text)
			if err != nil {
				continue // no address at all
			}
			if err := c.MayCarry(u); !errors.Is(err, ErrRefused) {
				t.Errorf("%s to %s: %v", test.rules.Host, text, err)
			}
		}
	}
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A proxy prints as what is read as the same proxy, and never with a login in it.
func FuzzProxy(f *testing.F) {
	for _, text := range []string{"http://proxy:3128", "https://Proxy.example/", "http://[::1]:3128", "http://[::ffff:10.0.0.1]:1", "http://u:p@proxy:1", "http://proxy:", "https:proxy", "HTTP://x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, bad := parseProxy(text, nil)
		if bad != nil {
			return
		}
		again, bad := parseProxy(p.scheme+"://"+p.String(), nil)
		if bad != nil || again.origin != p.origin || strings.ContainsAny(p.String(), "/@?# %\\\r\n") {
			t.Errorf("%q: %v, then %v (%v)", text, p, again, bad)
		}
		if r := (&rules{origin: origin{"https", "r", 443}, plainHTTP: true, proxy: p}); r.mayAskFor(p.origin) == nil {
			t.Errorf("%q: the proxy may be asked for itself", text)
		}
	})
}

// What an origin prints as is read as the same origin, and never as another one.
func FuzzOrigin(f *testing.F) {
	for _, text := range []string{"https://ghcr.io/x", "http://a:5000", "https://[::1]:5000/", "https://[::ffff:1.2.3.4]/", "https://A.b:443", "https://a@b/", "https://a:/", "//x", "https://%41/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		r := rules{plainHTTP: true, origin: origin{"https", "r", 443}}
		o, bad := r.originOf(u)
		if bad != nil {
			return
		}
		if strings.ContainsAny(o.host, "/@?# %\\") || o.host == "" || o.port == 0 {
			t.Errorf("%q is no host", o.host)
		}
		again, bad := r.originOf(&url.URL{Scheme: o.scheme, Host: o.String()})
		if bad != nil || again != o {
			t.Errorf("%q: %v, then %v (%v)", text, o, again, bad)
		}
	})
}
