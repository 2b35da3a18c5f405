package kube_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/oauth2-proxy/mockoidc"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/identity/kube"
	"pierhead.dev/pierhead/identity/kubetest"
)

// A clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Now().Truncate(time.Second)} }

func verifier(t *testing.T, c kube.Config) *kube.Verifier {
	t.Helper()
	if c.Audience == "" {
		c.Audience = "pierhead"
	}
	v, err := kube.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustNot wants an error of a kind, whose text has a part and nothing of the token.
func mustNot(t *testing.T, v *kube.Verifier, token string, kind error, part string) {
	t.Helper()
	account, err := v.Verify(t.Context(), token)
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), part) {
		t.Errorf("%v %v, want %v with %q", account, err, kind, part)
	}
	if err == nil {
		return
	}
	for _, piece := range strings.Split(token, ".") {
		if len(piece) > 20 && strings.Contains(err.Error()+pierhead.HintOf(err), piece) {
			t.Errorf("the error has a part of the token: %v", err)
		}
	}
}

func must(t *testing.T, v *kube.Verifier, token, want string) {
	t.Helper()
	if account, err := v.Verify(t.Context(), token); err != nil || account.String() != want {
		t.Errorf("%v %v, want %s", account, err, want)
	}
}

func TestVerify(t *testing.T) {
	issuer, clock := kubetest.Start(t), newClock()
	v := verifier(t, kube.Config{Issuer: issuer.URL, Now: clock.now})
	claims := issuer.Claims(clock.at, "pierhead", "vision", "trainer")
	in := func(d time.Duration) int64 { return clock.at.Add(d).Unix() }
	for _, c := range []struct {
		name    string
		changed map[string]any
		part    string // of the refusal; "" where it is good
	}{
		{"good", nil, ""},
		{"one audience as text", map[string]any{"aud": "pierhead"}, ""},
		{"several audiences", map[string]any{"aud": []string{"https://kubernetes.default.svc", "pierhead"}}, ""},
		{"another audience", map[string]any{"aud": []string{"vault"}}, `it is for "vault", not for "pierhead"`},
		{"an audience that begins alike", map[string]any{"aud": []string{"pierhead2"}}, "it is for"},
		{"no audience", map[string]any{"aud": nil}, "it is for no audience"},
		{"another issuer", map[string]any{"iss": "https://evil.example.com"}, "https://evil.example.com"},
		{"no issuer", map[string]any{"iss": nil}, `it says that "" issued it`},
		{"expired within the skew", map[string]any{"exp": in(-59 * time.Second)}, ""},
		{"expired", map[string]any{"exp": in(-time.Minute)}, "it was good until"},
		{"without end", map[string]any{"exp": nil}, "until when"},
		{"not yet, within the skew", map[string]any{"nbf": in(time.Minute)}, ""},
		{"not yet", map[string]any{"nbf": in(61 * time.Second)}, "it is good only from"},
		{"a person's token", map[string]any{"sub": "alice", "kubernetes.io": nil}, "of which service account"},
		{"claims of another account than its subject", map[string]any{"sub": "system:serviceaccount:vision:admin"}, "of which service account"},
		{"no namespace", map[string]any{"kubernetes.io": map[string]any{"serviceaccount": map[string]any{"name": "trainer"}}}, "of which service account"},
		{"a namespace that is none", map[string]any{"sub": "system:serviceaccount:a/b:trainer",
			"kubernetes.io": map[string]any{"namespace": "a/b", "serviceaccount": map[string]any{"name": "trainer"}}}, "of which service account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := issuer.Token(t, claims, c.changed)
			if c.part == "" {
				must(t, v, token, "vision/trainer")
			} else {
				mustNot(t, v, token, pierhead.ErrNotAllowed, c.part)
			}
		})
	}
}

