package tokens

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const audience = "https://pier.example"

func nodeClaims(now time.Time) NodeClaims {
	return NodeClaims{Node: "node_x", Audience: []string{"http://other", audience}, IssuedAt: now, Expires: now.Add(NodeLife), ID: "jwt_1", Version: "v1"}
}

func TestNodeTokenVerifies(t *testing.T) {
	key, now := newTestKey(t), time.Unix(1_800_000_000, 0)
	text, err := key.SignNode(nodeClaims(now))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseNode(text)
	if err != nil || parsed.Node != "node_x" || parsed.KeyID != key.ID() || !LooksSigned(text) || len(text) > MaxNodeToken {
		t.Fatalf("%+v, %v, %d bytes", parsed, err, len(text))
	}
	for _, after := range []time.Duration{-nodeLeeway, 0, NodeLife + nodeLeeway - time.Second} {
		if c, err := parsed.Verify(key.Public(), audience, now.Add(after)); err != nil || c.Node != "node_x" || c.Version != "v1" {
			t.Errorf("after %v: %+v, %v", after, c, err)
		}
	}
	var skew *SkewError
	for _, after := range []time.Duration{-nodeLeeway - time.Second, NodeLife + nodeLeeway} {
		if _, err := parsed.Verify(key.Public(), audience, now.Add(after)); !errors.As(err, &skew) || skew.Behind != after {
			t.Errorf("after %v: %v", after, err)
		}
	}
	if _, err := parsed.Verify(key.Public(), "https://evil.example", now); !errors.Is(err, ErrAudience) {
		t.Errorf("for another server: %v", err)
	}
	if _, err := parsed.Verify(newTestKey(t).Public(), audience, now); !errors.Is(err, ErrNodeToken) {
		t.Errorf("another key: %v", err)
	}
}

// What is not quite a node's token is none, whatever is well about it.
func TestNodeTokenRefusals(t *testing.T) {
	key, now := newTestKey(t), time.Unix(1_800_000_000, 0)
	good, err := key.SignNode(nodeClaims(now))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := key.Sign(Claims{Issuer: audience, Subject: "node_x", Audience: audience, Expires: now.Add(time.Minute), NotBefore: now, IssuedAt: now, ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	long, eternal, nameless := nodeClaims(now), nodeClaims(now), nodeClaims(now)
	long.Version, eternal.Expires, nameless.Node = strings.Repeat("x", MaxNodeToken), now.Add(NodeLife+time.Second), ""
	cases := map[string]string{"registry's": registry, "cut": good[:len(good)-1], "empty": "", "none": "eyJhbGciOiJub25lIn0.e30."}
	for name, claims := range map[string]NodeClaims{"long": long, "eternal": eternal, "nameless": nameless} {
		if cases[name], err = key.SignNode(claims); err != nil {
			t.Fatal(err)
		}
	}
	head, rest, _ := strings.Cut(good, ".")
	cases["mended"] = head + "." + "eyJzdWIiOiJub2RlX3kifQ" + rest[strings.IndexByte(rest, '.'):]
	for name, text := range cases {
		parsed, err := ParseNode(text)
		if err == nil {
			_, err = parsed.Verify(key.Public(), audience, now)
		}
		if !errors.Is(err, ErrNodeToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPublicText(t *testing.T) {
	key := newTestKey(t)
	if public, err := ParsePublicText(PublicText(key.Public())); err != nil || !public.Equal(key.Public()) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "x", PublicText(key.Public()) + "=", PublicText(key.Public())[:42]} {
		if _, err := ParsePublicText(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func newTestKey(t testing.TB) *Key {
	t.Helper()
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzParseNode(f *testing.F) {
	key := newTestKey(f)
	good, err := key.SignNode(nodeClaims(time.Unix(1_800_000_000, 0)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	other := newTestKey(f)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseNode(text)
		if err != nil {
			return
		}
		if _, err := parsed.Verify(other.Public(), audience, time.Unix(1_800_000_000, 0)); err == nil {
			t.Errorf("%q passes for another's key", text)
		}
	})
}
