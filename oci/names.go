package oci

import (
	_ "crypto/sha256" // the two algorithms that digests may have
	_ "crypto/sha512"

	"github.com/opencontainers/go-digest"
)

// MaxRepository is the longest repository name taken, in bytes: clients limit host and name together to 255.
const MaxRepository = 255

// ValidRepository tells whether name is a repository name (OCI distribution specification, "Pulling manifests"):
// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, and the same again after each slash. It is on the path of every request, hence
// no regular expression.
func ValidRepository(name string) bool {
	if len(name) == 0 || len(name) > MaxRepository {
		return false
	}
	for i := 0; i < len(name); {
		start := i
		for i < len(name) && lowerAlphanumeric(name[i]) {
			i++
		}
		if i == start {
			return false
		}
		if i == len(name) {
			return true
		}
		if i = afterSeparator(name, i); i < 0 {
			return false
		}
	}
	return false // it ended in a separator
}

// afterSeparator returns the place after the separator that begins at i, or -1.
func afterSeparator(name string, i int) int {
	switch name[i] {
	case '/', '.':
		return i + 1
	case '_':
		if i+1 < len(name) && name[i+1] == '_' {
			return i + 2
		}
		return i + 1
	case '-':
		for i < len(name) && name[i] == '-' {
			i++
		}
		return i
	}
	return -1
}

// ValidTag tells whether tag is one: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func ValidTag(tag string) bool {
	if len(tag) == 0 || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		c := tag[i]
		if !lowerAlphanumeric(c) && (c < 'A' || c > 'Z') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func lowerAlphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// errDigestForm does not repeat what was there: it may be long, or nothing.
var errDigestForm = ErrDigestInvalid.With("a digest is sha256: and 64 hex digits, or sha512: and 128, in lower case")

// ParseDigest reads a sha256 or sha512 digest. Error: ErrDigestInvalid.
func ParseDigest(s string) (digest.Digest, error) {
	const prefix = len("sha256:")
	size := 0
	if len(s) > prefix {
		switch s[:prefix] {
		case "sha256:":
			size = 64
		case "sha512:":
			size = 128
		}
	}
	if size == 0 || len(s) != prefix+size {
		return "", errDigestForm
	}
	for i := prefix; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", errDigestForm
		}
	}
	return digest.Digest(s), nil
}
