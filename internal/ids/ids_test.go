package ids

import (
	"errors"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := New("exe")
		if !Valid("exe", id) || seen[id] {
			t.Fatalf("New gave %q", id)
		}
		seen[id] = true
	}
	for _, bad := range []string{"", "exe_", "reg_0123456789abcdef", "exe_0123456789abcde", "exe_0123456789abcdeu", "exe_0123456789ABCDEF"} {
		if Valid("exe", bad) {
			t.Errorf("Valid(%q)", bad)
		}
	}
}

func TestTokenChecksum(t *testing.T) {
	text := NewToken("pat")
	if kind, err := TokenKind(text); err != nil || kind != "pat" {
		t.Fatalf("TokenKind of a fresh token = %q, %v", kind, err)
	}
	for i := range text { // every single mistyped character is noticed
		other := byte('x')
		if text[i] == 'x' {
			other = 'y'
		}
		if _, err := TokenKind(text[:i] + string(other) + text[i+1:]); !errors.Is(err, ErrToken) {
			t.Errorf("a token with character %d changed passes", i)
		}
		if _, err := TokenKind(text[:i]); !errors.Is(err, ErrToken) {
			t.Errorf("a token cut at %d passes", i)
		}
	}
}

func FuzzTokenKind(f *testing.F) {
	f.Add(NewToken("node"))
	f.Add("pier_pat__")
	f.Add("pier_____")
	f.Fuzz(func(t *testing.T, text string) {
		kind, err := TokenKind(text)
		if err == nil && !strings.HasPrefix(text, "pier_"+kind+"_") {
			t.Errorf("%q is of kind %q", text, kind)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), text) && len(text) > 8 {
			t.Errorf("the error repeats the token")
		}
	})
}

func TestJoinText(t *testing.T) {
	token, hash := NewToken("join"), []byte("0123456789abcdef0123456789abcdef")
	if got, authority, err := SplitJoin(JoinText(token, hash)); err != nil || got != token || string(authority) != string(hash) {
		t.Errorf("%q, %q, %v", got, authority, err)
	}
	if got, authority, err := SplitJoin(JoinText(token, nil)); err != nil || got != token || authority != nil {
		t.Errorf("%q, %q, %v", got, authority, err)
	}
	for _, bad := range []string{"", token + ".", token + ".x", JoinText(token, hash)[1:], JoinText(token, hash) + "A", JoinText(token, hash[1:]), NewToken("pat"), token + "." + token} {
		if _, _, err := SplitJoin(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%q passes", bad)
		}
	}
}

func FuzzSplitJoin(f *testing.F) {
	f.Add(JoinText(NewToken("join"), []byte("0123456789abcdef0123456789abcdef")))
	f.Add(NewToken("join"))
	f.Fuzz(func(t *testing.T, text string) {
		if token, authority, err := SplitJoin(text); err == nil && JoinText(token, authority) != text {
			t.Errorf("%q is printed as %q", text, JoinText(token, authority))
		}
	})
}
