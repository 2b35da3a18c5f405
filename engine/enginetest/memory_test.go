package enginetest_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/engine/enginetest"
)

func TestMemory(t *testing.T) {
	m := enginetest.NewMemory(map[string]enginetest.Program{"/hello": hello})
	enginetest.Run(t, enginetest.Harness{
		Open:      func(*testing.T) engine.Engine { return m },
		Names:     func(_ *testing.T, id string) []string { return m.Names(id) },
		Simulated: true,
	})
	if left := m.Containers(); len(left) > 0 {
		t.Errorf("containers are left: %q", left)
	}
}

// hello does what testdata/hello does.
func hello(ctx context.Context, p enginetest.Process) int {
	if len(p.Args) < 2 {
		fmt.Fprintln(p.Stdout, "no arguments")
		return 0
	}
	arguments := p.Args[2:]
	switch p.Args[1] {
	case "say":
		fmt.Fprintln(p.Stdout, strings.Join(arguments, " "))
	case "exit":
		return number(arguments[0])
	case "env":
		for _, name := range arguments {
			value, set := p.Getenv(name)
			fmt.Fprintf(p.Stdout, "%s=%s set=%t\n", name, value, set)
		}
	case "order":
		for i := range number(arguments[0]) {
			fmt.Fprintln(p.Stdout, "out", i)
			fmt.Fprintln(p.Stderr, "err", i)
		}
	case "odd":
		fmt.Fprint(p.Stdout, "progress 1%\rprogress 100%\r\n\n", strings.Repeat("x", 100_000), "\ntab\tand ümläut\nno newline at the end")
	case "long":
		for i := range number(arguments[0]) {
			fmt.Fprintf(p.Stdout, "line %07d of a long log\n", i)
		}
	case "until":
		return until(ctx, p, arguments[0])
	case "polite", "stubborn":
		return asked(ctx, p)
	case "read":
		file, err := p.Path(arguments[0], false)
		var content []byte
		if err == nil {
			content, err = os.ReadFile(file)
		}
		fmt.Fprintf(p.Stdout, "%s%v\n", content, err)
	case "write":
		file, err := p.Path(arguments[0], true)
		if err == nil {
			err = os.WriteFile(file, []byte(arguments[1]), 0o644)
		}
		fmt.Fprintln(p.Stdout, err)
	default:
		return 2
	}
	return 0
}

func until(ctx context.Context, p enginetest.Process, name string) int {
	fmt.Fprintln(p.Stdout, "first")
	file, _ := p.Path(name, false)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			fmt.Fprintln(p.Stdout, "second")
			return 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 1
		}
	}
}

func asked(ctx context.Context, p enginetest.Process) int {
	fmt.Fprintln(p.Stdout, "ready")
	select {
	case <-p.Asked:
		fmt.Fprintln(p.Stdout, "asked to end")
	case <-ctx.Done():
	}
	if p.Args[1] == "stubborn" {
		<-ctx.Done()
	}
	return 3
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
