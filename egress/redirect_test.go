package egress_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
)

const marker = "hunter2-Marker+x/y"

func address(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newClient(t *testing.T, w *egresstest.World, r egress.Rules) *egress.Client {
	t.Helper()
	r.CA += w.CA()
	c, err := egress.New(r, w.Network())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, c *egress.Client, at string) (*egress.Response, error) {
	t.Helper()
	r, err := c.Do(t.Context(), egress.Request{Method: http.MethodGet, URL: address(t, at), Authorization: "Bearer " + marker})
	if err == nil {
		t.Cleanup(func() { r.Body.Close() })
	}
	return r, err
}

// fault finds the egress error, or fails.
func fault(t *testing.T, err error) *egress.Error {
	t.Helper()
	var e *egress.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no error of egress", err)
	}
	if egresstest.Contains(fmt.Sprintf("%v %+v %#v", e, e, *e), marker) {
		t.Errorf("a credential is in the error: %v", e)
	}
	return e
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })

func to(code int, location string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(code)
	})
}

func routes(handlers map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, found := handlers[r.URL.Path]; found {
			h.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

// The credential stays on the one scheme, host and port; what it leaves it does not come back to.
func TestP18NothingOverRedirects(t *testing.T) {
	for name, test := range map[string]struct {
		location string
		foreign  bool
		sentTo   []string // servers that may know the credential
	}{
		"same host":                {"/b", false, []string{"r.example.com"}},
		"same host, written out":   {"https://R.example.com:443/b", false, []string{"r.example.com"}},
		"another host":             {"https://evil.com/b", true, []string{"r.example.com"}},
		"a sub-domain":             {"https://sub.r.example.com/b", true, []string{"r.example.com"}},
		"the parent":               {"https://example.com/b", true, []string{"r.example.com"}},
		"another port":             {"https://r.example.com:8443/b", true, []string{"r.example.com"}},
		"a look-alike":             {"https://r.example.com.evil.com/b", true, []string{"r.example.com"}},
		"there and back":           {"https://evil.com/back", true, []string{"r.example.com"}},
		"without a scheme":         {"//evil.com/b", true, []string{"r.example.com"}},
		"with backslashes in path": {`/\evil.com/b`, false, []string{"r.example.com"}},
	} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(name, " ", code), func(t *testing.T) {
				w := egresstest.New(t)
				all := routes(map[string]http.Handler{"/b": ok, `/\evil.com/b`: ok, "/back": to(code, "https://r.example.com/c")})
				w.HTTPS("r.example.com", routes(map[string]http.Handler{"/a": to(code, test.location), "/b": ok, `/\evil.com/b`: ok, "/c": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "" {
						t.Error("the credential came back")
					}
				})}))
				for _, host := range []string{"evil.com", "sub.r.example.com", "example.com", "r.example.com:8443", "r.example.com.evil.com"} {
					w.HTTPS(host, all)
				}
				c := newClient(t, w, egress.Rules{Host: "r.example.com"})
				r, err := get(t, c, "https://r.example.com/a")
				if err != nil {
					t.Fatal(err)
				}
				if r.Status != 200 || r.Foreign != test.foreign {
					t.Errorf("status %d, foreign %v", r.Status, r.Foreign)
				}
				for i, hop := range r.Evidence.Hops {
					if hop.Authorized != (i == 0 || !test.foreign) {
						t.Errorf("hop %d: %+v", i, hop)
					}
				}
				for _, s := range w.Servers() {
					if s.Host != "r.example.com" && s.Knows(marker) {
						t.Errorf("%s knows the credential", s.Host)
					}
				}
			})
		}
	}
}

func TestP18RedirectsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		location string
		want     egress.Rule
	}{
		"to plain HTTP, same host": {"http://r.example.com/b", egress.RuleScheme},
		"to plain HTTP":            {"http://evil.com/b", egress.RuleScheme},
		"to a file":                {"file:///etc/passwd", egress.RuleScheme},
		"to javascript":            {"javascript:alert(1)", egress.RuleHost},
		"to loopback":              {"https://127.0.0.1/b", egress.RuleLoopback},
		"to loopback's other form": {"https://[::ffff:127.0.0.1]/b", egress.RuleLoopback},
		"to a metadata service":    {"https://169.254.169.254/latest/meta-data/", egress.RuleMetadata},
		"to a private address":     {"https://10.0.0.1/b", egress.RulePrivate},
		"to a name at home":        {"https://rebound.example.com/b", egress.RuleLoopback},
		"to a mail server":         {"https://evil.com:25/b", egress.RulePort},
		"with a login":             {"https://user:x@evil.com/b", egress.RuleUserinfo},
		"nowhere":                  {"", egress.RuleLocation},
		"to no address":            {"https://%zz/", egress.RuleLocation},
		"to an empty host":         {"https:///b", egress.RuleHost},
		"in circles":               {"/a", egress.RuleRedirects},
	} {
		t.Run(name, func(t *testing.T) {
			w := egresstest.New(t)
			w.Name("rebound.example.com", "127.0.0.1", "::1")
			w.HTTPS("r.example.com", routes(map[string]http.Handler{"/a": to(302, test.location)}))
			evil := w.HTTPS("evil.com", ok)
			_, err := get(t, newClient(t, w, egress.Rules{Host: "r.example.com"}), "https://r.example.com/a?secret="+url.QueryEscape(marker))
			e := fault(t, err)
			if !errors.Is(err, egress.ErrRefused) || e.Rule != test.want {
				t.Errorf("got %v (%s), want %s", err, e.Rule, test.want)
			}
			if last := e.Evidence.Last(); last.Rule != test.want || last.Text == "" {
				t.Errorf("evidence says %+v", last)
			}
			if evil.Received() != "" {
				t.Error("it was asked all the same")
			}
		})
	}
}

