package tokens_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/internal/tokens"
)

// The claims are those of distribution's jwt.md, and the signature is the standard library's to verify.
func TestSignedTokenHasDistributionsClaims(t *testing.T) {
	key, err := tokens.Generate()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 999)
	text, err := key.Sign(tokens.Claims{
		Issuer: "http://127.0.0.1:7070", Subject: "alice", Audience: "127.0.0.1:7070", ID: "jti_1",
		IssuedAt: now, NotBefore: now.Add(-10 * time.Second), Expires: now.Add(5 * time.Minute),
		Access: []tokens.Access{{Type: "repository", Name: "acme/model", Actions: []string{"pull"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	header, claims := decode(t, parts[0]), decode(t, parts[1])
	if want := fmt.Sprint(map[string]any{"alg": "EdDSA", "kid": key.ID(), "typ": "JWT"}); fmt.Sprint(header) != want {
		t.Errorf("header is %v, not %s", header, want)
	}
	want := map[string]any{
		"iss": "http://127.0.0.1:7070", "sub": "alice", "aud": "127.0.0.1:7070", "jti": "jti_1",
		"iat": 1_800_000_000., "nbf": 1_799_999_990., "exp": 1_800_000_300.,
		"access": []any{map[string]any{"type": "repository", "name": "acme/model", "actions": []any{"pull"}}},
	}
	if fmt.Sprint(claims) != fmt.Sprint(want) {
		t.Errorf("claims are %v, not %v", claims, want)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !ed25519.Verify(key.Public(), []byte(parts[0]+"."+parts[1]), signature) {
		t.Errorf("the signature does not verify: %v", err)
	}
}

func TestAnonymousTokenHasAnEmptyAccessList(t *testing.T) {
	key, _ := tokens.Generate()
	text, err := key.Sign(tokens.Claims{})
	if err != nil {
		t.Fatal(err)
	}
	if access, is := decode(t, strings.Split(text, ".")[1])["access"].([]any); !is || len(access) != 0 {
		t.Errorf("access is %v, not an empty list", access)
	}
}

func TestKeysSurviveTheirFiles(t *testing.T) {
	key, _ := tokens.Generate()
	private, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := tokens.Parse(private)
	if err != nil || again.ID() != key.ID() {
		t.Fatalf("parsed key %v, %v", again, err)
	}
	publicText, err := key.PublicPEM()
	if err != nil {
		t.Fatal(err)
	}
	public, err := tokens.ParsePublic(publicText)
	if err != nil || !public.Equal(key.Public()) || tokens.KeyID(public) != key.ID() {
		t.Fatalf("parsed public key %x, %v", public, err)
	}
	if _, err := tokens.Parse(publicText); !errors.Is(err, tokens.ErrKey) {
		t.Errorf("a public key as a private one: %v", err)
	}
	if _, err := tokens.ParsePublic(private); !errors.Is(err, tokens.ErrKey) {
		t.Errorf("a private key as a public one: %v", err)
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	key, _ := tokens.Generate()
	text, _ := key.PEM()
	secret := strings.Split(string(text), "\n")[1]
	raw, _ := base64.StdEncoding.DecodeString(secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, printed := range []string{fmt.Sprintf(verb, key), fmt.Sprintf(verb, struct{ K *tokens.Key }{key})} {
			if strings.Contains(printed, secret) || strings.Contains(printed, hex.EncodeToString(raw[16:])) {
				t.Errorf("%s prints the key", verb)
			}
		}
	}
	if _, err := json.Marshal(key); err == nil {
		t.Error("the key marshals")
	}
}

func decode(t *testing.T, part string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var into map[string]any
	if err := json.Unmarshal(text, &into); err != nil {
		t.Fatal(err)
	}
	return into
}
