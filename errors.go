package pierhead

import "errors"

// The kinds of problem that a person can be told of. Every error that crosses the API is one of them;
// api.StatusOf has the one table from kind to HTTP status and exit code.
var (
	ErrBadInput    = errors.New("bad input")
	ErrNotFound    = errors.New("not found")
	ErrNotAllowed  = errors.New("not allowed")
	ErrConflict    = errors.New("conflict")
	ErrUnreachable = errors.New("unreachable")
	ErrPull        = errors.New("pull or credential")
)

// A Problem is an error for people: what is wrong in one sentence, and what to do about it.
type Problem struct {
	Kind  error  // one of the kinds above
	Text  string // one sentence, without a trailing full stop
	Hint  string // what to do, or empty
	Cause error  // what errors.Is and errors.As should see too, or nil; never shown by itself
}

// NewProblem makes a Problem without a cause.
func NewProblem(kind error, text, hint string) *Problem {
	return &Problem{Kind: kind, Text: text, Hint: hint}
}

// Error is the sentence alone; faces print Hint on a line of its own.
func (p *Problem) Error() string { return p.Text }

// Unwrap lets errors.Is find the kind and the cause.
func (p *Problem) Unwrap() []error {
	if p.Cause == nil {
		return []error{p.Kind}
	}
	return []error{p.Kind, p.Cause}
}

// HintOf returns the hint of the first Problem in err's tree, or "".
func HintOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Hint
	}
	return ""
}
