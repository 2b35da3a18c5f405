package jfrog_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/exchange/jfrog"
	"pierhead.dev/pierhead/exchange/jfrogtest"
	"pierhead.dev/pierhead/secret"
)

const (
	host      = "acme.jfrog.io"
	oidcPath  = "/access/api/v1/oidc/token"
	tokenPath = "/access/api/v1/tokens"
)

// A world is a JFrog platform on the small internet, an issuer, and a node with a token of it.
type world struct {
	*egresstest.World
	platform *jfrogtest.Platform
	issuer   *jfrogtest.Issuer
	dir      string
	now      time.Time
	config   jfrog.Config
	waited   []time.Duration
}

func newWorld(t *testing.T, hosts ...string) *world {
	w := &world{World: egresstest.New(t), dir: t.TempDir(), now: time.Now().Truncate(time.Second)}
	var err error
	if w.platform, err = jfrogtest.New(); err != nil {
		t.Fatal(err)
	}
	w.platform.Now = func() time.Time { return w.now }
	if w.issuer, err = jfrogtest.NewIssuer("https://issuer.example.com"); err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(w.issuer)
	t.Cleanup(keys.Close)
	w.platform.Integrate("nodes", jfrogtest.Provider{Issuer: w.issuer.Name, Audience: "jfrog", JWKS: keys.URL, Mappings: []jfrogtest.Mapping{
		{Name: "pullers", Claims: map[string]string{"sub": "node-1"}, Username: "ci-puller", Life: time.Hour},
	}})
	registry := w.platform.Registry(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "manifest") }))
	mux := http.NewServeMux()
	mux.Handle("/v2/", registry)
	mux.Handle("/", w.platform)
	for _, h := range append(hosts, host) {
		w.HTTPS(h, mux)
	}
	w.config = jfrog.Config{TokenDirs: []string{w.dir}, Now: func() time.Time { return w.now }, Wait: func(_ context.Context, d time.Duration) error { w.waited = append(w.waited, d); return nil }}
	w.give(t, "jfrog", w.issuer.Token("node-1", "jfrog", w.now, time.Hour))
	return w
}

func (w *world) give(t *testing.T, file, token string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, file), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) out(t *testing.T, to string, realms ...string) *egress.Client {
	t.Helper()
	client, err := egress.New(egress.Rules{Host: to, CA: w.CA(), Realms: realms}, w.Network())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (w *world) request(t *testing.T, to, text string) exchange.Request {
	return exchange.Request{Host: to, Repository: "docker-local/app", Secret: secret.NewValue([]byte(text)), Out: w.out(t, to)}
}

// opens asks the registry for a manifest with the login: what came out is worth what a pull says.
func (w *world) opens(t *testing.T, c credential.Credential, to string) bool {
	t.Helper()
	request, _ := http.NewRequest(http.MethodGet, "https://"+to+"/v2/docker-local/app/manifests/1", nil)
	answer, err := w.out(t, to).Do(t.Context(), egress.Request{Method: http.MethodGet, URL: request.URL,
		Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username()+":"+c.Password()))})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.Status == http.StatusOK && string(text) == "manifest"
}

func (w *world) secrets(t *testing.T) []string {
	token, _ := os.ReadFile(filepath.Join(w.dir, "jfrog"))
	return append(w.platform.Secrets(), strings.TrimSpace(string(token)))
}

const oidcSecret = `{"oidc_provider":"nodes","server":"acme.jfrog.io"}`

