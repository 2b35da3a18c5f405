package server_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/ocitest"
	"pierhead.dev/pierhead/oci/server"
)

const (
	realm   = "https://pierhead.example/token"
	service = "pierhead.example"
	issuer  = "https://pierhead.example"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

type claims struct {
	jwt.Claims
	Access []server.Access `json:"access"`
	Asked  []server.Access `json:"asked,omitempty"`
}

func goodClaims(access ...server.Access) claims {
	return claims{Claims: jwt.Claims{
		Issuer: issuer, Subject: "alice", Audience: jwt.Audience{service}, Expiry: jwt.NewNumericDate(now.Add(5 * time.Minute)),
		NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), IssuedAt: jwt.NewNumericDate(now),
	}, Access: access}
}

func allow(repository string, actions ...string) server.Access {
	return server.Access{Type: "repository", Name: repository, Actions: actions}
}

func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, id string, c claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type issuerKeys struct {
	ed ed25519.PrivateKey
	ec *ecdsa.PrivateKey
}

func newBearer(t *testing.T, clock func() time.Time) (*server.Bearer, issuerKeys) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.NewBearer(server.BearerConfig{Realm: realm, Service: service, Issuer: issuer, Now: clock,
		Keys: map[string]crypto.PublicKey{"ed": public, "ec": &ec.PublicKey}})
	if err != nil {
		t.Fatal(err)
	}
	return b, issuerKeys{private, ec}
}

func authorize(t *testing.T, b *server.Bearer, q server.Request, header string) (server.Grant, *server.Refusal) {
	t.Helper()
	r := &http.Request{Header: http.Header{}}
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	grant, err := b.Authorize(r, q)
	var refusal *server.Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	return grant, refusal
}

func TestBearerTakesGoodTokens(t *testing.T) {
	b, keys := newBearer(t, func() time.Time { return now })
	pull := server.Request{Kind: server.KindManifest, Repository: "acme/app"}
	for name, token := range map[string]string{
		"EdDSA": sign(t, jose.EdDSA, keys.ed, "ed", goodClaims(allow("acme/app", "pull"))),
		"ES256": sign(t, jose.ES256, keys.ec, "ec", goodClaims(allow("acme/app", "pull"))),
		"star":  sign(t, jose.EdDSA, keys.ed, "ed", goodClaims(allow("acme/app", "*"))),
		"split": sign(t, jose.EdDSA, keys.ed, "ed", goodClaims(allow("acme/app", "push"), allow("acme/app", "pull"))),
	} {
		for _, scheme := range []string{"Bearer ", "bearer "} {
			grant, refusal := authorize(t, b, pull, scheme+token)
			if refusal != nil || grant.Caller != "alice" || !grant.MayPull("acme/app") || grant.MayPull("acme/other") {
				t.Errorf("%s: %+v, %+v", name, grant, refusal)
			}
		}
	}
}

