package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

func TestAnonymousBasicAndBearer(t *testing.T) {
	own := "https://" + host + "/token"
	for name, test := range map[string]struct {
		handler func(f *fixture) http.Handler
		logins  []credential.Credential
	}{
		"anonymous":          {func(f *fixture) http.Handler { return f.inner }, nil},
		"a login not needed": {func(f *fixture) http.Handler { return f.inner }, []credential.Credential{login("p")}},
		"basic":              {func(f *fixture) http.Handler { return basic(f.inner, "p") }, []credential.Credential{login("p")}},
		"bearer":             {func(f *fixture) http.Handler { return withToken(&issuer{realm: own, password: is("p")}, f.inner) }, []credential.Credential{login("p")}},
		"bearer, anonymous":  {func(f *fixture) http.Handler { return withToken(&issuer{realm: own, public: true}, f.inner) }, nil},
		"an empty login":     {func(f *fixture) http.Handler { return withToken(&issuer{realm: own, public: true}, f.inner) }, []credential.Credential{{}}},
		"access_token": {func(f *fixture) http.Handler {
			return withToken(&issuer{realm: own, public: true, field: "access_token"}, f.inner)
		}, nil},
		"a refresh token":     {func(f *fixture) http.Handler { return withToken(&issuer{realm: own, password: is("r")}, f.inner) }, []credential.Credential{credential.New("<token>", "r", time.Time{}, []string{host})}},
		"renewed while basic": {func(f *fixture) http.Handler { return basic(f.inner, "new") }, []credential.Credential{login("old"), login("new")}},
		"renewed for a token": {func(f *fixture) http.Handler { return withToken(&issuer{realm: own, password: is("new")}, f.inner) }, []credential.Credential{login("old"), login("new")}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.HTTPS(host, test.handler(f))
			f.reads(f.client(egress.Rules{}, test.logins...))
		})
	}
}

func TestPlainHTTP(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "http://" + host + ":5000/token", password: is("p")}
	f.HTTP(host+":5000", withToken(i, f.inner))
	f.reads(f.client(egress.Rules{Host: host + ":5000", PlainHTTP: true}, login("p", host+":5000")))
}

// FACTS B1: what a token server is asked, and that a registry's name for Docker Hub is one.
func TestTokenRequest(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://auth.docker.io/token?keep=this", password: is(marker)}
	f.HTTPS("auth.docker.io", i)
	f.HTTPS("registry-1.docker.io", i.protect(f.inner))
	f.reads(f.client(egress.Rules{Host: "registry-1.docker.io"}, login(marker, "docker.io")))
	if i.count() != 1 {
		t.Errorf("%d tokens", i.count())
	}
	r := i.requests[0]
	want := "account=ci&client_id=pierhead&keep=this&scope=repository%3Aacme%2Fapp%3Apull&service=registry.test"
	if r.Method != "GET" || r.URL.RawQuery != want || r.Header.Get("Authorization") == "" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	f.nobodyElse(marker, "auth.docker.io")
	// A refresh token is posted, in one field each.
	p := &issuer{realm: "https://" + host + "/token", password: is("refresh")}
	f.HTTPS(host, withToken(p, f.inner))
	f.reads(f.client(egress.Rules{}, credential.New("<token>", "refresh", time.Time{}, []string{host})))
	post := p.requests[0]
	if post.Method != "POST" || post.Header.Get("Authorization") != "" || post.PostForm.Encode() != "client_id=pierhead&grant_type=refresh_token&refresh_token=refresh&scope=repository%3Aacme%2Fapp%3Apull&service=registry.test" || post.URL.RawQuery != "" {
		t.Errorf("%s %s %s", post.Method, post.URL, post.PostForm.Encode())
	}
}

// FACTS B1.9: the expiry that came back counts, from our receipt; 60 seconds without one.
func TestP3TokensAreKeptUntilHalfTheirLife(t *testing.T) {
	for expires, half := range map[string]time.Duration{
		"": 30 * time.Second, "300": 150 * time.Second, `"300"`: 150 * time.Second, "20": 10 * time.Second, "0": 30 * time.Second, "-5": 30 * time.Second, "null": 30 * time.Second, "1e99": 12 * time.Hour, `"x"`: 30 * time.Second,
	} {
		t.Run(expires, func(t *testing.T) {
			f := newFixture(t)
			i := &issuer{realm: "https://" + host + "/token", password: is("p"), expires: expires}
			f.HTTPS(host, withToken(i, f.inner))
			c := f.client(egress.Rules{}, login("p"))
			f.reads(c)
			f.pass(half - time.Second)
			f.reads(c)
			if i.count() != 1 {
				t.Errorf("%d tokens before half life", i.count())
			}
			f.pass(2 * time.Second)
			f.reads(c)
			if i.count() != 2 {
				t.Errorf("%d tokens after half life", i.count())
			}
		})
	}
}

