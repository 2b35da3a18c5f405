//go:build kubelet

package kubelet

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within is how long anything may take, on a machine with other things to do.
const within = time.Minute

// A process is a program in the background; what it says is in a file.
type process struct {
	command *exec.Cmd
	log     string
	ended   chan struct{}
}

// start runs a program until the world ends. One that is started again goes on in the same log.
func (w *world) start(t *testing.T, log string, env []string, program string, arguments ...string) *process {
	t.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	defer file.Close()
	p := &process{command: exec.Command(program, arguments...), log: log, ended: make(chan struct{})}
	p.command.Env, p.command.Stdout, p.command.Stderr = env, file, file
	must(t, p.command.Start())
	go func() {
		_ = p.command.Wait() // most are killed
		close(p.ended)
	}()
	w.started = append(w.started, p)
	return p
}

// kill ends it as a power cut does.
func (p *process) kill() {
	p.signal(syscall.SIGCONT)
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (p *process) signal(s syscall.Signal) { _ = p.command.Process.Signal(s) } // it may be gone

// said is all of its log.
func (p *process) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	must(t, err)
	return string(text)
}

// says waits for a line with all of these words in what the log has from a point on.
func (p *process) says(t *testing.T, from int, words ...string) string {
	t.Helper()
	var found string
	await(t, "a line in "+p.log+" with "+strings.Join(words, " … "), p, func(context.Context) bool {
	lines:
		for line := range strings.Lines(p.said(t)[from:]) {
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			found = line
			return true
		}
		return false
	})
	return found
}

// await asks again and again until something is so, and fails when it is not in time or a process that it needs ends.
func await(t *testing.T, what string, needs *process, so func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for !so(ctx) {
		select {
		case <-time.After(50 * time.Millisecond):
			continue
		case <-needs.ended:
		case <-ctx.Done():
		}
		said := needs.said(t)
		t.Fatalf("there is not %s; the last of %s:\n%s", what, needs.log, said[max(0, len(said)-4000):])
	}
}
