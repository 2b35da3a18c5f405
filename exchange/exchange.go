// Package exchange turns a secret into a registry login. It is for brokers; each kind of registry is one sub-room, and
// exchange/exchangetest is what each must keep.
//
// A login goes only to a host that it is for: one written out in the secret, or bound to it when it was sealed, or the
// only hosts that an admin can have meant. Where that fails, no byte of the secret leaves.
package exchange

import (
	"context"
	"errors"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/secret"
)

// A Request is what an exchange may use, and for whom.
type Request struct {
	Host       string       // the registry host that the login is for, canonical (image.CanonicalHost)
	Repository string       // below that host; "" where it is not known, then a login for a part of the host serves only if it is the only one
	Hosts      []string     // the literal hosts of the registry's match, canonical and sorted; none when a pattern has a glob in its host, or when no registry is concerned
	Secret     secret.Value // the content of the secret; empty where none is configured
	Sealed     bool         // the secret was sealed together with Hosts, so these name it

	Identity    bool   // the node's own identity makes the login, and Secret is empty
	AssumeRole  string // ecr: ARN of a role to assume first, or ""
	ExternalID  string // ecr: sent with AssumeRole; never empty beside it
	Impersonate string // gcp: e-mail of a service account to stand in for, or ""
	Push        bool   // the login is for pushing to Repository; where a vendor's logins have an extent it includes that
	Refused     string // ID of the login that the registry did not accept (credential.ID), or ""; an exchange that remembers logins gives it once more at most for a while
	// Out is the way to Host under the registry's rules, for exchanges that happen at the registry itself; it may be nil
	// for the others.
	Out *egress.Client
}

// An Exchanger makes a credential. The credential's hosts include Request.Host.
type Exchanger interface {
	// Exchange makes the login for r.Host. Errors: ErrHostMismatch when the secret is for other hosts, ErrContent when it
	// cannot be used as it is, ErrNoIdentity when it is to be the node's and the node has none, ErrRefused when whoever
	// issues logins refuses it, ErrUnreachable when they do not answer, or put off for longer than a pull can wait.
	// No error contains a part of the secret.
	Exchange(ctx context.Context, r Request) (credential.Credential, error)
}

// A Creator is an Exchanger of a registry that wants repositories made before the first push.
type Creator interface {
	// CreateRepository makes r.Repository at r.Host; one that is there already is no error. Errors: as for Exchange.
	CreateRepository(ctx context.Context, r Request) error
}

// What an exchange can answer, found with errors.Is.
var (
	ErrHostMismatch = errors.New("the login is for another host")
	ErrContent      = errors.New("the secret's content cannot be used as a login")
	ErrNoIdentity   = errors.New("the node has no identity of that cloud")
	ErrRefused      = errors.New("the login was refused")
	ErrUnreachable  = errors.New("the issuer of logins does not answer")
)

// An Error is what is wrong with a login, for people. It never contains a part of a secret.
type Error struct {
	Kind error  // one of the errors above
	Text string // one sentence, without a trailing full stop
	Hint string // what to do, or empty
}

// Error is the sentence; faces print Hint on a line of its own.
func (e *Error) Error() string { return e.Text }

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
