package agent

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/engine/enginetest"
)

// untilAsked is a program that runs until it is asked to end.
func untilAsked(ctx context.Context, p enginetest.Process) int {
	fmt.Fprint(p.Stdout, helloOutput)
	select {
	case <-p.Asked:
	case <-ctx.Done():
	}
	return 143
}

func TestExecutionRuns(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	k.start(directory)
	id := k.submit()
	e := k.final(id)
	p := e.Progress
	if p.State != pierhead.ExecutionSucceeded || p.ExitCode == nil || *p.ExitCode != 0 || p.Digest != k.digest || p.Registry != "images" || p.Anonymous || p.Reason != "" {
		t.Errorf("it ended with %+v", p)
	}
	if p.ImageBytes == 0 || p.PulledBytes == 0 || p.PulledBytes > p.ImageBytes {
		t.Errorf("%d of %d bytes were pulled", p.PulledBytes, p.ImageBytes)
	}
	if got, want := k.logOf(id), k.head()+helloOutput; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
	k.clean(directory, id)
	if imageID, err := k.engine.ImageID(t.Context(), k.image); err != nil || slices.ContainsFunc(k.engine.Names(imageID), func(n string) bool { return strings.Contains(n, "@") }) {
		t.Errorf("the image has not just its own name: %v", err)
	}
}

func TestExitCodeIsTold(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.runsProgram(func(context.Context, enginetest.Process) int { return 7 })
	k.start(t.TempDir())
	if p := k.final(k.submit()).Progress; p.State != pierhead.ExecutionFailed || p.ExitCode == nil || *p.ExitCode != 7 || p.Reason != "" || p.PullFailed {
		t.Errorf("it ended with %+v", p)
	}
}

func TestControlPlaneGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"unreachable": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a proxy":     http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
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
			var asked atomic.Int64
			k.inPlace(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); answer(w, r) })
			close(release)
			k.until("the container ends", func() bool { return len(k.engine.Running()) == 0 })
			k.until("nothing can be delivered, again and again", func() bool { return asked.Load() > 3 })
			k.inPlace(nil)
			if p := k.final(id).Progress; p.State != pierhead.ExecutionSucceeded {
				t.Errorf("it ended with %+v", p)
			}
			if got, want := k.logOf(id), k.head()+"before\nafter\n"; got != want {
				t.Errorf("the log is %q, want %q", got, want)
			}
			k.clean(directory, id)
		})
	}
}

// An execution that the control plane does not know any more does not run on.
func TestDeletedExecutionIsStopped(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	k.runsProgram(untilAsked)
	var deleted atomic.Bool
	k.wrap = func(s Server) Server { return forgetful{Server: s, deleted: &deleted} }
	agent := k.start(directory)
	id := k.submit()
	k.state(id, pierhead.ExecutionRunning)
	deleted.Store(true)
	agent.running(id).report()
	k.clean(directory, id)
}

// forgetful is a control plane that has deleted every execution.
type forgetful struct {
	Server
	deleted *atomic.Bool
}

func (f forgetful) Report(ctx context.Context, id string, p pierhead.Progress) (pierhead.Execution, error) {
	if f.deleted.Load() {
		return pierhead.Execution{}, pierhead.NewProblem(pierhead.ErrNotFound, "there is no execution "+id, "")
	}
	return f.Server.Report(ctx, id, p)
}

func TestSlotsAreRespected(t *testing.T) {
	t.Parallel()
	k, next := newKit(t), make(chan struct{})
	var now, most atomic.Int64
	k.runsProgram(func(context.Context, enginetest.Process) int {
		most.Store(max(most.Load(), now.Add(1)))
		<-next
		now.Add(-1)
		return 0
	})
	k.change = func(c *Config) { c.Slots = 2 }
	var executions []string
	for range 5 {
		executions = append(executions, k.submit())
	}
	// An answer that got lost: all are this node's now.
	_, _, err := k.client(k.url, k.token).TakeWork(t.Context(), 5, 0)
	k.must(err)
	k.later(time.Minute)
	agent := k.start(t.TempDir())
	k.until("two run", func() bool { return now.Load() == 2 })
	k.until("all are taken", func() bool { agent.mu.Lock(); defer agent.mu.Unlock(); return len(agent.runs) == 5 })
	if free := agent.free(); free != 0 {
		t.Errorf("%d more executions would be taken", free)
	}
	waits := slices.IndexFunc(executions, func(id string) bool { return !slices.Contains(k.engine.Running(), containerName(id)) })
	k.must(stopOne(k, executions[waits]))
	if p := k.final(executions[waits]).Progress; p.State != pierhead.ExecutionStopped || !p.StartedAt.IsZero() {
		t.Errorf("stopped while it waited, it ended with %+v", p)
	}
	close(next)
	for _, id := range slices.Delete(executions, waits, waits+1) {
		if p := k.final(id).Progress; p.State != pierhead.ExecutionSucceeded {
			t.Errorf("it ended with %+v", p)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d ran at once", most.Load())
	}
}

// A node whose slots were all taken used to notice a free one only with its next poll, half a minute later.
func TestFreeSlotIsUsedAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.runsProgram(func(context.Context, enginetest.Process) int { return 0 })
	k.change = func(c *Config) { c.Slots = 1 }
	first, second := k.submit(), k.submit()
	begun := time.Now()
	k.start(t.TempDir())
	k.final(first)
	k.final(second)
	if took := time.Since(begun); took > workWait/2 {
		t.Errorf("the second execution waited %v for the poll of the first", took)
	}
}

