package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"pierhead.dev/pierhead/bench/internal/figure"
)

// startRounds is how often each program is started, in turns.
const startRounds = 200

// What a start may cost.
const (
	startToEmpty = 1.6
	startToECR   = 0.2
)

// measureStart compares our helper, with a warm agent, with an empty program and with Amazon's helper, with a warm cache.
func measureStart(ctx context.Context, m *machine) (figures []figure.Figure, err error) {
	n, err := m.join(ctx, "warm")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	programs, err := m.starters(n)
	if err != nil {
		return nil, err
	}
	for _, p := range programs { // one for the cache of each
		if _, err := p.run(m.path("output")); err != nil {
			return nil, err
		}
	}
	before := m.cloud.exchanges()
	laps, err := turns(ctx, programs, startRounds, m.path("output"))
	if err != nil {
		return nil, err
	}
	if after := m.cloud.exchanges(); after != before {
		return nil, fmt.Errorf("%d logins were made anew: caches were not warm", after-before)
	}
	for i, p := range programs {
		note("%-28s %8v by the clock, %8v of the processor", p.name, figure.Median(walls(laps[i])).Round(time.Microsecond), figure.Median(cpus(laps[i])).Round(time.Microsecond))
	}
	empty, ours, theirs := walls(laps[0]), walls(laps[1]), walls(laps[2])
	return []figure.Figure{
		{Name: "helper-start-to-empty", Value: figure.Ratio(ours, empty), Bound: startToEmpty},
		{Name: "helper-start-to-ecr-login", Value: figure.Ratio(ours, theirs), Bound: startToECR},
	}, nil
}

// starters are an empty program, our helper and Amazon's.
func (m *machine) starters(n *node) ([]program, error) {
	empty, ours, theirs := m.program(emptyProgram, ""), m.program(ourHelper, `"Username":"AWS"`, "get"), m.program(theirHelper, `"Username":"AWS"`, "get")
	ours.env = m.env("PIER_SOCKET=" + n.socket())
	theirs.env = m.env("AWS_ACCESS_KEY_ID="+m.cloud.key.ID, "AWS_SECRET_ACCESS_KEY="+m.cloud.key.Secret)
	return []program{empty, ours, theirs}, os.WriteFile(m.path("host"), []byte(ecrHost), 0o600)
}

// turns runs programs one after the other, so often, and each round begins with another one.
func turns(ctx context.Context, programs []program, rounds int, output string) ([][]lap, error) {
	laps := make([][]lap, len(programs))
	for round := range rounds {
		for i := range programs {
			at := (round + i) % len(programs)
			took, err := programs[at].run(output)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			laps[at] = append(laps[at], took)
		}
	}
	return laps, nil
}

func walls(laps []lap) (all []time.Duration) {
	for _, l := range laps {
		all = append(all, l.wall)
	}
	return all
}

func cpus(laps []lap) (all []time.Duration) {
	for _, l := range laps {
		all = append(all, l.cpu)
	}
	return all
}