func TestContract(t *testing.T) {
	w := newWorld(t)
	access, refresh := w.platform.Token("ada", time.Hour)
	for name, text := range map[string]string{
		"a password":                   `{"username":"ada","password":"hunter2hunter2","server":"acme.jfrog.io"}`,
		"an access token":              `{"username":"ada","password":"` + access + `","server":"acme.jfrog.io"}`,
		"an access token without name": `{"password":"` + access + `","server":"acme.jfrog.io"}`,
		"an access token by its key":   `{"access_token":"` + access + `","server":"https://acme.jfrog.io/"}`,
		"auths":                        `{"auths":{"acme.jfrog.io":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ada:"+access)) + `"}}}`,
		"tokens that are refreshed":    `{"access_token":"` + access + `","refresh_token":"` + refresh + `","server":"acme.jfrog.io"}`,
		"OIDC":                         oidcSecret,
	} {
		t.Run(name, func(t *testing.T) {
			r := w.request(t, host, text)
			exchangetest.Test(t, exchangetest.Subject{Exchanger: jfrog.New(w.config), Good: r, Secrets: append(w.secrets(t), "hunter2hunter2")})
			c, err := jfrog.New(w.config).Exchange(t.Context(), r)
			if err != nil || len(c.Hosts()) != 1 || (name != "a password" && !w.opens(t, c, host)) {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

// Without server it is for the literal hosts of match, on hosts of one's own too; with a glob for nobody.
func TestV4OwnHosts(t *testing.T) {
	w := newWorld(t, "artifactory.example.com:8443", "docker-local.artifactory.example.com")
	for to, file := range map[string]string{"artifactory.example.com:8443": "artifactory.example.com_8443", "docker-local.artifactory.example.com": "docker-local.artifactory.example.com"} {
		r := w.request(t, to, `{"oidc_provider":"nodes"}`)
		if _, err := jfrog.New(w.config).Exchange(t.Context(), r); !errors.Is(err, exchange.ErrContent) {
			t.Errorf("%s without match: %v", to, err)
		}
		r.Hosts = []string{to}
		_, err := jfrog.New(w.config).Exchange(t.Context(), r)
		if !errors.Is(err, exchange.ErrNoIdentity) || !strings.Contains(exchange.HintOf(err), file) || strings.Contains(exchange.HintOf(err), "or jfrog") {
			t.Errorf("%s without a file for it: %v (%s)", to, err, exchange.HintOf(err))
		}
		w.give(t, file, w.issuer.Token("node-1", "jfrog", w.now, time.Hour))
		if c, err := jfrog.New(w.config).Exchange(t.Context(), r); err != nil || !w.opens(t, c, to) {
			t.Errorf("%s: %v, %v", to, c, err)
		}
	}
}

// Where the registry's host has no API, another address is asked only when an admin has confirmed its host.
func TestV4PlatformAtAnotherHost(t *testing.T) {
	w := newWorld(t)
	const sub = "docker-local.example.com"
	w.HTTPS(sub, http.NotFoundHandler())
	w.give(t, sub, w.issuer.Token("node-1", "jfrog", w.now, time.Hour))
	r := w.request(t, sub, `{"oidc_provider":"nodes","server":"docker-local.example.com"}`)
	_, err := jfrog.New(w.config).Exchange(t.Context(), r)
	if !errors.Is(err, exchange.ErrRefused) || !strings.Contains(exchange.HintOf(err), `add "url"`) {
		t.Errorf("%v", err)
	}
	r.Secret = secret.NewValue([]byte(`{"oidc_provider":"nodes","server":"docker-local.example.com","url":"https://acme.jfrog.io"}`))
	_, err = jfrog.New(w.config).Exchange(t.Context(), r)
	if !errors.Is(err, exchange.ErrHostMismatch) || w.platform.Calls(oidcPath) != 0 {
		t.Errorf("%v, %d calls", err, w.platform.Calls(oidcPath))
	}
	r.Out = w.out(t, sub, host)
	if c, err := jfrog.New(w.config).Exchange(t.Context(), r); err != nil || !c.For(sub) || c.For(host) || !w.opens(t, c, host) {
		t.Errorf("%v, %v", c, err)
	}
}

func TestOIDCRefusals(t *testing.T) {
	w := newWorld(t)
	stranger, err := jfrogtest.NewIssuer(w.issuer.Name)
	if err != nil {
		t.Fatal(err)
	}
	good := w.issuer.Token("node-1", "jfrog", w.now, time.Hour)
	for name, c := range map[string]struct{ token, secret, text string }{
		"another key":         {stranger.Token("node-1", "jfrog", w.now, time.Hour), oidcSecret, "invalid signature"},
		"another audience":    {w.issuer.Token("node-1", "sts.amazonaws.com", w.now, time.Hour), oidcSecret, "aud"},
		"ended":               {w.issuer.Token("node-1", "jfrog", w.now.Add(-2*time.Hour), time.Hour), oidcSecret, "exp"},
		"another subject":     {w.issuer.Token("node-2", "jfrog", w.now, time.Hour), oidcSecret, "no identity mapping"},
		"unknown provider":    {good, `{"oidc_provider":"others","server":"acme.jfrog.io"}`, "provider not found"},
		"unknown mapping":     {good, `{"oidc_provider":"nodes","identity_mapping_name":"x","server":"acme.jfrog.io"}`, "no identity mapping"},
		"no token of anybody": {"nonsense", oidcSecret, "not a signed token"},
	} {
		w.give(t, "jfrog", c.token)
		_, err := jfrog.New(w.config).Exchange(t.Context(), w.request(t, host, c.secret))
		if !errors.Is(err, exchange.ErrRefused) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), host) || exchange.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		exchangetest.Silent(t, err, w.secrets(t)...)
	}
	if len(w.waited) != 0 {
		t.Errorf("a refusal was waited on: %v", w.waited)
	}
}

func TestOIDCExpiryAndName(t *testing.T) {
	w := newWorld(t)
	w.platform.WithoutUsername()
	c, err := jfrog.New(w.config).Exchange(t.Context(), w.request(t, host, oidcSecret))
	if err != nil || c.Username() != "ci-puller" || !c.Expires().Equal(w.now.Add(time.Hour)) {
		t.Errorf("%v, %v", c, err)
	}
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	status := func(code int, after string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			rw.Header().Set("Retry-After", after)
			rw.WriteHeader(code)
			fmt.Fprintf(rw, `{"errors":[{"message":%q}]}`, "echo: "+string(body))
		}
	}
	write := func(text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, text) }
	}
	for name, c := range map[string]struct {
		times  int
		answer http.HandlerFunc
		text   string // "" when it is got over
		calls  int
	}{
		"throttled":           {2, status(429, "1"), "", 3},
		"throttled for good":  {9, status(429, "1"), "throttling", 3},
		"throttled long":      {9, status(429, "3600"), "throttling", 1},
		"in trouble":          {2, status(503, ""), "", 3},
		"in trouble for good": {9, status(500, ""), "in trouble", 3},
		"broken off":          {9, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cannot be asked", 3},
		"garbled":             {9, write(`{"access_token":`), "no token of JFrog's", 1},
		"a web page":          {9, write(`<html>`), "no token of JFrog's", 1},
		"a token of control":  {9, write(`{"access_token":"a\u0000b","username":"ada"}`), "no token of JFrog's", 1},
		"nobody's token":      {9, write(`{"access_token":"abc","username":""}`), "no token of JFrog's", 1},
		"endless":             {9, write(`{"access_token":"` + strings.Repeat("x", 1<<20)), "cannot be asked", 1},
		"to another host": {9, func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://evil.example.com/", http.StatusTemporaryRedirect)
		}, "cannot be asked", 1},
	} {
		before := w.platform.Calls(oidcPath)
		w.platform.Fault(c.times, c.answer)
		_, err := jfrog.New(w.config).Exchange(t.Context(), w.request(t, host, oidcSecret))
		if (c.text == "") != (err == nil) || err != nil && (!errors.Is(err, exchange.ErrUnreachable) || !strings.Contains(err.Error(), c.text) || exchange.HintOf(err) == "") {
			t.Errorf("%s: %v", name, err)
		}
		if calls := w.platform.Calls(oidcPath) - before; calls < c.calls || calls > c.calls+c.calls { // a connection that broke may be tried anew below
			t.Errorf("%s: %d calls, want %d", name, calls, c.calls)
		}
		exchangetest.Silent(t, err, w.secrets(t)...)
	}
	var whole time.Duration
	for _, d := range w.waited {
		if whole += d; d <= 0 || d > 10*time.Second {
			t.Errorf("waited %v", d)
		}
	}
}

