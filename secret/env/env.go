// Package env is the secret source of the process's environment: "env:NAME" is the variable PIER_SECRET_NAME.
//
// The prefix is the fence: a reference can name only what the operator set for this purpose, never PATH, a cloud's
// credentials or the process's own tokens. A child process must not inherit these variables: see Without.
package env

import (
	"context"
	"fmt"
	"os"

	"pierhead.dev/pierhead/secret"
)

// Scheme is the scheme of references that this source serves.
const Scheme = "env"

// Prefix begins the names of all variables that this source reads.
const Prefix = "PIER_SECRET_"

// A Source reads secrets from environment variables.
type Source struct {
	lookup func(name string) (string, bool)
}

// New makes a Source that asks lookup; nil is os.LookupEnv.
func New(lookup func(name string) (string, bool)) *Source {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	return &Source{lookup: lookup}
}

// Get reads the variable. Errors: secret.ErrRef when the name is not letters, digits and '_'; ErrNotFound when the
// variable is not set; ErrContent when it is empty or longer than secret.MaxContent.
func (s *Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if ref.Scheme() != Scheme || !safeName(ref.Name()) {
		return secret.Value{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: "not the name of a variable",
			Hint: "write env:NAME with letters, digits and '_' in NAME; it is read from " + Prefix + "NAME"}
	}
	if err := ctx.Err(); err != nil {
		return secret.Value{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	variable := Prefix + ref.Name()
	content, set := s.lookup(variable)
	switch {
	case !set:
		return secret.Value{}, &secret.Error{Kind: secret.ErrNotFound, Ref: ref, Text: "the variable " + variable + " is not set",
			Hint: "set it in the environment of the agent and start the agent again"}
	case content == "":
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "the variable " + variable + " is empty"}
	case len(content) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref,
			Text: fmt.Sprintf("the variable %s is longer than %d KiB", variable, secret.MaxContent>>10)}
	}
	return secret.NewValue([]byte(content)), nil
}

func safeName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && !('0' <= c && c <= '9') {
			return false
		}
	}
	return name != "" && len(name) <= 255
}
