package secret

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxContent is the longest secret that a source hands out, in bytes: 64 KiB, as AWS and Google have it.
const MaxContent = 64 << 10

// What a source can answer. Find them with errors.Is; the error itself is an *Error, mostly.
var (
	ErrRef           = errors.New("bad secret reference")
	ErrUnknownScheme = fmt.Errorf("%w: unknown scheme", ErrRef)
	ErrNotFound      = errors.New("secret not found")
	ErrNotAllowed    = errors.New("secret not allowed")
	ErrUnreachable   = errors.New("secret store unreachable")
	ErrContent       = errors.New("secret without usable content") // empty, or longer than MaxContent
)

// A Source fetches secrets.
type Source interface {
	// Get returns the content that ref has now; nothing is kept, so that a rotated secret is seen at the next Get.
	// The Value is never empty when the error is nil. Errors: ErrRef when the reference is none of this source's,
	// ErrNotFound, ErrNotAllowed (the store or its operator refuses), ErrUnreachable (the store did not answer; a
	// later try may), ErrContent; the context's own error when it ended. No error contains a part of a secret.
	Get(ctx context.Context, ref Ref) (Value, error)
}

// A Rotated source knows what a secret held before its last rotation. For a while after a rotation, or before the end of
// one, that is what still opens the door.
type Rotated interface {
	// Previous returns the content that ref had before the one that Get returns. Errors: as for Get; ErrNotFound when there
	// is none.
	Previous(ctx context.Context, ref Ref) (Value, error)
}

// An Error is what went wrong with one secret, for people. It never contains a part of a secret.
type Error struct {
	Kind error  // one of the errors above
	Ref  Ref    // zero where it did not parse
	Text string // one sentence, without a trailing full stop
	Hint string // what to do, or empty
}

// Error is the reference and the sentence; faces print Hint on a line of its own.
func (e *Error) Error() string {
	if e.Ref.IsZero() {
		return e.Text
	}
	return fmt.Sprintf("secret %s: %s", e.Ref, e.Text)
}

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

// HintOf returns the hint of the first Error in err's tree, or "".
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// A Mux is a Source that asks the source of the reference's scheme.
type Mux map[string]Source

// Get asks the source of ref's scheme. Errors: that source's, and ErrUnknownScheme (which is an ErrRef as well).
func (m Mux) Get(ctx context.Context, ref Ref) (Value, error) {
	if ref.IsZero() {
		return Value{}, refError("the secret reference is empty")
	}
	source, known := m[ref.Scheme()]
	if known && source != nil {
		return source.Get(ctx, ref)
	}
	hint := "no secret source is configured here"
	if schemes := m.Schemes(); len(schemes) > 0 {
		hint = "the schemes configured here are " + strings.Join(schemes, ", ")
	}
	return Value{}, &Error{Kind: ErrUnknownScheme, Ref: ref, Text: fmt.Sprintf("no source here has the scheme %q", ref.Scheme()), Hint: hint}
}

// Previous asks the source of ref's scheme for the content before the last rotation. Errors: that source's; ErrNotFound
// when it keeps none.
func (m Mux) Previous(ctx context.Context, ref Ref) (Value, error) {
	if rotated, ok := m[ref.Scheme()].(Rotated); ok {
		return rotated.Previous(ctx, ref)
	}
	return Value{}, &Error{Kind: ErrNotFound, Ref: ref, Text: "its store keeps no earlier content"}
}

// Schemes lists what m can serve, sorted.
func (m Mux) Schemes() []string {
	var schemes []string
	for scheme, source := range m {
		if source != nil {
			schemes = append(schemes, scheme)
		}
	}
	slices.Sort(schemes)
	return schemes
}