func TestWhatIsNoTokenOfTheIssuer(t *testing.T) {
	issuer, clock := kubetest.Start(t), newClock()
	v := verifier(t, kube.Config{Issuer: issuer.URL, Now: clock.now})
	claims := issuer.Claims(clock.at, "pierhead", "vision", "trainer")
	good := issuer.Token(t, claims, nil)
	must(t, v, good, "vision/trainer")
	known := strings.Split(good, ".")

	other, err := mockoidc.NewKeypair(kubetest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	mustNot(t, v, kubetest.Sign(t, other, claims, nil), pierhead.ErrNotAllowed, "does not have")

	var header struct {
		ID string `json:"kid"`
	}
	if text, err := jose.ParseSignedCompact(good, []jose.SignatureAlgorithm{jose.RS256}); err == nil {
		header.ID = text.Signatures[0].Header.KeyID
	}
	other.Kid = header.ID // another key under the name of the issuer's
	mustNot(t, v, kubetest.Sign(t, other, claims, nil), pierhead.ErrNotAllowed, "its signature is not that of "+issuer.URL)

	elsewhere := issuer.Token(t, claims, map[string]any{"sub": "system:serviceaccount:kube-system:admin"})
	mixed := known[0] + "." + strings.Split(elsewhere, ".")[1] + "." + known[2]
	mustNot(t, v, mixed, pierhead.ErrNotAllowed, "its signature")

	for _, text := range []string{"", "x", "a.b.c", known[0] + "." + known[1] + ".", known[0] + "." + known[1], good + "." + known[2], strings.Repeat("a", kube.MaxToken+1),
		"eyJhbGciOiJub25lIn0." + known[1] + ".", "eyJhbGciOiJIUzI1NiJ9." + known[1] + "." + known[2]} {
		mustNot(t, v, text, pierhead.ErrNotAllowed, "is refused")
	}
}

func TestRotationIsFollowed(t *testing.T) {
	issuer, clock := kubetest.Start(t), newClock()
	v := verifier(t, kube.Config{Issuer: issuer.URL, Now: clock.now})
	token := func() string {
		return issuer.Token(t, issuer.Claims(clock.at, "pierhead", "vision", "trainer"), nil)
	}
	before := token()
	must(t, v, before, "vision/trainer")
	asked := issuer.Asked()
	must(t, v, token(), "vision/trainer")
	if issuer.Asked() != asked {
		t.Errorf("keys that were known were asked for again")
	}

	issuer.Rotate(t)
	after := token()
	mustNot(t, v, after, pierhead.ErrNotAllowed, "does not have") // it was asked a moment ago
	mustNot(t, v, after, pierhead.ErrNotAllowed, "does not have")
	if issuer.Asked() != asked {
		t.Errorf("unknown keys became %d requests", issuer.Asked()-asked)
	}
	clock.at = clock.at.Add(11 * time.Second)
	must(t, v, after, "vision/trainer")
	mustNot(t, v, before, pierhead.ErrNotAllowed, "does not have") // withdrawn

	issuer.Rotate(t) // nobody comes with the new key, and the old one goes all the same
	must(t, v, after, "vision/trainer")
	clock.at = clock.at.Add(11 * time.Minute)
	mustNot(t, v, after, pierhead.ErrNotAllowed, "does not have")
}

func TestWithTheIssuerAway(t *testing.T) {
	issuer, clock := kubetest.Start(t), newClock()
	config := kube.Config{Issuer: issuer.URL, Kept: filepath.Join(t.TempDir(), "kube-keys.json"), Now: clock.now}
	token := func() string {
		return issuer.Token(t, issuer.Claims(clock.at, "pierhead", "vision", "trainer"), nil)
	}
	issuer.Away(true)
	v := verifier(t, config)
	mustNot(t, v, token(), pierhead.ErrUnreachable, "the keys of "+issuer.URL+" cannot be had")

	issuer.Away(false)
	clock.at = clock.at.Add(time.Minute)
	must(t, v, token(), "vision/trainer")

	issuer.Away(true)
	for range 3 {
		clock.at = clock.at.Add(6 * time.Hour)
		must(t, v, token(), "vision/trainer")
	}
	again := verifier(t, config) // the agent restarts meanwhile
	must(t, again, token(), "vision/trainer")
	config.Issuer += "/" // another issuer does not get these keys
	mustNot(t, verifier(t, config), token(), pierhead.ErrUnreachable, "cannot be had")

	clock.at = clock.at.Add(6*time.Hour + time.Minute)
	mustNot(t, v, token(), pierhead.ErrUnreachable, "cannot be had")
	mustNot(t, again, token(), pierhead.ErrUnreachable, "cannot be had")
}

// A thousand pods start at once: one look at the issuer serves them.
func TestManyAtOnce(t *testing.T) {
	issuer, clock := kubetest.Start(t), newClock()
	v := verifier(t, kube.Config{Issuer: issuer.URL, Now: clock.now})
	token := issuer.Token(t, issuer.Claims(clock.at, "pierhead", "vision", "trainer"), nil)
	errs := make(chan error)
	for range 1000 {
		go func() {
			_, err := v.Verify(t.Context(), token)
			errs <- err
		}()
	}
	for range 1000 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if issuer.Asked() != 2 { // discovery and keys
		t.Errorf("%d requests", issuer.Asked())
	}
}

// keySet is a key set's text with one elliptic key, and tokens signed with that.
func keySet(t *testing.T, id string) (set []byte, token func(claims map[string]any) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared := jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: id, Algorithm: "HS256"}
	set, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{shared, {Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	return set, func(claims map[string]any) string {
		text, err := josejwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

func TestKeysInAFile(t *testing.T) {
	issuer, clock := kubetest.Start(t), newClock()
	claims := issuer.Claims(clock.at, "pierhead", "vision", "trainer")
	set, token := keySet(t, "one")
	file := filepath.Join(t.TempDir(), "jwks.json")
	v := verifier(t, kube.Config{Issuer: issuer.URL, Keys: file, Now: clock.now})
	mustNot(t, v, token(claims), pierhead.ErrUnreachable, "no such file")
	clock.at = clock.at.Add(11 * time.Second)
	write(t, file, set)
	must(t, v, token(claims), "vision/trainer")

	clock.at = clock.at.Add(11 * time.Second)
	set, token = keySet(t, "two") // somebody puts the rotated keys there
	write(t, file, set)
	must(t, v, token(claims), "vision/trainer")
	if issuer.Asked() != 0 {
		t.Errorf("the issuer was asked")
	}
	for _, wrong := range []string{"", "{}", "[]", `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, `{"keys":[` + strings.Repeat(`{},`, 1<<17) + `{}]}`} {
		clock.at = clock.at.Add(25 * time.Hour)
		write(t, file, []byte(wrong))
		mustNot(t, v, token(issuer.Claims(clock.at, "pierhead", "vision", "trainer")), pierhead.ErrUnreachable, "cannot be had")
	}
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// An API server shows its keys to those who have a token, over TLS by its own CA, and calls itself otherwise inside than
// outside.
func TestInAPod(t *testing.T) {
	const issuer = "https://kubernetes.default.svc.cluster.local"
	clock := newClock()
	set, token := keySet(t, "one")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer pod-token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/.well-known/openid-configuration":
			_, _ = w.Write([]byte(`{"issuer":"` + issuer + `","jwks_uri":"https://192.0.2.1:6443/openid/v1/jwks"}`))
		case r.URL.Path == "/openid/v1/jwks":
			_, _ = w.Write(set)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	config := kube.Config{APIServer: server.Listener.Addr().String(), Mounted: dir, Now: clock.now}
	claims := (&kubetest.Issuer{URL: issuer}).Claims(clock.at, "pierhead", "vision", "trainer")

	mustNot(t, verifier(t, config), token(claims), pierhead.ErrUnreachable, "token: no such file")
	write(t, filepath.Join(dir, "token"), []byte("another"))
	mustNot(t, verifier(t, config), token(claims), pierhead.ErrUnreachable, "401 Unauthorized to /.well-known/openid-configuration")
	write(t, filepath.Join(dir, "token"), []byte("pod-token\n"))
	must(t, verifier(t, config), token(claims), "vision/trainer")

	// The same API server from outside: by its keys' address, with a CA and a token that the operator laid out.
	outside := kube.Config{Issuer: issuer, Keys: server.URL + "/openid/v1/jwks", CA: filepath.Join(dir, "ca.crt"), BearerFile: filepath.Join(dir, "token"), Now: clock.now}
	must(t, verifier(t, outside), token(claims), "vision/trainer")
	outside.CA = ""
	mustNot(t, verifier(t, outside), token(claims), pierhead.ErrUnreachable, "certificate")
}

// The token that opens discovery goes to no host that the issuer names, and no redirect is followed with or without it.
func TestBearerStaysAtItsHost(t *testing.T) {
	clock := newClock()
	set, token := keySet(t, "one")
	var seen []string
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		_, _ = w.Write(set)
	}))
	defer elsewhere.Close()
	var redirect bool
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if redirect {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"` + server.URL + `","jwks_uri":"` + elsewhere.URL + `/keys"}`))
	}))
	defer server.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}) // httptest has one for all
	write(t, filepath.Join(dir, "ca.crt"), ca)
	write(t, filepath.Join(dir, "token"), []byte("secret"))
	config := kube.Config{Issuer: server.URL, CA: filepath.Join(dir, "ca.crt"), BearerFile: filepath.Join(dir, "token"), Now: clock.now}
	claims := (&kubetest.Issuer{URL: server.URL}).Claims(clock.at, "pierhead", "vision", "trainer")
	must(t, verifier(t, config), token(claims), "vision/trainer")
	if len(seen) != 1 || seen[0] != "" {
		t.Errorf("elsewhere saw %q", seen)
	}
	redirect = true
	mustNot(t, verifier(t, config), token(claims), pierhead.ErrUnreachable, "302 Found")
	if len(seen) != 1 {
		t.Errorf("elsewhere saw %q", seen)
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for _, c := range []kube.Config{
		{Issuer: "https://kube.example.com"},
		{Audience: "pierhead"},
		{Audience: "pierhead", Keys: "/etc/keys.json"},
		{Audience: "pierhead", Issuer: "http://kube.example.com"},
		{Audience: "pierhead", Issuer: "kube.example.com"},
		{Audience: "pierhead", Issuer: "https://u:p@kube.example.com"},
		{Audience: "pierhead", Issuer: "https://kube.example.com", Keys: "keys.json"},
		{Audience: "pierhead", Issuer: "https://kube.example.com", Keys: "http://192.0.2.1/keys"},
	} {
		if _, err := kube.New(c); !errors.Is(err, pierhead.ErrBadInput) || pierhead.HintOf(err) == "" {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []kube.Config{{Audience: "pierhead", APIServer: "10.96.0.1:443"}, {Audience: "p", Issuer: "http://127.0.0.1:8080/oidc"}, {Audience: "p", Issuer: "https://kube.example.com", Keys: "/etc/keys.json"}} {
		if _, err := kube.New(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Whatever is handed in is a token that this key set is right for, or refused; and never a panic.
func FuzzVerify(f *testing.F) {
	issuer := "https://kube.example.com"
	v, err := kube.New(kube.Config{Audience: "pierhead", Issuer: issuer, Keys: filepath.Join(f.TempDir(), "absent")})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30.AA", `{"payload":"","signatures":[]}`, url.QueryEscape("ü.ü.ü")} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, token string) {
		account, err := v.Verify(t.Context(), token)
		if err == nil || account != (kube.Account{}) || strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("%v %v", account, err)
		}
	})
}
