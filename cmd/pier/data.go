package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/durable"
)

// A dataDirectory is the one place where a process keeps things; a lock keeps every second process out.
//
//	server/     database, keys            registry/   the hosted registry
//	agent/      the node's own            secrets/    what the operator laid out
type dataDirectory struct {
	path string
	lock *durable.Lock
}

func openData(path string) (*dataDirectory, error) {
	for _, directory := range []string{path, filepath.Join(path, "server"), filepath.Join(path, "agent"), filepath.Join(path, "secrets")} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the data directory cannot be made: %v", err), "say --data DIR, or make it and give it to this user")
		}
	}
	lock, err := durable.AcquireLock(filepath.Join(path, "lock"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("another pier is running on the data directory %s", path), "stop it first, or say --data DIR for another one")
	}
	if err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the data directory cannot be used: %v", err), "")
	}
	return &dataDirectory{path: path, lock: lock}, nil
}

// in is a path inside.
func (d *dataDirectory) in(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// Close lets others in.
func (d *dataDirectory) Close() error { return d.lock.Close() }