func TestP5OneTokenForAllWhoWait(t *testing.T) {
	f := newFixture(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	i := &issuer{realm: "https://" + host + "/token", password: is("p")}
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			close(begun) // twice is a panic, and a broken connection
			<-finish
		}
		withToken(i, f.inner).ServeHTTP(w, r)
	}))
	c := f.client(egress.Rules{}, login("p"))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { _, err := c.Manifest(ctx, repo, "v1"); left <- err }()
	<-begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Manifest(t.Context(), repo, "v1"); err != nil {
				t.Errorf("who stayed: %v", err)
			}
		})
	}
	close(finish)
	all.Wait()
	if i.count() != 1 {
		t.Errorf("%d tokens", i.count())
	}
}

// One renewal and one retry, of the token first, then of the login (DESIGN, "Refresh that survives").
func TestP3OneRenewal(t *testing.T) {
	own := "https://" + host + "/token"
	t.Run("a token that was withdrawn", func(t *testing.T) {
		f := newFixture(t)
		i := &issuer{realm: own, password: is("p")}
		f.HTTPS(host, withToken(i, f.inner))
		c := f.client(egress.Rules{}, login("p"))
		f.reads(c)
		i.revoke()
		f.reads(c)
		if i.count() != 2 || strings.Contains(fmt.Sprint(f.took()), "instead") {
			t.Errorf("%d tokens, logins %q", i.count(), f.took())
		}
	})
	t.Run("ECR's 403", func(t *testing.T) {
		f := newFixture(t)
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch _, password, _ := r.BasicAuth(); password {
			case "new":
				f.inner.ServeHTTP(w, r)
			case "old":
				answer(w, 403, `{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}`)
			default:
				basic(nil).ServeHTTP(w, r)
			}
		}))
		f.reads(f.client(egress.Rules{}, login("old"), login("new")))
		if n := strings.Count(fmt.Sprint(f.took()), "instead of old"); n != 1 {
			t.Errorf("logins %q", f.took())
		}
	})
	t.Run("ECR Public's 400", func(t *testing.T) {
		f := newFixture(t)
		const public = "public.ecr.aws"
		i := &issuer{realm: "https://" + public + "/token", password: is("p")}
		f.HTTPS(public, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if token := r.Header.Get("Authorization"); strings.HasPrefix(token, "Bearer ") {
				i.mu.Lock()
				good := i.tokens[strings.TrimPrefix(token, "Bearer ")]
				i.mu.Unlock()
				if !good {
					answer(w, 400, "")
					return
				}
			}
			withToken(i, f.inner).ServeHTTP(w, r)
		}))
		c := f.client(egress.Rules{Host: public}, login("p", public))
		f.reads(c)
		i.revoke()
		f.reads(c)
		if i.count() != 2 {
			t.Errorf("%d tokens", i.count())
		}
	})
	t.Run("never more than one", func(t *testing.T) {
		for name, handler := range map[string]func(http.ResponseWriter, *http.Request){
			"always 401 basic":  func(w http.ResponseWriter, r *http.Request) { basic(nil).ServeHTTP(w, r) },
			"always 401 bearer": func(w http.ResponseWriter, r *http.Request) { (&issuer{realm: own}).protect(nil).ServeHTTP(w, r) },
			"always expired":    func(w http.ResponseWriter, r *http.Request) { answer(w, 403, "expired") },
			"always another realm": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s?%d"`, own, time.Now().UnixNano()))
				w.WriteHeader(401)
			},
		} {
			f := newFixture(t)
			requests := 0
			i := &issuer{realm: own, password: func(string) bool { return true }}
			f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				if r.URL.Path == "/token" {
					i.ServeHTTP(w, r)
				} else if r.Header.Get("Authorization") == "" {
					basic(nil).ServeHTTP(w, r)
				} else {
					handler(w, r)
				}
			}))
			_, err := f.client(egress.Rules{}, login("1"), login("2"), login("3"), login("4")).Manifest(t.Context(), repo, "v1")
			if !client.Refused(err) || requests > 8 || strings.Count(fmt.Sprint(f.took()), "instead of") > 1 || len(f.sleeps()) > 0 {
				t.Errorf("%s: %v after %d requests, logins %q", name, err, requests, f.took())
			}
		}
	})
}

