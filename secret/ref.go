// Package secret says where secrets are kept and what a secret is.
//
// A Ref names a secret and is safe to print, to log and to keep in the control plane. A Value is the secret itself; it
// cannot be printed, logged or marshalled, only revealed to code that asks for the bytes. A Source fetches the one by
// the other; each kind of store is a sub-room: secret/file is a directory that the operator laid out, secret/env the
// process's environment. secret/sealed is credentials that were encrypted on an admin's side. secret/secrettest is what
// every source must keep.
package secret

import (
	"encoding"
	"fmt"
	"strings"
)

// MaxRef is the longest reference, in bytes.
const MaxRef = 1024

// A Ref says where a secret is kept, as text "<scheme>:<name>": "file:registry", "env:REGISTRY",
// "arn:aws:secretsmanager:eu-west-1:…", "https://acme.vault.azure.net/secrets/registry". What the name means is the
// scheme's affair. A Ref is safe to print. The zero Ref names nothing.
type Ref struct {
	scheme, name string
}

var (
	_ fmt.Stringer             = Ref{}
	_ encoding.TextMarshaler   = Ref{}
	_ encoding.TextUnmarshaler = (*Ref)(nil)
)

// Parse reads a reference. It checks the form only: a scheme of lower-case letters, digits, '+', '-' and '.', a colon,
// and a name of printable ASCII without spaces. A URL with a user name or password in it is refused, since references
// are printed. The error is ErrRef; it never repeats the text, because people paste secrets into the wrong field.
func Parse(text string) (Ref, error) {
	if text == "" {
		return Ref{}, refError("the secret reference is empty")
	}
	if len(text) > MaxRef {
		return Ref{}, refError(fmt.Sprintf("the secret reference is longer than %d bytes", MaxRef))
	}
	scheme, name, found := strings.Cut(text, ":")
	if !found || !isScheme(scheme) {
		return Ref{}, refError("the secret reference does not begin with a scheme")
	}
	if name == "" {
		return Ref{}, refError("the secret reference has a scheme but no name")
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' {
			return Ref{}, refError(fmt.Sprintf("byte %d of the secret reference is not a printable ASCII character", len(scheme)+2+i))
		}
	}
	if rest, isURL := strings.CutPrefix(name, "//"); isURL {
		authority, _, _ := strings.Cut(rest, "/")
		if authority == "" || strings.Contains(authority, "@") {
			return Ref{}, refError("the secret reference is a URL without a host, or with a login in it")
		}
	}
	return Ref{scheme: scheme, name: name}, nil
}

func refError(text string) error {
	return &Error{Kind: ErrRef, Text: text, Hint: "write it as <scheme>:<name>, for example file:registry or env:REGISTRY"}
}

func isScheme(s string) bool {
	for i := range len(s) {
		letter := 'a' <= s[i] && s[i] <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(s[i]))) {
			return false
		}
	}
	return s != ""
}

// Scheme is what stands before the first colon: "file", "env", "https", "arn".
func (r Ref) Scheme() string { return r.scheme }

// Name is what follows the first colon.
func (r Ref) Name() string { return r.name }

// IsZero tells whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// String is the text that Parse reads; "" for the zero Ref.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.scheme + ":" + r.name
}

// MarshalText is String.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is Parse; an empty text gives the zero Ref.
func (r *Ref) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Ref{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}
