package engine

import "errors"

var (
	// ErrNotFound: no such image or container.
	ErrNotFound = errors.New("not found by the engine")
	// ErrUnreachable: the engine does not answer.
	ErrUnreachable = errors.New("the engine does not answer")
	// ErrNoCommand: the container's first program is not in the image.
	ErrNoCommand = errors.New("the image has no such program")
	// ErrNotExecutable: the container's first program is there and may not be executed.
	ErrNotExecutable = errors.New("the program may not be executed")
)
