package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/store"
)

var workTests = []test{
	{"WorkIsGivenOldestFirst", testTakeWork},
	{"TwoNodesShareTheWork", testTwoNodes},
	{"ReportsMoveForward", testReports},
	{"ChangedWakesWaiters", testChanged},
	{"ManyAtOnce", testConcurrent},
}

var nodeTests = []test{
	{"EnsureNode", testEnsureNode},
	{"DataKeys", testDataKeys},
}

func testTakeWork(t *testing.T, w *world) {
	for _, c := range []pierhead.Caller{w.root, w.alice, w.robot, pierhead.System()} {
		_, err := w.TakeWork(w.ctx, c, 1)
		w.wants(err, pierhead.ErrNotAllowed)
		_, err = w.NodeExecutions(w.ctx, c)
		w.wants(err, pierhead.ErrNotAllowed)
	}
	first, second, third := w.run(w.bob, "acme", "train"), w.run(w.bob, "bob", "play"), w.run(w.eve, "beta", "train")
	for _, step := range []struct {
		most int
		want []string
	}{{0, nil}, {1, []string{first.ID}}, {0, []string{first.ID}}, {5, []string{first.ID, second.ID, third.ID}}, {5, []string{first.ID, second.ID, third.ID}}} {
		work, err := w.TakeWork(w.ctx, w.node, step.most)
		w.must(err)
		if got := idsOf(work); !slices.Equal(got, step.want) {
			t.Errorf("took %v, want %v", got, step.want)
		}
	}
	_, err := w.Report(w.ctx, w.node, first.ID, pierhead.Progress{State: pierhead.ExecutionPulling})
	w.must(err)
	if work := w.take(); !slices.Equal(idsOf(work), []string{second.ID, third.ID}) {
		t.Errorf("after an acknowledgement: %v", idsOf(work))
	}
	_, err = w.Report(w.ctx, w.node, second.ID, pierhead.Progress{State: pierhead.ExecutionFailed})
	w.must(err)
	unfinished, err := w.NodeExecutions(w.ctx, w.node)
	w.must(err)
	if got := idsOf(unfinished); !slices.Equal(got, []string{first.ID, third.ID}) {
		t.Errorf("unfinished: %v", got)
	}
	shown, err := w.Execution(w.ctx, w.bob, first.ID)
	w.must(err)
	if shown.NodeID != w.node.NodeID {
		t.Errorf("node %q", shown.NodeID)
	}
}

func testTwoNodes(t *testing.T, w *world) {
	_, text, err := w.EnsureNode(w.ctx, pierhead.System(), "second")
	w.must(err)
	other := w.login(text)
	for range 40 {
		w.run(w.bob, "acme", "train")
	}
	var wait sync.WaitGroup
	took := make([][]pierhead.Execution, 2)
	for i, node := range []pierhead.Caller{w.node, other} {
		wait.Go(func() {
			for range 10 {
				work, err := w.TakeWork(w.ctx, node, 3)
				if err != nil {
					t.Error(err)
				}
				took[i] = work
			}
		})
	}
	wait.Wait()
	seen := map[string]bool{}
	for _, x := range slices.Concat(took...) {
		if seen[x.ID] {
			t.Errorf("%s was given to both", x.ID)
		}
		seen[x.ID] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d of 40 were given out", len(seen))
	}
	mine := took[0][0].ID
	_, err = w.Report(w.ctx, other, mine, pierhead.Progress{State: pierhead.ExecutionSucceeded})
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.AppendLog(w.ctx, other, mine, 0, []byte("x"))
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.Execution(w.ctx, other, mine)
	w.wants(err, pierhead.ErrNotFound)
}

func testReports(t *testing.T, w *world) {
	x := w.run(w.bob, "acme", "train")
	w.take()
	for _, c := range []pierhead.Caller{w.alice, w.bob, w.robot} {
		_, err := w.Report(w.ctx, c, x.ID, pierhead.Progress{State: pierhead.ExecutionSucceeded})
		w.wants(err, pierhead.ErrNotAllowed, "node")
	}
	report := func(p pierhead.Progress) pierhead.Progress {
		t.Helper()
		w.clock.Advance(time.Second)
		got, err := w.Report(w.ctx, w.node, x.ID, p)
		w.must(err)
		shown, err := w.Execution(w.ctx, w.bob, x.ID)
		w.must(err)
		if fmt.Sprint(shown.Progress.State, shown.Progress.FinishedAt, shown.Progress.Reason) != fmt.Sprint(got.Progress.State, got.Progress.FinishedAt, got.Progress.Reason) {
			t.Errorf("told %+v, shown %+v", got.Progress, shown.Progress)
		}
		return shown.Progress
	}
	p := report(pierhead.Progress{State: pierhead.ExecutionRunning, Digest: "sha256:abc", Registry: "azure"})
	started := p.StartedAt
	if p.State != pierhead.ExecutionRunning || started.IsZero() {
		t.Errorf("got %+v", p)
	}
	if p = report(pierhead.Progress{State: pierhead.ExecutionPulling, Digest: "sha256:late"}); p.State != pierhead.ExecutionRunning || p.Digest != "sha256:abc" {
		t.Errorf("a late report made %+v", p)
	}
	code := 3
	p = report(pierhead.Progress{State: pierhead.ExecutionFailed, ExitCode: &code, Reason: "exit code 3", Hint: "look at the log"})
	if p.State != pierhead.ExecutionFailed || *p.ExitCode != 3 || p.Digest != "sha256:abc" || !p.StartedAt.Equal(started) || p.FinishedAt.IsZero() {
		t.Errorf("got %+v", p)
	}
	finished := p.FinishedAt
	if p = report(pierhead.Progress{State: pierhead.ExecutionSucceeded}); p.State != pierhead.ExecutionFailed || !p.FinishedAt.Equal(finished) {
		t.Errorf("a report after the end made %+v", p)
	}
	_, err := w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: "exploded"})
	w.wants(err, pierhead.ErrBadInput)
}

