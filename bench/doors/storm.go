package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pierhead.dev/pierhead/bench/internal/figure"
)

// A storm is what a node sees when all its containers start at once.
const (
	stormStarts = 1000
	stormWidth  = 64 // at a time
	stormRounds = 5
)

// stormToEmpty is what it may cost.
const stormToEmpty = 2.0

// measureStorm starts many helpers at once, against an agent that remembers nothing, and as many empty programs.
func measureStorm(ctx context.Context, m *machine) (figures []figure.Figure, err error) {
	n, err := m.join(ctx, "storm")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	programs, err := m.starters(n)
	if err != nil {
		return nil, err
	}
	empty, helper := programs[0], programs[1]
	var empties, helpers []time.Duration
	exchanges, failed := 0, 0
	for round := range stormRounds {
		if err := errors.Join(n.stop(), n.start(ctx)); err != nil {
			return nil, err
		}
		before := m.cloud.exchanges()
		wall, failures := storm(ctx, helper, m.path("output"))
		made := m.cloud.exchanges() - before
		exchanges, failed, helpers = max(exchanges, made), failed+len(failures), append(helpers, wall)
		for _, failure := range failures[:min(len(failures), 3)] {
			note("%v", failure)
		}
		wall, failures = storm(ctx, empty, m.path("output"))
		if empties = append(empties, wall); ctx.Err() != nil || len(failures) > 0 || made == 0 {
			return nil, errors.Join(fmt.Errorf("round %d: %d logins were made", round+1, made), ctx.Err(), errors.Join(failures...))
		}
		note("%d at a time, %d in all: %v of the helper, %v of the empty program", stormWidth, stormStarts, helpers[round].Round(time.Millisecond), wall.Round(time.Millisecond))
	}
	return []figure.Figure{
		{Name: "helpers-exchanges", Value: float64(exchanges), Bound: 1},
		{Name: "helpers-failed", Value: float64(failed), Bound: 0},
		{Name: "helpers-to-empty", Value: figure.Ratio(helpers, empties), Bound: stormToEmpty},
	}, nil
}

// storm starts a program so often, and tells how long all of it took.
func storm(ctx context.Context, p program, output string) (wall time.Duration, failures []error) {
	starts, failed := make(chan struct{}), make(chan error)
	var workers sync.WaitGroup
	for i := range stormWidth {
		workers.Go(func() {
			for range starts {
				_, err := p.run(fmt.Sprint(output, i))
				failed <- err
			}
		})
	}
	began := time.Now()
	go func() {
		defer close(starts)
		for range stormStarts {
			starts <- struct{}{}
		}
	}()
	for range stormStarts {
		if err := errors.Join(<-failed, ctx.Err()); err != nil {
			failures = append(failures, err)
		}
	}
	wall = time.Since(began)
	workers.Wait()
	return wall, failures
}
