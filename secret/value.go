package secret

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// A Value is a secret. No verb of fmt, no logger and no encoder gets its content: formatting gives "(secret)", and
// marshalling fails, so that a Value in a stored or wire struct is found by the first test that touches it.
//
// The content lies behind a function, because printers that read unexported fields by reflection (fmt does, for a
// Value in an unexported field; spew does always) follow pointers and slices, but cannot look into a function.
// For the same reason == on two Values does not compile, and reflect.DeepEqual finds them different: use Equal.
// The zero Value is empty.
type Value struct {
	reveal func() []byte
}

// errMarshal is the answer to every encoder.
var errMarshal = errors.New("a secret value cannot be marshalled")

// NewValue keeps a copy of content.
func NewValue(content []byte) Value {
	if len(content) == 0 {
		return Value{}
	}
	kept := bytes.Clone(content)
	return Value{reveal: func() []byte { return kept }}
}

// Reveal returns a copy of the content; nil when the Value is empty. Whoever calls it answers for where it goes.
func (v Value) Reveal() []byte {
	if v.reveal == nil {
		return nil
	}
	return bytes.Clone(v.reveal())
}

// Empty tells whether there is no content.
func (v Value) Empty() bool { return v.reveal == nil }

// Equal tells whether two Values have the same content, in a time that does not depend on the content.
func (v Value) Equal(other Value) bool {
	if v.Empty() || other.Empty() {
		return v.Empty() == other.Empty()
	}
	mine, theirs := sha256.Sum256(v.reveal()), sha256.Sum256(other.reveal())
	return subtle.ConstantTimeCompare(mine[:], theirs[:]) == 1
}

// String says that there is a secret.
func (v Value) String() string {
	if v.Empty() {
		return "(no secret)"
	}
	return "(secret)"
}

// GoString is String; %#v does not ask for it, because of Format, but other printers do.
func (v Value) GoString() string { return v.String() }

// Format is String for every verb and flag: with String alone, %d and %x would print the content.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, v.String()) }

// LogValue is String.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON fails.
func (v Value) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalText fails.
func (v Value) MarshalText() ([]byte, error) { return nil, errMarshal }

// MarshalBinary fails.
func (v Value) MarshalBinary() ([]byte, error) { return nil, errMarshal }

// MarshalYAML fails.
func (v Value) MarshalYAML() (any, error) { return nil, errMarshal }

// GobEncode fails.
func (v Value) GobEncode() ([]byte, error) { return nil, errMarshal }

// UnmarshalJSON fails: a Value comes from a Source, never from a message.
func (v *Value) UnmarshalJSON([]byte) error { return errMarshal }

// UnmarshalText fails.
func (v *Value) UnmarshalText([]byte) error { return errMarshal }

// UnmarshalBinary fails.
func (v *Value) UnmarshalBinary([]byte) error { return errMarshal }

// GobDecode fails.
func (v *Value) GobDecode([]byte) error { return errMarshal }
