package vault_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/vault"
	"pierhead.dev/pierhead/secret/vaulttest"
)

const marker = "hunter2"

// A world is a Vault of vaulttest behind a server, and a clock for both sides.
type world struct {
	*vaulttest.Fake
	server *httptest.Server
	mu     sync.Mutex
	now    time.Time
}

func newWorld(t *testing.T) *world {
	fake, err := vaulttest.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Fake: fake, now: time.Now().Truncate(time.Second)}
	fake.Now = w.clock
	w.server = httptest.NewServer(fake)
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// source is one that lives by the world's clock.
func (w *world) source(t *testing.T, c vault.Config) *vault.Source {
	c.Now = w.clock
	if c.Address == "" {
		c.Address = w.server.URL
	}
	return vaulttest.Source(t, c)
}

func (w *world) Address() string                           { return w.server.URL }
func (w *world) Enable(_ *testing.T, mount string, kv int) { w.Fake.Enable(mount, kv) }
func (w *world) Put(_ *testing.T, mount, path string, data map[string]any) {
	w.Fake.Put(mount, path, data)
}
func (w *world) Delete(_ *testing.T, mount, path string, n int)  { w.Fake.Delete(mount, path, n) }
func (w *world) Destroy(_ *testing.T, mount, path string, n int) { w.Fake.Destroy(mount, path, n) }
func (w *world) Token(_ *testing.T, life time.Duration, paths ...string) string {
	return w.Fake.Token(life, 0, true, paths...)
}
func (w *world) Revoke(_ *testing.T, token string) { w.Fake.Revoke(token) }
func (w *world) AppRole(_ *testing.T, life time.Duration, paths ...string) (string, string) {
	return w.Fake.AppRole(life, 0, paths...)
}
func (w *world) JWTRole(_ *testing.T, role, subject, audience string, paths ...string) {
	w.Role("jwt", role, subject, audience, time.Hour, paths...)
}
func (w *world) JWT(subject, audience string) string { return w.Fake.JWT(subject, audience, time.Hour) }

func (w *world) AWS(_ *testing.T, sts http.Handler, role, arn, serverID string, paths ...string) {
	w.STS, w.ServerID = sts, serverID
	w.Role("aws", role, arn, "", time.Hour, paths...)
}

func TestConformance(t *testing.T) { vaulttest.Test(t, newWorld(t)) }

func (w *world) app(t *testing.T) {
	w.Fake.Enable("secret", 2)
	w.Put(t, "secret", "app", map[string]any{"password": marker})
}

const app = "vault:secret/app#password"

func (w *world) reads(t *testing.T, s *vault.Source) {
	t.Helper()
	if value, err := s.Get(t.Context(), vaulttest.Ref(t, app)); err != nil || string(value.Reveal()) != marker {
		t.Errorf("%v (%s)", err, secret.HintOf(err))
	}
}

func silent(t *testing.T, w *world, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, secret.HintOf(err))
	for _, s := range w.Secrets() {
		if strings.Contains(text, s) {
			t.Errorf("a secret is in the error: %s", strings.ReplaceAll(text, s, "LEAK"))
		}
	}
}

func TestI7KubernetesLogin(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	w.Role("kubernetes", "pierhead", "system:serviceaccount:pierhead:agent", "vault", time.Hour, "secret/data/app")
	file := vaulttest.File(t, w.JWT("system:serviceaccount:pierhead:agent", "vault"))
	w.reads(t, w.source(t, vault.Config{Auth: vault.AuthKubernetes, Role: "pierhead", JWTFile: file}))
	other := vaulttest.File(t, w.JWT("system:serviceaccount:pierhead:other", "vault"))
	err := vaulttest.Expect(t, w.source(t, vault.Config{Auth: vault.AuthKubernetes, Role: "pierhead", JWTFile: other}), app, secret.ErrNotAllowed, "does not let this node log in at auth/kubernetes as role pierhead")
	silent(t, w, err)
}

// A login is renewed before it ends, and made anew where it cannot be renewed any longer.
func TestTokensAreRenewed(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	role, id := w.Fake.AppRole(time.Hour, 3*time.Hour, "secret/data/app")
	s := w.source(t, vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: vaulttest.File(t, id)})
	for range 60 { // twenty hours
		w.reads(t, s)
		w.pass(20 * time.Minute)
	}
	logins, renewals := w.Calls("auth/approle/login"), w.Calls("auth/token/renew-self")
	if logins < 6 || logins > 10 || renewals < 10 {
		t.Errorf("%d logins and %d renewals", logins, renewals)
	}
	w.pass(100 * time.Hour) // asleep for longer than any token lives
	w.reads(t, s)
}

