package agent

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/engine/enginetest"
	"pierhead.dev/pierhead/internal/durable"
)

// every is the distance of the steps that are tried: 3 meets befores and afters in turn, 1 is all of them.
var every = flag.Int("every", 3, "kill, stop or cut off an agent at every n-th step")

// A killer counts the steps of an agent: every record before and after it is in place, every call of the engine and
// every report and part of a log, before and after. At the chosen one it acts; with an error the agent is dead from
// there on: nothing that it does has an effect any more.
type killer struct {
	mu   sync.Mutex
	seen []string
	at   int // counts from 1; 0: never
	act  func() error
	dead error
}

func (k *killer) step(what string) error {
	k.mu.Lock()
	if k.dead != nil {
		defer k.mu.Unlock()
		return k.dead
	}
	k.seen = append(k.seen, what)
	here := len(k.seen) == k.at
	k.mu.Unlock()
	if !here {
		return nil
	}
	err := k.act()
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, errKilled) {
		k.dead = err
	}
	return err
}

func (k *killer) reached() (what string, reached bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) < k.at {
		return "", false
	}
	return k.seen[k.at-1], true
}

// killedLayer are the record's files of a killer's agent.
type killedLayer struct {
	durable.OS
	*killer
}

func (l killedLayer) Create(name string) (durable.File, error) {
	l.mu.Lock()
	dead := l.dead
	l.mu.Unlock()
	if dead != nil {
		return nil, dead
	}
	return l.OS.Create(name)
}

func (l killedLayer) Rename(from, to string) error {
	if err := l.step("record"); err != nil {
		return err
	}
	return errors.Join(l.OS.Rename(from, to), l.step("record done"))
}

// killedServer is the control plane of a killer's agent.
type killedServer struct {
	Server
	*killer
}

func (s killedServer) Report(ctx context.Context, id string, p pierhead.Progress) (pierhead.Execution, error) {
	if err := s.step("Report"); err != nil {
		return pierhead.Execution{}, err
	}
	e, err := s.Server.Report(ctx, id, p)
	return e, errors.Join(err, s.step("Report done"))
}

func (s killedServer) AppendLog(ctx context.Context, id string, offset int64, data []byte) (int64, error) {
	if err := s.step("AppendLog"); err != nil {
		return 0, err
	}
	size, err := s.Server.AppendLog(ctx, id, offset, data)
	return size, errors.Join(err, s.step("AppendLog done"))
}

// startWith begins an agent whose steps are counted.
func (k *kit) startWith(directory string, steps *killer) *instance {
	k.wrap = func(s Server) Server { return killedServer{s, steps} }
	k.prepared = func(a *Agent) { a.records.layer = killedLayer{killer: steps} }
	k.atCall(steps.step)
	defer func() {
		k.wrap, k.prepared = func(s Server) Server { return s }, func(*Agent) {}
	}()
	return k.start(directory)
}

// Whenever an agent is killed, the next one on its directory brings the execution to the end that it would have come to:
// the program ran once, and not a byte of the log is missing, doubled or different.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for at := 1; ; at += *every {
		directory, steps, killed := t.TempDir(), &killer{at: at}, make(chan struct{})
		started := make(chan *instance, 1)
		steps.act = func() error { (<-started).cancel(); close(killed); return errKilled }
		k.runs.Store(0)
		id := k.submit()
		first := k.startWith(directory, steps)
		started <- first
		k.until("it is killed or done", func() bool {
			_, dead := steps.reached()
			e, err := k.admin.Execution(t.Context(), id)
			return dead || err == nil && e.Noun().Progress.State.Final()
		})
		what, dead := steps.reached()
		if dead {
			<-killed
		}
		first.stop()
		k.atCall(func(string) error { return nil })
		k.later(time.Minute) // what was handed out to the dead one is handed out again
		second := k.start(directory)
		p := k.final(id).Progress
		if p.State != pierhead.ExecutionSucceeded || p.ExitCode == nil || *p.ExitCode != 0 || p.Digest != k.digest || k.runs.Load() != 1 {
			t.Errorf("killed at step %d, %s: %+v after %d runs", at, what, p, k.runs.Load())
		}
		if got, want := k.logOf(id), k.head()+helloOutput; got != want {
			t.Errorf("killed at step %d, %s: the log is %q, want %q", at, what, got, want)
		}
		k.clean(directory, id)
		second.stop()
		if !dead {
			t.Logf("%d steps: %s", len(steps.seen), strings.Join(steps.seen, ", "))
			return
		}
	}
}

