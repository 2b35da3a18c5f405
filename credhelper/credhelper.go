// Package credhelper asks the agent of a node for credentials, for the programs that runtimes start: each sub-room is one
// protocol of theirs on stdin and stdout.
//
// A runtime starts a helper for every pull and waits for it, so this room speaks HTTP/1 and JSON by hand: net/http alone
// would double a program's start. What it reads is bounded in size and time.
package credhelper

import (
	"context"
	"errors"

	"pierhead.dev/pierhead/internal/doors"
)

// An Ask asks the agent for a credential. Errors are for people, in one line: ErrNone, where there is none and the runtime
// may go on without; every other means that there is one, or that nobody could say.
type Ask func(ctx context.Context, ask doors.Ask) (doors.Loan, error)

// ErrNone says that there is no credential.
var ErrNone = errors.New("there is no credential")

// A Refusal is why there is no credential, in one line for people, and what to do.
type Refusal struct {
	doors.Refusal
	None  bool // errors.Is finds ErrNone
	Cause error
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason }

// Unwrap is ErrNone where there is none, else the cause.
func (r *Refusal) Unwrap() error {
	if r.None {
		return ErrNone
	}
	return r.Cause
}

// HintOf is what to do about an error of an Ask, or "".
func HintOf(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Hint
	}
	return ""
}

func refuse(reason, hint string, cause error) error {
	return &Refusal{Refusal: doors.Refusal{Reason: reason, Hint: hint}, Cause: cause}
}
