//go:build !linux

package docker

import "github.com/moby/moby/api/types/container"

func podmanLimits() []*container.Ulimit { return nil }
