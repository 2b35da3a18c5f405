package image

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// What can be wrong with a reference, a host or a pattern. The errors of this package wrap one of them, name the text
// in question, and say what to write instead.
var (
	ErrEmpty      = errors.New("it is empty")
	ErrSpace      = errors.New("it has a space or a control character in it")
	ErrScheme     = errors.New("it begins with a URL scheme")
	ErrUserinfo   = errors.New("it has a user name or password in it")
	ErrHost       = errors.New("its host is not a host name")
	ErrUppercase  = errors.New("its repository has upper-case letters")
	ErrRepository = errors.New("its repository is not well formed")
	ErrTooLong    = errors.New("it is too long")
	ErrTag        = errors.New("its tag is not well formed")
	ErrDigest     = errors.New("its digest is not well formed")
	ErrImageID    = errors.New("it is an image ID, which only one machine knows")
	ErrPattern    = errors.New("it is not a match pattern")
	ErrWideHost   = errors.New("its host has a wildcard in the last two labels")
)

const longestQuote = 300 // bytes of foreign text that an error repeats

// fault makes the error of this package: which text, what is wrong with it, and what to write instead.
func fault(what, text string, kind error, instead string) error {
	return fmt.Errorf("%s %s: %w: %s", what, quote(text), kind, instead)
}

// quote repeats foreign text for an error: bounded, escaped, and without what may be a password before an "@".
func quote(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 && !looksLikeDigest(text[at+1:]) {
		text = "…@" + text[at+1:]
	}
	if len(text) > longestQuote {
		text = strings.ToValidUTF8(text[:longestQuote], "") + "…"
	}
	return fmt.Sprintf("%q", text)
}

// looksLikeDigest tells "sha256:…" from what follows a password.
func looksLikeDigest(s string) bool {
	algorithm, hex, ok := strings.Cut(s, ":")
	return ok && strings.HasPrefix(algorithm, "sha") && !strings.ContainsAny(hex, "/:")
}

func hasSpace(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// schemeOf returns "https://" of "https://gcr.io/x", as written, or "".
func schemeOf(s string) string {
	i := strings.Index(s, "://")
	if i < 0 || strings.ContainsAny(s[:i], "/@") {
		return ""
	}
	return s[:i+len("://")]
}
