package oci_test

import (
	"errors"
	"regexp"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// The scanners say what the specification's expressions say.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "a/b", "a//b", "a__b", "a___b", "a--b", "a-", "A", ".a", "a..b", "127.0.0.1_5000/x", "_", "v1.0", "-x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := oci.ValidRepository(s), nameGrammar.MatchString(s) && len(s) <= oci.MaxRepository; got != want {
			t.Errorf("ValidRepository(%q) = %v", s, got)
		}
		if got, want := oci.ValidTag(s), tagGrammar.MatchString(s); got != want {
			t.Errorf("ValidTag(%q) = %v", s, got)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	f.Add("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	f.Add("sha512:" + digest.SHA512.FromString("x").Encoded())
	f.Add("sha384:" + digest.SHA384.FromString("x").Encoded())
	f.Add("sha256:E3")
	f.Add("sha256:../../../etc/passwd")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := oci.ParseDigest(s)
		reference := digest.Digest(s)
		want := reference.Validate() == nil && (reference.Algorithm() == digest.SHA256 || reference.Algorithm() == digest.SHA512)
		if got := err == nil; got != want {
			t.Fatalf("ParseDigest(%q): %v", s, err)
		}
		if err == nil && d != reference || err != nil && !errors.Is(err, oci.ErrDigestInvalid) {
			t.Errorf("ParseDigest(%q) = %q, %v", s, d, err)
		}
	})
}
