package api

import (
	"errors"
	"fmt"
	"net/http"

	"pierhead.dev/pierhead"
)

// ErrUnauthenticated is the kind of a request without a token that counts: a special case of pierhead.ErrNotAllowed.
var ErrUnauthenticated = fmt.Errorf("not logged in: %w", pierhead.ErrNotAllowed)

// A Status is how one kind of problem looks on the wire and to a shell.
type Status struct {
	Code string // in the envelope
	HTTP int    // the status of the answer
	Exit int    // of the command line
}

// internal is what everything without a kind becomes; its text stays in the server's log.
var internal = Status{Code: "internal", HTTP: http.StatusInternalServerError, Exit: 1}

// statuses is the one table from kind to HTTP status and exit code, in the order in which errors.Is is asked.
var statuses = []struct {
	kind error
	Status
}{
	{ErrUnauthenticated, Status{"unauthenticated", http.StatusUnauthorized, 4}},
	{pierhead.ErrPull, Status{"pull", http.StatusFailedDependency, 7}},
	{pierhead.ErrBadInput, Status{"bad_input", http.StatusBadRequest, 2}},
	{pierhead.ErrNotFound, Status{"not_found", http.StatusNotFound, 3}},
	{pierhead.ErrNotAllowed, Status{"not_allowed", http.StatusForbidden, 4}},
	{pierhead.ErrConflict, Status{"conflict", http.StatusConflict, 5}},
	{pierhead.ErrUnreachable, Status{"unreachable", http.StatusServiceUnavailable, 6}},
}

// foreign are the statuses of answers without an envelope: a proxy's, or of an address that is no Pierhead.
var foreign = map[int]error{
	http.StatusUnauthorized:          ErrUnauthenticated,
	http.StatusForbidden:             pierhead.ErrNotAllowed,
	http.StatusNotFound:              pierhead.ErrNotFound,
	http.StatusConflict:              pierhead.ErrConflict,
	http.StatusBadRequest:            pierhead.ErrBadInput,
	http.StatusMethodNotAllowed:      pierhead.ErrBadInput,
	http.StatusRequestEntityTooLarge: pierhead.ErrBadInput,
	http.StatusUnprocessableEntity:   pierhead.ErrBadInput,
	http.StatusBadGateway:            pierhead.ErrUnreachable,
	http.StatusServiceUnavailable:    pierhead.ErrUnreachable,
	http.StatusGatewayTimeout:        pierhead.ErrUnreachable,
	http.StatusTooManyRequests:       pierhead.ErrUnreachable,
}

// StatusOf finds the row of an error's kind; an error without a kind is "internal", 500, exit 1. Nil is success:
// 200, exit 0.
func StatusOf(err error) Status {
	if err == nil {
		return Status{HTTP: http.StatusOK}
	}
	for _, row := range statuses {
		if errors.Is(err, row.kind) {
			return row.Status
		}
	}
	return internal
}

// ExitOf is the exit code of the command line for an error.
func ExitOf(err error) int { return StatusOf(err).Exit }

// An Error is the envelope of every answer that is not a success: {"error":{"code","message","hint"}}.
type Error struct {
	Error ErrorBody `json:"error" doc:"What went wrong."`
}

// An ErrorBody is one problem for people and programs.
type ErrorBody struct {
	Code    string `json:"code" doc:"The kind: unauthenticated, not_allowed, bad_input, not_found, conflict, unreachable, pull or internal."`
	Message string `json:"message" doc:"What is wrong, in one sentence."`
	Hint    string `json:"hint,omitempty" doc:"What to do about it."`
}

// ErrorOf makes the envelope of an error. The text of an error without a kind is not shown: it may name what only the
// operator should read.
func ErrorOf(err error) (Status, Error) {
	status := StatusOf(err)
	if status == internal {
		return status, Error{ErrorBody{status.Code, "the server made a mistake", "ask the operator to look at the server's log"}}
	}
	return status, Error{ErrorBody{status.Code, err.Error(), pierhead.HintOf(err)}}
}

// problemOf is ErrorOf's way back: status is the answer's, body what it held.
func problemOf(status int, body ErrorBody) error {
	for _, row := range statuses {
		if row.Code == body.Code {
			return pierhead.NewProblem(row.kind, body.Message, body.Hint)
		}
	}
	if body.Code == internal.Code {
		return fmt.Errorf("%s (%s)", body.Message, body.Hint)
	}
	return foreignProblem(status)
}

// foreignProblem is the error for an answer that has no envelope of ours.
func foreignProblem(status int) error {
	text := fmt.Sprintf("the answer was %d %s, without a reason", status, http.StatusText(status))
	kind, known := foreign[status]
	if !known {
		return errors.New(text)
	}
	return pierhead.NewProblem(kind, text, "check that the URL is the one of a Pierhead server; a proxy may have answered in its place")
}
