package machine

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within is how long anything may take that is waited for, on a machine with other things to do.
const within = time.Minute

// Processes are programs in the background that parts of a test start and end; what is left ends with End.
type Processes struct{ started []*Process }

// A Process is a program in the background; what it says is in a file.
type Process struct {
	Log     string // path
	command *exec.Cmd
	ended   chan struct{}
}

// Start runs a program. One that is started again goes on in the same log.
func (p *Processes) Start(t *testing.T, log string, env []string, program string, arguments ...string) *Process {
	t.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	defer file.Close()
	one := &Process{Log: log, command: exec.Command(program, arguments...), ended: make(chan struct{})}
	one.command.Env, one.command.Stdout, one.command.Stderr = env, file, file
	must(t, one.command.Start())
	go func() {
		_ = one.command.Wait() // most are killed
		close(one.ended)
	}()
	p.started = append(p.started, one)
	return one
}

// End kills all, the last first.
func (p *Processes) End() {
	for _, one := range slices.Backward(p.started) {
		one.Kill()
	}
}

// Kill ends it as a power cut does.
func (p *Process) Kill() {
	p.Signal(syscall.SIGCONT)
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Signal sends it one, unless it has ended.
func (p *Process) Signal(s syscall.Signal) { _ = p.command.Process.Signal(s) } // it may be gone

// Said is all of its log.
func (p *Process) Said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.Log)
	must(t, err)
	return string(text)
}

// Says waits for a line with all of these words in what the log has from a point on.
func (p *Process) Says(t *testing.T, from int, words ...string) string {
	t.Helper()
	var found string
	p.Await(t, "a line in "+p.Log+" with "+strings.Join(words, " … "), func(context.Context) bool {
		for line := range strings.Lines(p.Said(t)[from:]) {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				found = line
				return true
			}
		}
		return false
	})
	return found
}

// Await asks again and again until something is so, and fails when it is not in time or the process, which it needs, ends.
func (p *Process) Await(t *testing.T, what string, so func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for !so(ctx) {
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-p.ended:
		case <-ctx.Done():
		}
		said := p.Said(t)
		t.Fatalf("there is not %s; the last of %s:\n%s", what, p.Log, said[max(0, len(said)-4000):])
	}
}
