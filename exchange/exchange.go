// Package exchange turns a secret into a registry login. Each kind of registry is one sub-room.
package exchange

import (
	"context"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/secret"
)

// A Request is what an exchange may use, and for whom.
type Request struct {
	Host   string       // the registry host that the login is for, canonical
	Hosts  []string     // the literal hosts of the registry's match, canonical and sorted; none when a pattern has a glob in its host
	Secret secret.Value // the content of the secret; empty where none is configured
	Sealed bool         // the secret was sealed together with Hosts, so these name it
	Whole  bool         // the secret is for every literal host of match although it names none itself (a registry's own)
}

// An Exchanger makes a credential. Errors: ErrHostMismatch, ErrContent, ErrRefused, ErrUnreachable.
type Exchanger interface {
	Exchange(ctx context.Context, r Request) (credential.Credential, error)
}
