// Package ids makes the random names of things and the texts of tokens. It is for the store, which gives them out, and
// for programs that want to reject a mistyped one without asking.
package ids

import (
	"crypto/rand"
	"strings"
)

// alphabet is Crockford's base32 in lower case: no i, l, o or u, so an id can be read aloud.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// length is the number of random characters of an id: 5 bits each, 80 in all.
const length = 16

// New returns "<prefix>_<16 characters>" with 80 random bits.
func New(prefix string) string { return prefix + "_" + random(length) }

// Valid tells whether text has the form that New gives for prefix.
func Valid(prefix, text string) bool {
	rest, found := strings.CutPrefix(text, prefix+"_")
	return found && len(rest) == length && inAlphabet(rest)
}

// random returns n characters of 5 random bits each.
func random(n int) string {
	bytes := make([]byte, n)
	_, _ = rand.Read(bytes) // never fails; it ends the process instead
	for i := range bytes {
		bytes[i] = alphabet[bytes[i]&31]
	}
	return string(bytes)
}

func inAlphabet(text string) bool {
	return strings.Trim(text, alphabet) == ""
}
