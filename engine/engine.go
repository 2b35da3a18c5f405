// Package engine runs containers: one interface, whoever the engine is. It is for the agent.
package engine

import (
	"context"
	"io"
	"time"
)

// An ImageSource is where the engine fetches an image: the agent's loopback end-point, with a login that is good for
// this one execution and for nothing else.
type ImageSource struct {
	Reference string // "127.0.0.1:5050/<host>/<repository>@sha256:…"
	Username  string
	Password  string   // never logged
	Tags      []string // the names that the image gets once it is there: "host/repository:tag"
}

// A Mount is a directory of the node seen in the container.
type Mount struct {
	Source, Destination string // absolute, without commas, quotes and control characters; Source must exist
	ReadOnly            bool
}

// A Spec is one container.
type Spec struct {
	Name        string            // unique on the engine: "pier-exe-…"
	Labels      map[string]string // what the agent finds it again by
	Image       string            // image id, as Pull returned it
	Command     []string          // argv; empty: the image's own entrypoint and command
	Entrypoint  []string          // non-nil replaces the image's (an empty, non-nil one clears it and needs a Command)
	Environment []string          // "K=V", sorted; a name alone is refused
	Mounts      []Mount
}

// A State is what the engine says of a container. One that neither runs nor has exited was not started, or its start was
// refused, or it ran when the machine went down.
type State struct {
	ID         string
	Running    bool
	Exited     bool // it ran and ended; ExitCode is true
	ExitCode   int
	OOMKilled  bool
	Error      string // the engine's own words when it did not start
	StartedAt  time.Time
	FinishedAt time.Time
}

// A PlatformTeller is an Engine that says what an image is made for.
type PlatformTeller interface {
	// Platform returns the platform of an image that is there, "linux/amd64", or "" where the image does not say it.
	// Errors: ErrNotFound.
	Platform(ctx context.Context, imageID string) (string, error)
}

// An Engine is Docker or Podman by its API. Errors: ErrNotFound, ErrUnreachable, ErrNoCommand, ErrNotExecutable,
// found with errors.Is.
type Engine interface {
	// Version names the engine and its version, "podman 4.3.1".
	Version(ctx context.Context) (string, error)
	// Pull fetches an image from source, gives it its tags, drops the name that it was fetched by unless
	// it has no other, and returns its id.
	Pull(ctx context.Context, source ImageSource) (id string, err error)
	// ImageID returns the id of an image that is already there by name or id. Errors: ErrNotFound.
	ImageID(ctx context.Context, name string) (string, error)
	// Create makes a container and does not start it.
	Create(ctx context.Context, spec Spec) (id string, err error)
	// Start starts a created container. Errors: ErrNoCommand when the image has no such program, ErrNotExecutable when
	// it is one that may not be executed.
	Start(ctx context.Context, id string) error
	// Find returns the container with a name. Errors: ErrNotFound.
	Find(ctx context.Context, name string) (State, error)
	// Logs writes the container's output from its beginning, stdout and stderr in the order that the engine kept;
	// with follow it returns when the container ended. A log that breaks off, also because the engine is stopped
	// while the container runs on, is an error, and the same bytes come again when it is read again.
	Logs(ctx context.Context, id string, follow bool, to io.Writer) error
	// Wait returns when the container does not run: when it has ended, or at once when it was never started.
	Wait(ctx context.Context, id string) (State, error)
	// Stop asks the container to end and kills it after grace. One that does not run is fine. Errors: ErrNotFound.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// Remove deletes a container that does not run, and its anonymous volumes. Errors: ErrNotFound.
	Remove(ctx context.Context, id string) error
}