func testChanged(t *testing.T, w *world) {
	woken := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	changed := w.Changed()
	if changed != w.Changed() {
		t.Error("two channels before a change")
	}
	_, err := w.Registries(w.ctx, w.alice, "acme") // audited, but no change
	w.must(err)
	_, err = w.CreateProject(w.ctx, w.eve, "acme", "x") // refused
	w.wants(err, pierhead.ErrNotFound)
	w.take()
	if woken(changed) {
		t.Error("woken by a read, a refusal, or an empty look for work")
	}
	x := w.run(w.bob, "acme", "train")
	if !woken(changed) {
		t.Error("not woken by a new execution")
	}
	for _, change := range []func() error{
		func() error { _, err := w.TakeWork(w.ctx, w.node, 1); return err },
		func() error { _, err := w.AppendLog(w.ctx, w.node, x.ID, 0, []byte("x")); return err },
		func() error {
			_, err := w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionPulling})
			return err
		},
		func() error { _, err := w.StopExecution(w.ctx, w.bob, x.ID); return err },
	} {
		changed = w.Changed()
		w.must(change())
		if !woken(changed) {
			t.Error("not woken by a step of the execution")
		}
	}
}

// Readers see whole changes, writers do not lose each other's.
func testConcurrent(t *testing.T, w *world) {
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 25 {
				x, err := w.CreateExecution(w.ctx, w.bob, "acme", "train", spec("alpine"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.Execution(w.ctx, w.alice, x.ID); err != nil {
					t.Errorf("written and not there: %v", err)
				}
				if _, err := w.Executions(w.ctx, w.alice, store.ExecutionFilter{Limit: 5}); err != nil {
					t.Error(err)
				}
				if _, err := w.Registries(w.ctx, w.alice, "acme"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	all, err := w.Executions(w.ctx, w.alice, store.ExecutionFilter{Limit: store.MaxLimit})
	w.must(err)
	if len(all) != 100 {
		t.Errorf("%d of 100 executions are there", len(all))
	}
}

func testEnsureNode(t *testing.T, w *world) {
	for _, c := range []pierhead.Caller{w.root, w.alice, w.robot, w.node} {
		_, _, err := w.EnsureNode(w.ctx, c, "x")
		w.wants(err, pierhead.ErrNotAllowed)
	}
	_, _, err := w.EnsureNode(w.ctx, pierhead.System(), "No Name")
	w.wants(err, pierhead.ErrBadInput)
	n, first, err := w.EnsureNode(w.ctx, pierhead.System(), "other")
	w.must(err)
	again, second, err := w.EnsureNode(w.ctx, pierhead.System(), "other")
	w.must(err)
	if again.ID != n.ID || first == second {
		t.Errorf("made %+v and then %+v", n, again)
	}
	_, err = w.Authenticate(w.ctx, first)
	w.wants(err, pierhead.ErrNotAllowed)
	c := w.login(second)
	if c.NodeID != n.ID || c.Name != "node:other" || c.Admin || c.PersonID != "" || len(c.Memberships) != 0 {
		t.Errorf("the node is %+v", c)
	}
	_, err = w.TakeWork(w.ctx, c, 1)
	w.must(err)
	seen, _, err := w.EnsureNode(w.ctx, pierhead.System(), "other")
	w.must(err)
	if seen.LastSeenAt.IsZero() {
		t.Error("a node that asked for work was not seen")
	}
}

func testDataKeys(t *testing.T, w *world) {
	_, err := w.DataKey(w.ctx, w.alice, "acme")
	w.wants(err, pierhead.ErrConflict, "agent")
	key := dataKey(t)
	for _, c := range []pierhead.Caller{w.root, w.alice, w.robot} {
		w.wants(w.PutDataKey(w.ctx, c, key), pierhead.ErrNotAllowed)
	}
	for _, bad := range []pierhead.DataKey{{}, {ID: key.ID, PublicKey: "x"}, {ID: "0123456789abcdef", PublicKey: key.PublicKey}} {
		w.wants(w.PutDataKey(w.ctx, w.node, bad), pierhead.ErrBadInput)
	}
	w.must(w.PutDataKey(w.ctx, w.node, key))
	w.must(w.PutDataKey(w.ctx, w.node, key))
	for _, c := range []pierhead.Caller{w.alice, w.bob, w.node} {
		got, err := w.DataKey(w.ctx, c, "acme")
		w.must(err)
		if got.ID != key.ID || got.PublicKey != key.PublicKey || got.NodeID != w.node.NodeID || got.CreatedAt.IsZero() {
			t.Errorf("got %+v", got)
		}
	}
	_, text, err := w.EnsureNode(w.ctx, pierhead.System(), "other")
	w.must(err)
	w.wants(w.PutDataKey(w.ctx, w.login(text), dataKey(t)), pierhead.ErrConflict, key.ID)
	w.must(w.PutDataKey(w.ctx, w.login(text), key)) // the same is what it should have
	next := dataKey(t)
	w.must(w.PutDataKey(w.ctx, w.node, next))
	if got, err := w.DataKey(w.ctx, w.alice, "acme"); err != nil || got.ID != next.ID {
		t.Errorf("after a rotation: %+v, %v", got, err)
	}
	r := registry("old", "gcr.io/x") // sealed to the earlier key: still opened by who has both
	r.Credential.Sealed = sealedTo(key.ID)
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
}