// Whenever somebody asks for the end, the execution stops: nothing runs and nothing is left.
func TestStoppedAtEveryStep(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.runsProgram(untilAsked)
	for at := 1; ; at += *every {
		directory, steps := t.TempDir(), &killer{at: at}
		id := k.submit()
		steps.act = func() error { return stopOne(k, id) }
		agent := k.startWith(directory, steps)
		// What the program waits for ends the steps.
		k.until("it is stopped, or there are no more steps", func() bool {
			e, err := k.admin.Execution(t.Context(), id)
			return err == nil && (e.Noun().Progress.State.Final() || e.Noun().LogSize == int64(len(k.head()+helloOutput)))
		})
		what, early := steps.reached()
		if !early {
			k.must(stopOne(k, id))
		}
		if p := k.final(id).Progress; p.State != pierhead.ExecutionStopped || p.FinishedAt.IsZero() {
			t.Errorf("stopped at step %d, %s: %+v", at, what, p)
		}
		if log := k.logOf(id); !strings.HasSuffix(log, "Stopped: somebody asked for it\n") || !strings.HasPrefix(k.head()+helloOutput, strings.TrimSuffix(log, "Stopped: somebody asked for it\n")) {
			t.Errorf("stopped at step %d, %s: the log is %q", at, what, log)
		}
		k.clean(directory, id)
		agent.stop()
		if !early {
			return
		}
	}
}

// Whichever call the engine does not answer, or answers into the void, the execution waits and goes on.
func TestEngineGoesAwayAtEveryCall(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for at := 1; ; at += *every {
		directory, steps := t.TempDir(), &killer{at: at, act: func() error { return fmt.Errorf("gone: %w", engine.ErrUnreachable) }}
		k.runs.Store(0)
		k.atCall(steps.step)
		agent := k.start(directory)
		id := k.submit()
		p := k.final(id).Progress
		k.clean(directory, id)
		what, reached := steps.reached()
		if p.State != pierhead.ExecutionSucceeded || k.runs.Load() != 1 {
			t.Errorf("away at call %d, %s: %+v after %d runs", at, what, p, k.runs.Load())
		}
		if got, want := k.logOf(id), k.head()+helloOutput; got != want {
			t.Errorf("away at call %d, %s: the log is %q, want %q", at, what, got, want)
		}
		agent.stop()
		if !reached {
			t.Logf("%d calls: %s", len(steps.seen), strings.Join(steps.seen, ", "))
			return
		}
	}
}

func TestEngineIsAwayWhileTheContainerRuns(t *testing.T) {
	t.Parallel()
	k, directory, release := newKit(t), t.TempDir(), make(chan struct{})
	k.runsProgram(func(_ context.Context, p enginetest.Process) int {
		fmt.Fprint(p.Stdout, "before\n")
		<-release
		fmt.Fprint(p.Stdout, "after\n")
		return 0
	})
	k.start(directory)
	id := k.submit()
	k.wait(id, "that has said something", func(e pierhead.Execution) bool { return e.LogSize == int64(len(k.head()+"before\n")) })
	k.engine.GoAway()
	close(release)
	k.until("the agent notices", func() bool { return k.log.has("following a container; trying again") })
	k.engine.ComeBack()
	if p := k.final(id).Progress; p.State != pierhead.ExecutionSucceeded {
		t.Errorf("it ended with %+v", p)
	}
	if got, want := k.logOf(id), k.head()+"before\nafter\n"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
}