// A renewal that fails is no refusal of the login: it may have been good.
func TestRenewalThatFails(t *testing.T) {
	f := newFixture(t)
	f.HTTPS(host, basic(f.inner, "p"))
	unreachable := errors.New("the vault is sealed")
	c, err := client.New(client.Config{Rules: egress.Rules{Host: host, CA: f.CA()}, Network: f.Network(), Credentials: credentials(func(stale *credential.Credential) (credential.Credential, error) {
		if stale != nil {
			return credential.Credential{}, unreachable
		}
		return login("old"), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Manifest(t.Context(), repo, "v1")
	if !errors.Is(err, unreachable) || client.Refused(err) {
		t.Errorf("%v", err)
	}
}

type credentials func(stale *credential.Credential) (credential.Credential, error)

func (c credentials) Credential(_ context.Context, stale *credential.Credential) (credential.Credential, error) {
	return c(stale)
}

// What the broker's falling back rests on: whether a login was sent and answered with no, and by whom.
func TestP2RefusedOrNot(t *testing.T) {
	own := "https://" + host + "/token"
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { answer(w, code, body) }
	}
	guarded := func(f *fixture, token, registry http.HandlerFunc) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/token":
				token(w, r)
			case r.Header.Get("Authorization") == "":
				(&issuer{realm: own}).protect(nil).ServeHTTP(w, r)
			default:
				registry(w, r)
			}
		})
	}
	token := status(200, `{"token":"x"}`)
	for name, test := range map[string]struct {
		token, registry http.HandlerFunc
		anonymous       bool
		refused         bool
		place           client.Place
		kind            error
	}{
		"wrong password (Hub)":           {status(401, `{"details":"incorrect username or password"}`), nil, false, true, client.PlaceTokenServer, oci.ErrUnauthorized},
		"dead PAT (GHCR)":                {status(403, `denied`), nil, false, true, client.PlaceTokenServer, oci.ErrDenied},
		"no login, token server":         {status(401, ``), nil, true, false, client.PlaceTokenServer, oci.ErrUnauthorized},
		"token server has no such page":  {status(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), nil, false, false, client.PlaceTokenServer, oci.ErrUnavailable},
		"token server is ill":            {status(503, ``), nil, false, false, client.PlaceTokenServer, oci.ErrUnavailable},
		"token server counts":            {status(429, ``), nil, false, false, client.PlaceTokenServer, oci.ErrTooManyRequests},
		"no token in it":                 {status(200, `{}`), nil, false, false, client.PlaceTokenServer, oci.ErrUnavailable},
		"no right, with login":           {token, status(403, `{"errors":[{"code":"DENIED","message":"no"}]}`), false, true, client.PlaceRegistry, oci.ErrDenied},
		"no right, without":              {token, status(403, `{"errors":[{"code":"DENIED","message":"no"}]}`), true, false, client.PlaceRegistry, oci.ErrDenied},
		"401 with login":                 {token, status(401, ``), false, true, client.PlaceRegistry, oci.ErrUnauthorized},
		"401 without":                    {token, status(401, ``), true, false, client.PlaceRegistry, oci.ErrUnauthorized},
		"404 with login":                 {token, status(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), false, false, client.PlaceRegistry, oci.ErrManifestUnknown},
		"404, the repository":            {token, status(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), false, false, client.PlaceRegistry, oci.ErrNameUnknown},
		"404 without a body":             {token, status(404, ``), false, false, client.PlaceRegistry, oci.ErrManifestUnknown},
		"429 with login":                 {token, status(429, ``), false, false, client.PlaceRegistry, oci.ErrTooManyRequests},
		"500 with a code of 404":         {token, status(500, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), false, false, client.PlaceRegistry, oci.ErrUnavailable},
		"405":                            {token, status(405, ``), false, false, client.PlaceRegistry, oci.ErrUnsupported},
		"400 of a registry like others":  {token, status(400, ``), false, false, client.PlaceRegistry, nil},
		"402 nobody knows what it means": {token, status(402, ``), false, false, client.PlaceRegistry, nil},
		"an unfollowed 300":              {token, status(300, ``), false, false, client.PlaceRegistry, nil},
		"a challenge that is none of its": {token, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(401)
		}, false, true, client.PlaceRegistry, oci.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.HTTPS(host, guarded(f, test.token, test.registry))
			var logins []credential.Credential
			if !test.anonymous {
				logins = append(logins, login(marker))
			}
			_, err := f.client(egress.Rules{}, logins...).Manifest(t.Context(), repo, "v1")
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			if client.Refused(err) != test.refused || e.Place != test.place || e.Host != host || test.kind != nil && !errors.Is(err, test.kind) {
				t.Errorf("refused %v, place %s, host %s: %v", client.Refused(err), e.Place, e.Host, err)
			}
			if test.kind == nil && len(e.Unwrap()) > 0 {
				t.Errorf("%v is one of oci's", e.Unwrap())
			}
			if last := e.Evidence.Last(); last.Status != e.Status && e.Status != 0 || last.Host != host {
				t.Errorf("%+v", last)
			}
		})
	}
	for _, err := range []error{nil, errors.New("x"), &client.Error{}, fmt.Errorf("%w", &client.Error{Status: 401})} {
		if client.Refused(err) || client.Withheld(err) {
			t.Errorf("%v", err)
		}
	}
}