// What we say at the end stood in the container's own last line when that had no end.
func TestTheEndIsALineOfItsOwn(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.runsProgram(func(ctx context.Context, p enginetest.Process) int {
		fmt.Fprint(p.Stdout, "half a line")
		select {
		case <-p.Asked:
		case <-ctx.Done():
		}
		return 143
	})
	k.start(t.TempDir())
	id := k.submit()
	k.until("it has written", func() bool { return strings.HasSuffix(k.logOf(id), "half a line") })
	k.must(stopOne(k, id))
	k.final(id)
	if got, want := k.logOf(id), k.head()+"half a line\nStopped: somebody asked for it\n"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
}

// A script without the bit for it is the commonest thing that does not start; it was told in the engine's words alone.
func TestProgramThatMayNotBeExecuted(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.atCall(func(call string) error {
		if call == "Start" {
			return fmt.Errorf("starting container x: %w: permission denied", engine.ErrNotExecutable)
		}
		return nil
	})
	k.start(t.TempDir())
	p := k.final(k.submit(func(s *api.Spec) { s.Command = []string{"./train.sh --fast"} })).Progress
	if p.State != pierhead.ExecutionFailed || !p.StartedAt.IsZero() || !strings.Contains(p.Reason, `"./train.sh"`) || !strings.Contains(p.Hint, "chmod +x") {
		t.Errorf("it ended with %+v", p)
	}
}

func stopOne(k *kit, id string) error {
	_, err := k.admin.StopExecution(k.t.Context(), id)
	return err
}

func TestWithoutAnEngine(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.change = func(c *Config) { c.Engine = nil }
	none := k.start(t.TempDir())
	id := k.submit()
	var explanation api.Explanation
	k.until("a question is answered", func() (ok bool) {
		var err error
		explanation, err = k.admin.Explain(t.Context(), api.ExplainRequest{Image: k.image, Project: "acme/vision"})
		return err == nil && explanation.From == "node:local"
	})
	if explanation.Outcome != api.OutcomeRegistry {
		t.Errorf("explained: %+v", explanation)
	}
	k.until("the key is published", func() bool {
		_, err := k.admin.DataKey(t.Context(), "acme")
		return err == nil
	})
	if none.Snapshot.URL() == "" {
		t.Error("the node follows no snapshots")
	}
	e, err := k.admin.Execution(t.Context(), id)
	k.must(err)
	if got := e.Noun(); got.Progress.State != pierhead.ExecutionQueued || got.NodeID != "" {
		t.Errorf("the execution is %s on node %q", got.Progress.State, got.NodeID)
	}
	none.stop()
	k.change = func(*Config) {}
	k.start(t.TempDir())
	if p := k.final(id).Progress; p.State != pierhead.ExecutionSucceeded {
		t.Errorf("with an engine it ended with %+v", p)
	}
}

// Executions of an earlier start stay as they are while there is no engine.
func TestAnEngineLessStartLeavesRecordsAlone(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	k.runsProgram(untilAsked)
	first := k.start(directory)
	id := k.submit()
	k.state(id, pierhead.ExecutionRunning)
	first.stop()
	k.change = func(c *Config) { c.Engine = nil }
	none := k.start(directory)
	k.until("the node works", func() bool { return none.Snapshot.URL() != "" })
	none.stop()
	k.change = func(*Config) {}
	k.start(directory)
	k.must(stopOne(k, id))
	if p := k.final(id).Progress; p.State != pierhead.ExecutionStopped || k.runs.Load() != 1 {
		t.Errorf("it ended with %+v after %d runs", p, k.runs.Load())
	}
}

func TestUnreadableRecordIsMovedAside(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	k.runsProgram(untilAsked)
	first := k.start(directory)
	bad, good := k.submit(), k.submit()
	k.state(bad, pierhead.ExecutionRunning)
	k.state(good, pierhead.ExecutionRunning)
	first.stop()
	path := filepath.Join(directory, "executions", bad+".json")
	k.must(os.WriteFile(path, []byte(`{"Execution":`), 0o600))
	k.start(directory)
	p := k.final(bad).Progress
	if p.State != pierhead.ExecutionFailed || !strings.Contains(p.Reason, "lost its record") {
		t.Errorf("it ended with %+v", p)
	}
	if running := k.engine.Containers(); !slices.Equal(running, []string{containerName(good)}) {
		t.Errorf("these containers are there: %q", running)
	}
	k.must(stopOne(k, good))
	if p := k.final(good).Progress; p.State != pierhead.ExecutionStopped {
		t.Errorf("the other ended with %+v", p)
	}
	if _, err := os.Stat(strings.TrimSuffix(path, ".json") + ".bad"); err != nil {
		t.Error(err)
	}
}

// Work that was on its way while its execution ended does not run it again, and an id cannot name a file elsewhere.
func TestWorkThatComesTooLate(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	agent := k.start(directory)
	id := k.submit()
	late := k.final(id)
	k.until("the agent has forgotten it", func() bool { return agent.running(id) == nil })
	k.clean(directory, id)
	late.Progress = pierhead.Progress{State: pierhead.ExecutionQueued}
	agent.take(t.Context(), nil, late)
	late.ID = "exe_../../../evil"
	agent.take(t.Context(), nil, late)
	if k.runs.Load() != 1 || agent.running(id) != nil || !k.log.has("no valid id") {
		t.Errorf("it ran %d times\n%s", k.runs.Load(), k.log)
	}
}