// A machine that goes down takes its containers along. They are not run a second time, and did not succeed.
func TestMachineGoesDown(t *testing.T) {
	t.Parallel()
	for _, meanwhile := range []bool{false, true} {
		k, directory := newKit(t), t.TempDir()
		k.runsProgram(untilAsked)
		agent := k.start(directory)
		id := k.submit()
		k.wait(id, "that has said something", func(e pierhead.Execution) bool { return e.LogSize == int64(len(k.head()+helloOutput)) })
		if meanwhile { // the agent too
			agent.stop()
		}
		k.engine.Crash()
		if meanwhile {
			k.start(directory)
		}
		if p := k.final(id).Progress; p.State != pierhead.ExecutionFailed || !strings.Contains(p.Reason, "went down") || p.ExitCode != nil || k.runs.Load() != 1 {
			t.Errorf("it ended with %+v after %d runs", p, k.runs.Load())
		}
		k.clean(directory, id)
	}
}

func TestContainerIsLost(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	k.runsProgram(untilAsked)
	agent := k.start(directory)
	id := k.submit()
	k.state(id, pierhead.ExecutionRunning)
	agent.stop()
	k.engine.Lose(containerName(id))
	k.start(directory)
	if p := k.final(id).Progress; p.State != pierhead.ExecutionFailed || !strings.Contains(p.Reason, "the container is gone") || p.Hint == "" {
		t.Errorf("it ended with %+v", p)
	}
	if log := k.logOf(id); !strings.HasPrefix(log, k.head()+helloOutput) || !strings.Contains(log, "Error: the container is gone") {
		t.Errorf("the log is %q", log)
	}
}

// The time limit counts from the container's start, whatever the agent does. A container that ended within it while the
// agent was away is not over its time.
func TestTimeLimitAcrossARestart(t *testing.T) {
	t.Parallel()
	limit := func(s *api.Spec) { s.TimeLimitSeconds = 3600 }
	for name, c := range map[string]struct {
		program enginetest.Program
		state   pierhead.ExecutionState
		reason  string
	}{
		"still running": {untilAsked, pierhead.ExecutionFailed, "the time limit of 1h0m0s is over"},
		"ended in time": {nil, pierhead.ExecutionSucceeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k, directory, release := newKit(t), t.TempDir(), make(chan struct{})
			if c.program == nil {
				c.program = func(context.Context, enginetest.Process) int { <-release; return 0 }
			}
			k.runsProgram(c.program)
			first := k.start(directory)
			id := k.submit(limit)
			k.state(id, pierhead.ExecutionRunning)
			first.stop()
			close(release)
			if c.reason == "" {
				k.until("it ends", func() bool { return len(k.engine.Running()) == 0 })
			}
			k.later(2 * time.Hour)
			k.start(directory)
			if p := k.final(id).Progress; p.State != c.state || p.Reason != c.reason || k.runs.Load() != 1 {
				t.Errorf("it ended with %+v after %d runs", p, k.runs.Load())
			}
		})
	}
}

// fullLayer has no space for records that say a phase.
type fullLayer struct {
	durable.OS
	full func() bool
}

func (l fullLayer) Create(name string) (durable.File, error) {
	if l.full() {
		return nil, syscall.ENOSPC
	}
	return l.OS.Create(name)
}

// A full disk fails what has not begun, and says whose turn it is; what runs comes to its true end.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		when  string
		state pierhead.ExecutionState
	}{{"Pull", pierhead.ExecutionFailed}, {"Start", pierhead.ExecutionSucceeded}, {"Wait", pierhead.ExecutionSucceeded}} {
		t.Run(c.when, func(t *testing.T) {
			k, directory := newKit(t), t.TempDir()
			var mu sync.Mutex
			full := false
			k.atCall(func(call string) error {
				mu.Lock()
				defer mu.Unlock()
				full = full || call == c.when
				return nil
			})
			k.prepared = func(a *Agent) {
				a.records.layer = fullLayer{full: func() bool { mu.Lock(); defer mu.Unlock(); return full }}
			}
			k.start(directory)
			id := k.submit()
			p := k.final(id).Progress
			if p.State != c.state {
				t.Errorf("it ended with %+v", p)
			}
			if c.state == pierhead.ExecutionFailed && (!strings.Contains(p.Reason, "no space left") || !strings.Contains(p.Hint, "operator")) {
				t.Errorf("it says %q, %q", p.Reason, p.Hint)
			}
			k.clean(directory, id)
		})
	}
}