// A refresh token that is over is refused with OAuth's words and 400.
func TestP2InvalidGrant(t *testing.T) {
	f := newFixture(t)
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			answer(w, 400, `{"error":"invalid_grant","error_description":"the refresh token has expired"}`)
			return
		}
		(&issuer{realm: "https://" + host + "/token"}).protect(nil).ServeHTTP(w, r)
	}))
	_, err := f.client(egress.Rules{}, credential.New("<token>", marker, time.Time{}, []string{host})).Manifest(t.Context(), repo, "v1")
	want := "token for manifest v1 of r.example.com/acme/app: the token server r.example.com answered 400 invalid_grant: the refresh token has expired"
	if !client.Refused(err) || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// The client does not send a login to a host that it is not for, whoever chose it.
func TestP18LoginsOfOthers(t *testing.T) {
	f := newFixture(t)
	f.HTTPS(host, basic(f.inner, marker))
	_, err := f.client(egress.Rules{}, login(marker, "ghcr.io")).Manifest(t.Context(), repo, "v1")
	if err == nil || client.Refused(err) || !strings.Contains(err.Error(), "the login is for ghcr.io and not for r.example.com") {
		t.Errorf("%v", err)
	}
	f.nobodyElse(marker)
}

// A token server's text for people arrives, one line and without what we sent.
func TestErrorsForPeople(t *testing.T) {
	f := newFixture(t)
	var got []string
	for _, body := range []string{
		`{"errors":[{"code":"DENIED","message":"User: arn:aws:sts::1:x is not authorized to perform: ecr:BatchGetImage"}]}`,
		"Not Authorized\r\n\x1b[31m", `{"message":"ci:` + marker + ` is wrong"}`, "<html><body>Sign in</body></html>",
		`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, "", `[]`,
	} {
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				basic(nil).ServeHTTP(w, r)
				return
			}
			answer(w, 403, body)
		}))
		c := f.client(egress.Rules{}, login(marker))
		_, err := c.Manifest(t.Context(), repo, "v1")
		c.Close()
		got = append(got, strings.TrimPrefix(err.Error(), "manifest v1 of r.example.com/acme/app: r.example.com answered 403"))
	}
	want := []string{
		" DENIED: User: arn:aws:sts::1:x is not authorized to perform: ecr:BatchGetImage", ": Not Authorized   [31m", ": ci:[hidden] is wrong", ": (a web page)", " AccessDenied: Access Denied", "", ": []",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// A login that was good enough for a token is not renewed because the token opens too little (Docker Hub's answer for a
// repository that is private or missing).
func TestInsufficientScopeRenewsNothing(t *testing.T) {
	f := newFixture(t)
	i := &issuer{realm: "https://" + host + "/token", password: is("p")}
	f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			i.ServeHTTP(w, r)
			i.mu.Lock()
			for token := range i.tokens {
				i.tokens[token] = false
			}
			i.mu.Unlock()
			return
		}
		i.protect(nil).ServeHTTP(w, r)
	}))
	_, err := f.client(egress.Rules{}, login("p"), login("q")).Manifest(t.Context(), repo, "v1")
	if !client.Refused(err) || !errors.Is(err, oci.ErrUnauthorized) || strings.Contains(fmt.Sprint(f.took()), "instead") || i.count() != 1 {
		t.Errorf("%v; %d tokens, logins %q", err, i.count(), f.took())
	}
}