// A token that lives goes on where neither a renewal nor a login succeeds, until its end.
func TestLivingTokenOutlastsALoginThatFails(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	role, id := w.Fake.AppRole(time.Hour, time.Hour, "secret/data/app")
	file := vaulttest.File(t, id)
	s := w.source(t, vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: file})
	w.reads(t, s)
	if err := os.WriteFile(file, []byte("used up"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.pass(55 * time.Minute)
	w.reads(t, s)
	w.pass(10 * time.Minute)
	vaulttest.Expect(t, s, app, secret.ErrNotAllowed, "invalid role or secret ID")
}

func TestGivenTokenIsRenewed(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	s := w.source(t, vault.Config{Token: w.Fake.Token(time.Hour, 0, true, "secret/data/app")})
	for range 30 {
		w.reads(t, s)
		w.pass(50 * time.Minute)
	}
	s = w.source(t, vault.Config{Token: w.Fake.Token(time.Hour, 0, false, "secret/data/app")})
	w.reads(t, s)
	w.pass(2 * time.Hour)
	silent(t, w, vaulttest.Expect(t, s, app, secret.ErrNotAllowed, "ended or was revoked"))
}

// A thousand who ask at once, and a thousand who are refused at once, make one login.
func TestOneLoginForAll(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	role, id := w.Fake.AppRole(time.Hour, 0, "secret/data/app")
	s := w.source(t, vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: vaulttest.File(t, id)})
	for round := range 2 {
		var group sync.WaitGroup
		for range 1000 / (1 + 9*round) {
			group.Go(func() { w.reads(t, s) })
		}
		group.Wait()
		if n := w.Calls("auth/approle/login"); n != round+1 {
			t.Errorf("%d logins after round %d", n, round+1)
		}
		w.RevokeAll()
		w.pass(time.Minute)
	}
}

// A policy that says no is not asked with a new login every time.
func TestRefusedIsNoReasonToLogInForEver(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	role, id := w.Fake.AppRole(time.Hour, 0, "secret/data/other")
	s := w.source(t, vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: vaulttest.File(t, id)})
	for range 20 {
		vaulttest.Expect(t, s, app, secret.ErrNotAllowed, "permission denied")
	}
	if n := w.Calls("auth/approle/login"); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestTokenFileIsReadAnew(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	first := w.Token(t, time.Hour, "secret/data/app")
	file := vaulttest.File(t, first)
	s := w.source(t, vault.Config{TokenFile: file})
	w.reads(t, s)
	w.Fake.Revoke(first)
	if err := os.WriteFile(file, []byte(w.Token(t, time.Hour, "secret/data/app")), 0o600); err != nil {
		t.Fatal(err)
	}
	w.reads(t, s)
}

func TestMountsThatNobodyMayLookUp(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	w.Fake.Enable("old", 1)
	w.Put(t, "old", "app", map[string]any{"password": marker})
	w.HideMounts()
	s := w.source(t, vault.Config{Token: w.Token(t, time.Hour, "secret/data/app", "old/app")})
	w.reads(t, s)
	if value, err := s.Get(t.Context(), vaulttest.Ref(t, "vault:old/app#password")); err != nil || string(value.Reveal()) != marker {
		t.Errorf("KV 1: %v", err)
	}
	vaulttest.Expect(t, s, "vault:old/app?version=1", secret.ErrNotAllowed, "permission denied")
}

func TestNamespace(t *testing.T) {
	w := newWorld(t)
	w.Namespace = "ml/team"
	w.app(t)
	token := w.Token(t, time.Hour, "secret/data/app", "secret/data/absent")
	w.reads(t, w.source(t, vault.Config{Token: token, Namespace: "ml/team"}))
	vaulttest.Expect(t, w.source(t, vault.Config{Token: token, Namespace: "ml/team"}), "vault:secret/absent", secret.ErrNotFound, "in namespace ml/team")
	vaulttest.Expect(t, w.source(t, vault.Config{Token: token}), app, secret.ErrNotAllowed, "")
	t.Setenv("VAULT_NAMESPACE", "ml/team") // of the environment counts what Config says, and nothing else
	t.Setenv("VAULT_TOKEN", token)
	vaulttest.Expect(t, w.source(t, vault.Config{Token: "hvs.other"}), app, secret.ErrNotAllowed, "")
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	token := w.Token(t, time.Hour, "secret/data/app")
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the token went elsewhere: %v", r.URL) }))
	defer foreign.Close()
	code := func(code int, text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Retry-After", "0")
			rw.WriteHeader(code)
			fmt.Fprint(rw, text)
		}
	}
	for name, c := range map[string]struct {
		times  int
		answer http.HandlerFunc
		text   string // "" when it is got over
		within time.Duration
	}{
		"throttled":          {2, code(429, `{"errors":["request path \"x\": rate limit quota exceeded"]}`), "", 0},
		"throttled for good": {99, code(429, `{"errors":["rate limit quota exceeded"]}`), "throttling: rate limit", 0},
		"in trouble":         {2, code(500, `{"errors":["internal error"]}`), "", 0},
		"a proxy's page":     {99, code(502, "<html>"+token), "answered 502", 0},
		"garbled":            {99, code(200, `{"data":`), "no answer of Vault's", 0},
		"a web page":         {99, code(200, "<html>"), "no answer of Vault's", 0},
		"nothing":            {99, code(200, ""), "no answer of Vault's", 0},
		"endless":            {99, endless, "no answer of Vault's", 0},
		"standby": {99, func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, foreign.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}, "standby", 0},
		"slow":       {99, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time", 50 * time.Millisecond},
		"broken off": {99, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "breaks off", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w.Fault(c.times, c.answer)
			defer w.Fault(0, nil)
			s := w.source(t, vault.Config{Token: token, Within: c.within})
			if c.text == "" {
				w.reads(t, s)
				return
			}
			silent(t, w, vaulttest.Expect(t, s, app, secret.ErrUnreachable, c.text))
		})
	}
	w.Seal(true)
	silent(t, w, vaulttest.Expect(t, w.source(t, vault.Config{Token: token}), app, secret.ErrUnreachable, "sealed"))
}