func TestDowngradeOfAPlainRegistry(t *testing.T) {
	w := egresstest.New(t)
	w.HTTP("r.example.com:5000", routes(map[string]http.Handler{"/a": to(302, "http://blobs.example.com/b"), "/up": to(302, "https://r.example.com:5443/down")}))
	blobs := w.HTTP("blobs.example.com", routes(map[string]http.Handler{"/b": ok}))
	w.HTTPS("r.example.com:5443", routes(map[string]http.Handler{"/down": to(302, "http://blobs.example.com/b")}))
	c := newClient(t, w, egress.Rules{Host: "r.example.com:5000", PlainHTTP: true})
	if r, err := get(t, c, "http://r.example.com:5000/a"); err != nil || !r.Foreign {
		t.Errorf("%v, %v", r, err)
	}
	if blobs.Knows(marker) {
		t.Error("the credential went along")
	}
	_, err := get(t, c, "http://r.example.com:5000/up")
	if e := fault(t, err); e.Rule != egress.RuleDowngrade {
		t.Errorf("got %v", err)
	}
}

// Bodies: a changed method would be a guess, and a body with a secret goes nowhere else.
func TestRedirectsOfUploads(t *testing.T) {
	w := egresstest.New(t)
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Method, body)
	})
	w.HTTPS("r.example.com", routes(map[string]http.Handler{"/found": to(302, "/b"), "/same": to(307, "/b"), "/other": to(307, "https://blobs.example.com/b"), "/b": echo}))
	w.HTTPS("blobs.example.com", routes(map[string]http.Handler{"/b": echo}))
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	request := func(path string) egress.Request {
		return egress.Request{Method: http.MethodPut, URL: address(t, "https://r.example.com"+path), Length: 4,
			Body: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("blob")), nil }}
	}
	for path, want := range map[string]string{"/found": "302", "/same": "200PUT blob", "/other": "200PUT blob"} {
		r, err := c.Do(t.Context(), request(path))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if got := fmt.Sprint(r.Status) + string(body); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	secret := request("/other")
	secret.SecretBody = true
	_, err := c.Do(t.Context(), secret)
	if e := fault(t, err); e.Rule != egress.RuleOrigin {
		t.Errorf("%v", err)
	}
	secret.URL = address(t, "https://blobs.example.com/b")
	_, err = c.Do(t.Context(), secret)
	if e := fault(t, err); e.Rule != egress.RuleRealm {
		t.Errorf("%v", err)
	}
}

func TestP18CredentialsAreRefusedAtTheDoor(t *testing.T) {
	w := egresstest.New(t)
	evil := w.HTTPS("evilghcr.io", ok)
	c := newClient(t, w, egress.Rules{Host: "ghcr.io"})
	_, err := get(t, c, "https://evilghcr.io/token")
	if e := fault(t, err); e.Rule != egress.RuleRealm || e.Error() != "GET https://evilghcr.io/token: refused by a rule: evilghcr.io is not a token server of ghcr.io" {
		t.Errorf("%v", err)
	}
	for _, header := range []string{"Authorization", "authorization", "Cookie", "Proxy-Authorization", "Host"} {
		_, err := c.Do(t.Context(), egress.Request{Method: "GET", URL: address(t, "https://evilghcr.io/"), Header: http.Header{header: {marker}}})
		if e := fault(t, err); e.Rule != egress.RuleHeader {
			t.Errorf("%s: %v", header, err)
		}
	}
	if evil.Received() != "" {
		t.Error("something was sent")
	}
}

func TestSameOriginIsKept(t *testing.T) {
	w := egresstest.New(t)
	w.HTTPS("r.example.com", routes(map[string]http.Handler{"/token": to(307, "/token/"), "/token/": ok, "/away": to(307, "https://evil.com/")}))
	evil := w.HTTPS("evil.com", ok)
	c := newClient(t, w, egress.Rules{Host: "r.example.com"})
	ask := func(path string) error {
		r, err := c.Do(t.Context(), egress.Request{Method: "GET", URL: address(t, "https://r.example.com"+path), Authorization: "Basic " + marker, SameOrigin: true})
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	if err := ask("/token"); err != nil {
		t.Error(err)
	}
	if e := fault(t, ask("/away")); e.Rule != egress.RuleOrigin || evil.Received() != "" {
		t.Errorf("%v", e)
	}
}
