//go:build !linux

package docker

import (
	"context"
	"os/exec"
)

// Podman's service runs on Linux; elsewhere it is a virtual machine with a socket, which Discover finds.

func detach(*exec.Cmd) {}

func mustBeOurs(string) error { return nil }

func stopLeftOver(context.Context, string) error { return nil }