func endless(rw http.ResponseWriter, _ *http.Request) {
	chunk := []byte(`{"data":{"data":{"x":"` + strings.Repeat("A", 1<<20))
	for {
		if _, err := rw.Write(chunk); err != nil {
			return
		}
	}
}

func TestUnreachableAndCA(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	secure := httptest.NewUnstartedServer(w.Fake)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	token := w.Token(t, time.Hour, "secret/data/app")
	vaulttest.Expect(t, w.source(t, vault.Config{Address: secure.URL, Token: token}), app, secret.ErrUnreachable, "unknown authority")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w.reads(t, w.source(t, vault.Config{Address: secure.URL, Token: token, CACert: ca}))
	w.server.Close()
	vaulttest.Expect(t, w.source(t, vault.Config{Token: token}), app, secret.ErrUnreachable, "cannot be reached")
}

func TestConfiguration(t *testing.T) {
	_, err := vaulttest.Source(t, vault.Config{}).Get(t.Context(), vaulttest.Ref(t, app))
	if !errors.Is(err, secret.ErrUnknownScheme) || !strings.Contains(secret.HintOf(err), "--vault-addr") {
		t.Errorf("%v", err)
	}
	for name, c := range map[string]vault.Config{
		"no token": {}, "two tokens": {Token: "x", TokenFile: "y"}, "no scheme": {Address: "vault.example.com:8200", Token: "x"}, "a login": {Address: "https://u:p@vault", Token: "x"},
		"unix": {Address: "unix:///run/vault.sock", Token: "x"}, "no role": {Auth: vault.AuthKubernetes}, "no file": {Auth: vault.AuthJWT, Role: "x"}, "no role id": {Auth: vault.AuthAppRole},
		"no identity": {Auth: vault.AuthAWS}, "unknown": {Auth: "ldap"}, "no CA": {Token: "x", CACert: "/nowhere"},
	} {
		if c.Address == "" {
			c.Address = "https://vault.example.com"
		}
		if _, err := vault.New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// Amazon answers a signature that does not fit with the request that it has read, and Vault passes that on.
func TestWhatSTSReadIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	role, id := w.Fake.AppRole(time.Hour, 0, "secret/data/app")
	s := w.source(t, vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: vaulttest.File(t, id)})
	w.Fault(1, func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(rw, `{"errors":["error making upstream request: received error code 403 from STS: <Message>x-amz-security-token:%s</Message> %s"]}`, marker, id)
	})
	vaulttest.Expect(t, s, app, secret.ErrNotAllowed, "received error code 403 from STS")
	w.Fault(1, func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(rw, `{"errors":["no such secret id %s"]}`, id)
	})
	silent(t, w, vaulttest.Expect(t, s, app, secret.ErrNotAllowed, "[hidden]"))
}

func TestEndedContext(t *testing.T) {
	w := newWorld(t)
	w.app(t)
	role, id := w.Fake.AppRole(time.Hour, 0, "secret/data/app")
	s := w.source(t, vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: vaulttest.File(t, id)})
	ctx, cancel := context.WithCancel(t.Context())
	w.Fault(1, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices that its caller has gone once it has read all
		cancel()
		<-r.Context().Done()
	})
	if _, err := s.Get(ctx, vaulttest.Ref(t, app)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.reads(t, s)
}

// What is read is a path below /v1/ that names a secret, and never the way to another part of Vault.
func FuzzReference(f *testing.F) {
	for _, text := range []string{"vault:secret/app", "vault:secret/team/app?version=2#password", "vault:a/../sys/seal", "vault:a/b?x", "vault:a/b#", "vault:a//b", "vault:a/%2e%2e/b", "vault://h/a/b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := secret.Parse(text)
		if err != nil {
			return
		}
		printed, path, err := vault.Canonical(ref)
		if err != nil {
			if !errors.Is(err, secret.ErrRef) {
				t.Error(err)
			}
			return
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, `%?#\`) {
				t.Errorf("%q has the segment %q", path, segment)
			}
		}
		if printed != text {
			t.Errorf("%q is printed as %q", text, printed)
		}
	})
}