func TestBearerRefuses(t *testing.T) {
	b, keys := newBearer(t, func() time.Time { return now })
	change := func(f func(*claims)) string {
		c := goodClaims(allow("acme/app", "pull"))
		f(&c)
		return "Bearer " + sign(t, jose.EdDSA, keys.ed, "ed", c)
	}
	good := change(func(*claims) {})
	_, otherKey, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"ed"}`)) + "." + strings.Split(good, ".")[1] + "."
	c := goodClaims(allow("acme/app", "pull"))
	for name, header := range map[string]string{
		"expired":           change(func(c *claims) { c.Expiry = jwt.NewNumericDate(now.Add(-time.Minute)) }),
		"no expiry":         change(func(c *claims) { c.Expiry = nil }),
		"not yet":           change(func(c *claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Minute)) }),
		"other issuer":      change(func(c *claims) { c.Issuer = "https://other.example" }),
		"other audience":    change(func(c *claims) { c.Audience = jwt.Audience{"other.example"} }),
		"other key":         "Bearer " + sign(t, jose.EdDSA, otherKey, "ed", c),
		"unknown key":       "Bearer " + sign(t, jose.EdDSA, keys.ed, "other", c),
		"key of another":    "Bearer " + sign(t, jose.ES256, keys.ec, "ed", c),
		"other algorithm":   "Bearer " + sign(t, jose.RS256, rsaKey, "ed", c),
		"public key as MAC": "Bearer " + sign(t, jose.HS256, []byte(keys.ed.Public().(ed25519.PublicKey)), "ed", c),
		"not signed":        "Bearer " + unsigned,
		"cut":               good[:len(good)-4],
		"nothing":           "Bearer ",
		"basic":             "Basic YWxpY2U6c2VjcmV0",
		"very long":         "Bearer " + strings.Repeat("x", 100_000),
	} {
		_, refusal := authorize(t, b, server.Request{Kind: server.KindManifest, Repository: "acme/app"}, header)
		if refusal == nil || refusal.Err != oci.ErrUnauthorized {
			t.Errorf("%s: %+v", name, refusal)
			continue
		}
		if want := `Bearer realm="` + realm + `",service="` + service + `",scope="repository:acme/app:pull",error="invalid_token"`; refusal.Challenge != want {
			t.Errorf("%s: %s", name, refusal.Challenge)
		}
		if strings.Contains(refusal.Detail, "eyJ") {
			t.Errorf("%s: the token is in %q", name, refusal.Detail)
		}
	}
}

// A token that was verified once is not good for ever.
func TestBearerRemembersNoLongerThanTheToken(t *testing.T) {
	at := now
	b, keys := newBearer(t, func() time.Time { return at })
	header := "Bearer " + sign(t, jose.EdDSA, keys.ed, "ed", goodClaims())
	for _, step := range []struct {
		after time.Duration
		good  bool
	}{{0, true}, {4 * time.Minute, true}, {6 * time.Minute, false}} {
		at = now.Add(step.after)
		if _, refusal := authorize(t, b, server.Request{Kind: server.KindPing}, header); (refusal == nil) != step.good {
			t.Errorf("after %v: %+v", step.after, refusal)
		}
	}
}

// 401 asks the client to come with more; 403 is for one who asked and did not get it.
func TestBearerScopes(t *testing.T) {
	b, keys := newBearer(t, func() time.Time { return now })
	push := server.Request{Kind: server.KindUploadStart, Repository: "acme/app"}
	mount := server.Request{Kind: server.KindMount, Repository: "acme/app", From: "acme/base", Digest: digest.FromString("x")}
	prefix := `Bearer realm="` + realm + `",service="` + service + `"`
	if _, refusal := authorize(t, b, server.Request{Kind: server.KindPing}, ""); refusal == nil || refusal.Challenge != prefix {
		t.Errorf("ping: %+v", refusal)
	}
	if _, refusal := authorize(t, b, mount, ""); refusal == nil || refusal.Challenge != prefix+`,scope="repository:acme/app:pull,push repository:acme/base:pull"` {
		t.Errorf("mount: %+v", refusal)
	}
	c := goodClaims(allow("acme/app", "pull"))
	_, refusal := authorize(t, b, push, "Bearer "+sign(t, jose.EdDSA, keys.ed, "ed", c))
	if refusal == nil || refusal.Err != oci.ErrUnauthorized || refusal.Challenge != prefix+`,scope="repository:acme/app:pull,push",error="insufficient_scope"` {
		t.Errorf("push with a token to pull: %+v", refusal)
	}
	c.Asked = []server.Access{allow("acme/app", "pull", "push")}
	_, refusal = authorize(t, b, push, "Bearer "+sign(t, jose.EdDSA, keys.ed, "ed", c))
	if refusal == nil || refusal.Err != oci.ErrDenied || !strings.Contains(refusal.Challenge, "insufficient_scope") {
		t.Errorf("push that was asked for: %+v", refusal)
	}
	grant, refusal := authorize(t, b, mount, "Bearer "+sign(t, jose.EdDSA, keys.ed, "ed", goodClaims(allow("acme/app", "push"))))
	if refusal != nil || grant.MayPull("acme/base") {
		t.Errorf("mount without the source: %+v, %+v", grant, refusal)
	}
}

func TestBearerConfiguration(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	good := server.BearerConfig{Realm: realm, Service: service, Issuer: issuer, Keys: map[string]crypto.PublicKey{"k": public}}
	if _, err := server.NewBearer(good); err != nil {
		t.Error(err)
	}
	for name, key := range map[string]crypto.PublicKey{"private": private, "P-384": &p384.PublicKey, "secret": []byte("secret"), "nothing": nil} {
		c := good
		c.Keys = map[string]crypto.PublicKey{"k": key}
		if _, err := server.NewBearer(c); err == nil {
			t.Errorf("%s key was taken", name)
		}
	}
	for _, c := range []server.BearerConfig{{}, {Realm: realm, Service: service, Issuer: issuer}, {Realm: realm, Keys: good.Keys}} {
		if _, err := server.NewBearer(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// The program's own tokens are good, and mounting needs the right to pull from the source.
func TestMountNeedsTheSource(t *testing.T) {
	key, err := tokens.Generate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.NewBearer(server.BearerConfig{Realm: realm, Service: service, Issuer: issuer, Now: func() time.Time { return now },
		Keys: map[string]crypto.PublicKey{key.ID(): key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	token := func(access ...tokens.Access) string {
		text, err := key.Sign(tokens.Claims{Issuer: issuer, Subject: "alice", Audience: service, Expires: now.Add(time.Minute), NotBefore: now, IssuedAt: now, Access: access})
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	r := openHosted(t)
	d := ocitest.Blob(t, r, "bob/private", "layer")
	f := fixture{Server: serve(t, server.Config{Registry: r, Authorizer: b})}
	push := tokens.Access{Type: "repository", Name: "alice/app", Actions: []string{"pull", "push"}}
	pull := tokens.Access{Type: "repository", Name: "bob/private", Actions: []string{"pull"}}
	path := "/v2/alice/app/blobs/uploads/?mount=" + d.String()
	for _, test := range []struct {
		name, path, token string
		status            int
	}{
		{"no token", path + "&from=bob/private", "", 401},
		{"without the source", path + "&from=bob/private", token(push), 202},
		{"anywhere, without the source", path, token(push), 202},
		{"a blob that is not there looks the same", strings.Replace(path, d.Encoded(), digest.FromString("none").Encoded(), 1), token(push), 202},
		{"with the source", path + "&from=bob/private", token(push, pull), 201},
		{"there already", path, token(push), 201},
		{"only the source", path + "&from=bob/private", token(pull), 401},
	} {
		var header []string
		if test.token != "" {
			header = []string{"Authorization", test.token}
		}
		if got := f.do(t, "POST", test.path, "", header...); got.status != test.status {
			t.Errorf("%s: %d %s", test.name, got.status, got.body)
		}
	}
}
