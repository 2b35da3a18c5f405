package main

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// together runs the parts of a process until ctx ends or one of them fails; then the others are ended too.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	return group.Wait()
}
