package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// A registry that says no to anonymous callers without saying what it asks for (gcr.io's 401, Artifact Registry's 403) is
// asked at its front door. The login was never sent to such a one, and the pull failed.
func TestNoWithoutAChallengeAsksAtTheFrontDoor(t *testing.T) {
	own := "https://" + host + "/token"
	i := &issuer{realm: own, password: is(marker), public: true}
	bearer := fmt.Sprintf(`Bearer realm=%q,service="s"`, own) // without a scope, as there
	for name, test := range map[string]struct {
		status           int
		door             string // its challenge
		login, anonymous bool   // who gets in
	}{
		"401 and Bearer":               {401, bearer, true, true},
		"401 and Basic":                {401, `Basic realm="x"`, true, false},
		"403 and Bearer":               {403, bearer, true, false},
		"403 and Basic":                {403, `Basic realm="x"`, true, false},
		"401 and nothing there either": {401, "", false, false},
		"403 and another's realm":      {403, bearerAt("https://evil.com/token"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.HTTPS("evil.com", everything)
			pings := 0
			f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/token":
					i.ServeHTTP(w, r)
				case r.Header.Get("Authorization") != "":
					f.inner.ServeHTTP(w, r)
				case r.URL.Path == "/v2/":
					pings++
					challenging(test.door).ServeHTTP(w, r)
				default:
					answer(w, test.status, "")
				}
			}))
			if test.login {
				f.reads(f.client(egress.Rules{}, login(marker)))
			} else if _, err := f.client(egress.Rules{}, login(marker)).Manifest(t.Context(), repo, "v1"); err == nil || client.Refused(err) {
				t.Errorf("%v", err)
			}
			if test.login && pings != 1 {
				t.Errorf("the front door was asked %d times: what it said is remembered", pings)
			}
			if _, err := f.client(egress.Rules{}).Manifest(t.Context(), repo, "v1"); (err == nil) != test.anonymous || client.Refused(err) {
				t.Errorf("anonymous: %v", err)
			}
			f.nobodyElse(marker, host)
		})
	}
}

// A front door that breaks, or leads elsewhere, changes nothing of the answer.
func TestFrontDoorsThatAreShut(t *testing.T) {
	for name, door := range map[string]http.HandlerFunc{
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is open":  func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, "{}") },
		"leads to others": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.com/v2/")
			w.WriteHeader(307)
		},
		"has no end": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", 1<<20))) },
	} {
		f := newFixture(t)
		f.HTTPS("evil.com", challenging(`Basic realm="x"`))
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				door(w, r)
				return
			}
			answer(w, 403, `{"errors":[{"code":"DENIED","message":"Unauthenticated request."}]}`)
		}))
		_, err := f.client(egress.Rules{}, login(marker)).Manifest(t.Context(), repo, "v1")
		want := "manifest v1 of r.example.com/acme/app: r.example.com answered 403 DENIED: Unauthenticated request."
		if !errors.Is(err, oci.ErrDenied) || client.Refused(err) || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
		f.nobodyElse(marker)
	}
}

// An identity token is for token servers. A registry that takes Basic only was told to lack a login that there is.
func TestIdentityTokenAtARegistryWithoutTokenServer(t *testing.T) {
	f := newFixture(t)
	f.HTTPS(host, basic(f.inner, marker))
	_, err := f.client(egress.Rules{}, credential.New("<token>", marker, time.Time{}, []string{host})).Manifest(t.Context(), repo, "v1")
	if err == nil || client.Refused(err) || !strings.HasSuffix(err.Error(), "the login is an identity token, which is for token servers only") {
		t.Errorf("%v", err)
	}
	f.nobodyElse(marker)
}

// Of many who wait for one token that is no good, each gives it up once. With a registry that says no to every token they
// had asked for a new one each, one after the other.
func TestBadTokensAreGivenUpOnce(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://" + host + "/token", password: is(marker)}
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			i.ServeHTTP(w, r)
			return
		}
		challenging(bearerAt("https://"+host+"/token")).ServeHTTP(w, r)
	}))
	c := f.client(egress.Rules{}, login(marker))
	const callers = 100
	done := make(chan error)
	for range callers {
		go func() { _, err := c.Manifest(t.Context(), repo, "v1"); done <- err }()
	}
	for range callers {
		if err := <-done; !client.Refused(err) {
			t.Error(err)
		}
	}
	t.Logf("%d tokens", i.count())
	if n := i.count(); n > 2*callers {
		t.Errorf("%d tokens for %d calls", n, callers)
	}
}