// refreshSecret is a pair of tokens as they were made.
func refreshSecret(access, refresh string) string {
	return fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"server":"acme.jfrog.io"}`, access, refresh)
}

func TestRefreshAtHalfLife(t *testing.T) {
	w := newWorld(t)
	access, refresh := w.platform.Token("ada", time.Hour)
	e := jfrog.New(w.config)
	ask := func() credential.Credential {
		t.Helper()
		c, err := e.Exchange(t.Context(), w.request(t, host, refreshSecret(access, refresh)))
		if err != nil || c.Username() != "ada" || !w.opens(t, c, host) {
			t.Fatalf("%v, %v", c, err)
		}
		return c
	}
	if c := ask(); c.Password() != access || !c.Expires().Equal(w.now.Add(time.Hour)) || w.platform.Calls(tokenPath) != 0 {
		t.Errorf("the first token is good and was not used: %v", c)
	}
	for i := range 10 { // five hours, each time with what the last refresh brought
		w.now = w.now.Add(31 * time.Minute)
		if c := ask(); c.Password() == access || w.platform.Calls(tokenPath) != i+1 || !c.Expires().Equal(w.now.Add(time.Hour)) {
			t.Errorf("round %d: %v after %d calls", i, c, w.platform.Calls(tokenPath))
		}
		ask()
	}
}

func TestRefreshOnceForAll(t *testing.T) {
	w := newWorld(t)
	access, refresh := w.platform.Token("ada", time.Hour)
	w.now = w.now.Add(40 * time.Minute)
	e := jfrog.New(w.config)
	var group sync.WaitGroup
	r := w.request(t, host, refreshSecret(access, refresh))
	for range 1000 {
		group.Go(func() {
			if _, err := e.Exchange(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.platform.Calls(tokenPath); n != 1 {
		t.Errorf("%d refreshes for a thousand", n)
	}
}

// A refresh that fails does not take away the token that still lives; once that has ended, the failure is the answer.
func TestRefreshFails(t *testing.T) {
	w := newWorld(t)
	access, refresh := w.platform.Token("ada", time.Hour)
	e := jfrog.New(w.config)
	r := w.request(t, host, refreshSecret(access, refresh))
	w.now = w.now.Add(40 * time.Minute)
	w.platform.Fault(3, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) })
	if c, err := e.Exchange(t.Context(), r); err != nil || c.Password() != access {
		t.Errorf("%v, %v", c, err)
	}
	w.now = w.now.Add(time.Hour)
	_, err := e.Exchange(t.Context(), r)
	if !errors.Is(err, exchange.ErrRefused) || !strings.Contains(exchange.HintOf(err), "good for one use") {
		t.Errorf("%v", err)
	}
	exchangetest.Silent(t, err, w.secrets(t)...)
	// One that was used elsewhere.
	access, refresh = w.platform.Token("ada", time.Hour)
	w.now = w.now.Add(40 * time.Minute)
	if _, err := jfrog.New(w.config).Exchange(t.Context(), w.request(t, host, refreshSecret(access, refresh))); err != nil {
		t.Fatal(err)
	}
	if c, err := jfrog.New(w.config).Exchange(t.Context(), w.request(t, host, refreshSecret(access, refresh))); err != nil || c.Password() != access {
		t.Errorf("its access token lives: %v, %v", c, err)
	}
}

func TestContents(t *testing.T) {
	w := newWorld(t)
	access, refresh := w.platform.Token("ada", time.Hour)
	for _, text := range []string{
		`{"password":"cmVmdGtuOjAxOjAwMDA6aHVudGVyMg","server":"acme.jfrog.io"}`, `{"password":"` + access + `","access_token":"` + access + `","server":"acme.jfrog.io"}`,
		`{"refresh_token":"` + refresh + `","server":"acme.jfrog.io"}`, `{"access_token":"` + access + `","refresh_token":"","server":"acme.jfrog.io"}`,
		`{"oidc_provider":"","server":"acme.jfrog.io"}`, `{"oidc_provider":"nodes","password":"` + access + `","server":"acme.jfrog.io"}`, `{"oidc_provider":7,"server":"acme.jfrog.io"}`,
		`{"oidc_provider":"nodes","server":"acme.jfrog.io","url":"ftp://x"}`, `{"oidc_provider":"nodes","server":"acme.jfrog.io","url":"https://u:p@acme.jfrog.io"}`,
		`{"access_token":"x","surprise":"` + access + `"}`, `{"username":"ada","password":"ghp_hunter2hunter2hunter2","server":"acme.jfrog.io"}`, `{"server":"acme.jfrog.io"}`, `nonsense`,
	} {
		_, err := jfrog.New(w.config).Exchange(t.Context(), w.request(t, host, text))
		if !errors.Is(err, exchange.ErrContent) && !errors.Is(err, exchange.ErrHostMismatch) || exchange.HintOf(err) == "" {
			t.Errorf("%s: %v", strings.ReplaceAll(text, access, "…"), err)
		}
		exchangetest.Silent(t, err, w.secrets(t)...)
	}
	if n := w.platform.Calls(oidcPath) + w.platform.Calls(tokenPath); n != 0 {
		t.Errorf("%d calls with secrets that cannot be used", n)
	}
}

func FuzzSecret(f *testing.F) {
	for _, text := range []string{oidcSecret, refreshSecret("a.b.c", "r"), `{"password":"eyJ.e30.x"}`, `{"access_token":"eyJ.eyJzdWIiOiJqZmFjQDAxL3VzZXJzL2FkYSJ9.x"}`, `{"auths":{}}`} {
		f.Add([]byte(text))
	}
	e := jfrog.New(jfrog.Config{})
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := e.Exchange(t.Context(), exchange.Request{Host: host, Hosts: []string{host}, Secret: secret.NewValue(text)})
		if err == nil && (!c.For(host) || len(c.Hosts()) != 1 || strings.ContainsAny(c.Username(), ":\n\x00")) {
			t.Errorf("%v", c)
		}
	})
}
