// Command doors measures the doors of a node: what a credential helper costs for each pull, what a thousand of them at
// once cost, and what a million patterns do to the agent.
//
// It runs the programs as they are built for users, against a fake of Amazon's, in a network of its own, beside an empty
// program and Amazon's own helper: figures are ratios to them in the same run. It ends with one line per figure, on stdout,
// and with exit code 1 when one is short. What it does meanwhile is on stderr.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"pierhead.dev/pierhead/bench/internal/figure"
	"pierhead.dev/pierhead/bench/internal/sandbox"
)

// A part is some figures that are measured together.
type part struct {
	name    string
	measure func(ctx context.Context, m *machine) ([]figure.Figure, error)
}

var parts = [...]part{{"start", measureStart}, {"storm", measureStorm}, {"million", measureMillion}}

func main() {
	only := flag.String("only", "", "measure these parts only, with commas between: start, storm, million")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }))
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

// run builds the programs and measures them in the sandbox.
func run(ctx context.Context, only []string) (code int, err error) {
	if sandbox.Inside() != "" {
		return measure(ctx, only)
	}
	dir, err := os.MkdirTemp("", "pierbench")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(ctx, dir); err != nil {
		return 1, err
	}
	return sandbox.Enter(ctx, dir)
}

func measure(ctx context.Context, only []string) (code int, err error) {
	m, err := newMachine(ctx)
	if err != nil {
		return 1, err
	}
	defer m.end()
	var figures []figure.Figure
	for _, p := range parts {
		if len(only) > 0 && !slices.Contains(only, p.name) {
			continue
		}
		found, err := p.measure(ctx, m)
		if err != nil {
			return 1, fmt.Errorf("%s: %w", p.name, err)
		}
		figures = append(figures, found...)
	}
	if ok, err := figure.Report(os.Stdout, figures); err != nil || !ok {
		return 1, err
	}
	return 0, nil
}

// note tells people what goes on.
func note(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
