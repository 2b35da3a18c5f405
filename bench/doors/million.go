package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"pierhead.dev/pierhead/bench/internal/figure"
)

// The two agents that are compared, and how.
const (
	fewPatterns  = 10
	manyPatterns = 1_000_000
	askRounds    = 2000
	manyStarts   = 3
)

// What so many patterns may cost.
const (
	manyAnswer = 1.2  // of an answer with few
	manyBytes  = 1024 // of resident memory for each pattern
	manyStart  = 10   // seconds from the start to the first answer
)

// measureMillion compares an agent of many patterns with one of few.
//
// Both answer from the snapshot that they keep on disk, while the control plane is away. That is where the patterns come
// from: the control plane looks for conflicts whenever a registry is saved, so taking up five thousand registries, one after
// the other, takes hours; and a node serves what it kept, so this is a state that users have. Answers are measured at the
// socket, with the helper's own code, so that the start of a process does not hide them.
func measureMillion(ctx context.Context, m *machine) (figures []figure.Figure, err error) {
	few, many := &node{m: m, name: "few"}, &node{m: m, name: "many"}
	if err := m.takeUp(ctx, few, fewPatterns); err != nil {
		return nil, err
	}
	if err := m.takeUp(ctx, many, manyPatterns); err != nil {
		return nil, err
	}
	if err := m.server.stop(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, few.stop(), many.stop()) }()
	starts, err := many.starts(ctx, few)
	if err != nil {
		return nil, err
	}
	askFew, askMany, err := compareAnswers(ctx, few, many)
	if err != nil {
		return nil, err
	}
	memory, err := many.memoryOver(ctx, few)
	if err != nil {
		return nil, err
	}
	note("an answer takes %v with %d patterns, %v with %d", figure.Median(askFew), fewPatterns, figure.Median(askMany), manyPatterns)
	return []figure.Figure{
		{Name: "million-answer-to-few", Value: figure.Ratio(askMany, askFew), Bound: manyAnswer},
		{Name: "million-bytes-per-pattern", Value: float64(memory) / manyPatterns, Bound: manyBytes},
		{Name: "million-start-seconds", Value: figure.Median(starts).Seconds(), Bound: manyStart},
	}, nil
}

// takeUp makes a node whose kept snapshot has so many patterns.
func (m *machine) takeUp(ctx context.Context, n *node, patterns int) error {
	joined, err := m.join(ctx, n.name)
	if err != nil {
		return err
	}
	if err := joined.stop(); err != nil {
		return err
	}
	if err := os.WriteFile(m.path("secrets", "login"), []byte(`{"username": "robot", "password": "bench"}`), 0o600); err != nil {
		return err
	}
	size, err := fill(m.path(n.name, "agent", "snapshot.json"), patterns)
	note("node %s keeps a snapshot of %d patterns: %d KiB", n.name, patterns, size>>10)
	return err
}

// starts measures how long the node takes from its start to its first answer, and leaves it, and few, running.
func (n *node) starts(ctx context.Context, few *node) (all []time.Duration, err error) {
	if err := few.firstAnswer(ctx); err != nil {
		return nil, err
	}
	for range manyStarts {
		if err := n.stop(); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := n.firstAnswer(ctx); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
		note("node %s answers %v after its start", n.name, all[len(all)-1].Round(time.Millisecond))
	}
	return all, nil
}

func (n *node) firstAnswer(ctx context.Context) error {
	if err := n.begin(ctx); err != nil {
		return err
	}
	return n.ready(ctx, func() error { return n.lend(ctx, hostName(0)) })
}

// compareAnswers asks both agents in turns, the one with many for hosts all over its table.
func compareAnswers(ctx context.Context, few, many *node) (askFew, askMany []time.Duration, err error) {
	spread := hostsOf(manyPatterns) / askHosts
	for round := range askRounds + askHosts {
		fewTook, fewErr := few.ask(ctx, hostName(0))
		manyTook, manyErr := many.ask(ctx, hostName(round%askHosts*spread))
		if err := errors.Join(fewErr, manyErr); err != nil {
			return nil, nil, err
		}
		if round >= askHosts { // before, each host was asked for the first time, which is written down
			askFew, askMany = append(askFew, fewTook), append(askMany, manyTook)
		}
	}
	return askFew, askMany, nil
}

// askHosts is for how many hosts the many are asked.
const askHosts = 500

func (n *node) ask(ctx context.Context, host string) (time.Duration, error) {
	began := time.Now()
	err := n.lend(ctx, host)
	return time.Since(began), err
}

// memoryOver is how much more resident memory the node has, once it has settled.
func (n *node) memoryOver(ctx context.Context, few *node) (bytes int64, err error) {
	var last int64
	for still := 0; still < settledFor; {
		mine, err := n.resident("VmRSS")
		if err != nil {
			return 0, err
		}
		if still++; mine < last-last/100 || mine > last+last/100 {
			still, last = 0, mine
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	idle, err := few.resident("VmRSS")
	if err != nil {
		return 0, err
	}
	peak, err := n.resident("VmHWM")
	note("resident memory: %d MiB with %d patterns (%d at most so far), %d MiB with %d", last>>20, manyPatterns, peak>>20, idle>>20, fewPatterns)
	return last - idle, err
}

// settledFor is for how many seconds memory must have stayed within a hundredth.
const settledFor = 5

// resident is a line of the process's status, in bytes.
func (s *service) resident(line string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+line+":")
	kib, err := strconv.ParseInt(strings.Fields(rest + " ?")[0], 10, 64)
	return kib << 10, err
}
