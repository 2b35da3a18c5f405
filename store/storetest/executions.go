package storetest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/store"
)

var executionTests = []test{
	{"ExecutionComesBackAsSubmitted", testExecutionRoundTrip},
	{"BadSpecsSayWhatIsWrong", testSpecInput},
	{"WhoSeesExecutions", testExecutionVisible},
	{"ExecutionPages", testExecutionPages},
	{"StopBeforeTheStart", testStopQueued},
	{"StopWhileItRuns", testStopRunning},
	{"Logs", testLogs},
}

func spec(image string) pierhead.Spec {
	return pierhead.Spec{Step: "train", Image: image, Command: []string{"echo hello"}}
}

// run submits an execution.
func (w *world) run(c pierhead.Caller, owner, project string) pierhead.Execution {
	w.t.Helper()
	x, err := w.CreateExecution(w.ctx, c, owner, project, spec("myregistry.azurecr.io/ml-training:v2.0"))
	w.must(err)
	return x
}

// take gives the node all that waits.
func (w *world) take() []pierhead.Execution {
	w.t.Helper()
	work, err := w.TakeWork(w.ctx, w.node, 100)
	w.must(err)
	return work
}

func testExecutionRoundTrip(t *testing.T, w *world) {
	full := pierhead.Spec{
		Step: "Train a model", Image: "docker.io/library/alpine:3.20", Command: []string{"echo 'é\t$X'", "", "exit 3"},
		Environment: map[string]string{"X": "a\nb", "_Y1": ""}, Mounts: []pierhead.Mount{{Source: "/data", Destination: "/in", ReadOnly: true}},
		TimeLimit: 90 * time.Minute, PullPolicy: pierhead.PullIfNotPresent,
	}
	made, err := w.CreateExecution(w.ctx, w.bob, "acme", "train", full)
	w.must(err)
	want := pierhead.Execution{
		ID: made.ID, Project: "acme/train", ProjectID: made.ProjectID, OrganizationID: w.organizationID("acme"), CreatedBy: "bob", Spec: full,
		Progress: pierhead.Progress{State: pierhead.ExecutionQueued}, CreatedAt: made.CreatedAt,
	}
	if !reflect.DeepEqual(made, want) || made.ID == "" || made.CreatedAt.IsZero() {
		t.Errorf("made %+v, want %+v", made, want)
	}
	got, err := w.Execution(w.ctx, w.alice, made.ID)
	w.must(err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	small, err := w.CreateExecution(w.ctx, w.bob, "bob", "play", pierhead.Spec{Step: "s", Image: "alpine"})
	w.must(err)
	if small.Spec.PullPolicy != pierhead.PullAlways || small.OrganizationID != "" {
		t.Errorf("a personal one is %+v", small)
	}
}

func testSpecInput(t *testing.T, w *world) {
	for _, bad := range []struct {
		says   string
		change func(s *pierhead.Spec)
	}{
		{"step", func(s *pierhead.Spec) { s.Step = "" }},
		{"step", func(s *pierhead.Spec) { s.Step = "a\nb" }},
		{"image", func(s *pierhead.Spec) { s.Image = "" }},
		{"image", func(s *pierhead.Spec) { s.Image = "gcr.io/UPPER" }},
		{"image", func(s *pierhead.Spec) { s.Image = "https://user:pass@gcr.io/x" }},
		{"line 1", func(s *pierhead.Spec) { s.Command = []string{"a\x00b"} }},
		{"command", func(s *pierhead.Spec) { s.Command = make([]string, 1001) }},
		{"256 KiB", func(s *pierhead.Spec) { s.Command = []string{strings.Repeat("x", 257<<10)} }},
		{"variable", func(s *pierhead.Spec) { s.Environment = map[string]string{"A=B": ""} }},
		{"variable", func(s *pierhead.Spec) { s.Environment = map[string]string{"1A": ""} }},
		{"variable", func(s *pierhead.Spec) { s.Environment = map[string]string{"": ""} }},
		{"NUL", func(s *pierhead.Spec) { s.Environment = map[string]string{"A": "\x00"} }},
		{"time-limit", func(s *pierhead.Spec) { s.TimeLimit = -1 }},
		{"mounts", func(s *pierhead.Spec) { s.Mounts = []pierhead.Mount{{Source: "data", Destination: "/x"}} }},
		{"mounts", func(s *pierhead.Spec) { s.Mounts = []pierhead.Mount{{Source: "/data/../etc", Destination: "/x"}} }},
		{"pull policy", func(s *pierhead.Spec) { s.PullPolicy = "sometimes" }},
	} {
		s := spec("alpine")
		bad.change(&s)
		_, err := w.CreateExecution(w.ctx, w.bob, "acme", "train", s)
		w.wants(err, pierhead.ErrBadInput, bad.says)
	}
	if found, err := w.Executions(w.ctx, w.bob, store.ExecutionFilter{}); err != nil || len(found) != 0 {
		t.Errorf("a bad execution was made: %+v, %v", found, err)
	}
}

func testExecutionVisible(t *testing.T, w *world) {
	ours, mine := w.run(w.bob, "acme", "train"), w.run(w.bob, "bob", "play")
	for _, c := range []struct {
		caller     pierhead.Caller
		ours, mine bool
	}{{w.bob, true, true}, {w.alice, true, false}, {w.robot, true, false}, {w.read, true, false}, {w.root, false, false}, {w.eve, false, false}, {w.node, false, false}} {
		for _, x := range []struct {
			id   string
			sees bool
		}{{ours.ID, c.ours}, {mine.ID, c.mine}} {
			_, show := w.Execution(w.ctx, c.caller, x.id)
			_, log := w.ExecutionLog(w.ctx, c.caller, x.id, 0, 0)
			if (show == nil) != x.sees || (log == nil) != x.sees {
				t.Errorf("%s: show %v, log %v, want %v", c.caller.Name, show, log, x.sees)
			}
			if !x.sees {
				w.wants(show, pierhead.ErrNotFound)
				_, err := w.StopExecution(w.ctx, c.caller, x.id)
				w.wants(err, pierhead.ErrNotFound)
			}
		}
	}
	for _, c := range []struct {
		caller pierhead.Caller
		filter store.ExecutionFilter
		want   []string
	}{
		{w.bob, store.ExecutionFilter{}, []string{mine.ID, ours.ID}},
		{w.bob, store.ExecutionFilter{Owner: "acme"}, []string{ours.ID}},
		{w.bob, store.ExecutionFilter{Owner: "acme", Project: "serve"}, nil},
		{w.bob, store.ExecutionFilter{Owner: "bob", Project: "play"}, []string{mine.ID}},
		{w.alice, store.ExecutionFilter{}, []string{ours.ID}},
		{w.root, store.ExecutionFilter{}, nil},
		{w.eve, store.ExecutionFilter{}, nil},
	} {
		found, err := w.Executions(w.ctx, c.caller, c.filter)
		w.must(err)
		if got := idsOf(found); !slices.Equal(got, c.want) {
			t.Errorf("%s lists %v with %+v, want %v", c.caller.Name, got, c.filter, c.want)
		}
	}
	_, err := w.Executions(w.ctx, w.alice, store.ExecutionFilter{Owner: "bob"})
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.Executions(w.ctx, w.alice, store.ExecutionFilter{Owner: "bob", Project: "play"})
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.Executions(w.ctx, w.alice, store.ExecutionFilter{Project: "train"})
	w.wants(err, pierhead.ErrBadInput)
	_, err = w.Executions(w.ctx, w.alice, store.ExecutionFilter{State: "done"})
	w.wants(err, pierhead.ErrBadInput, "queued")
	_, err = w.Executions(w.ctx, w.alice, store.ExecutionFilter{Before: mine.ID})
	w.wants(err, pierhead.ErrNotFound)
}

func idsOf(executions []pierhead.Execution) []string {
	var ids []string
	for _, x := range executions {
		ids = append(ids, x.ID)
	}
	return ids
}

func testExecutionPages(t *testing.T, w *world) {
	var all []string
	for i := range 23 {
		owner, project := "acme", "train"
		if i%3 == 0 {
			owner, project = "bob", "play"
		}
		all = append(all, w.run(w.bob, owner, project).ID)
	}
	_, err := w.StopExecution(w.ctx, w.bob, all[4])
	w.must(err)
	slices.Reverse(all)
	var paged []string
	for f := (store.ExecutionFilter{Limit: 5}); ; f.Before = paged[len(paged)-1] {
		page, err := w.Executions(w.ctx, w.bob, f)
		w.must(err)
		if len(page) == 0 {
			break
		}
		paged = append(paged, idsOf(page)...)
	}
	if !slices.Equal(paged, all) {
		t.Errorf("pages give %v, want %v", paged, all)
	}
	found, err := w.Executions(w.ctx, w.bob, store.ExecutionFilter{State: pierhead.ExecutionStopped})
	if err != nil || !slices.Equal(idsOf(found), []string{all[18]}) {
		t.Errorf("stopped: %v, %v, want %s", idsOf(found), err, all[18])
	}
}

func testStopQueued(t *testing.T, w *world) {
	x := w.run(w.bob, "acme", "train")
	got, err := w.StopExecution(w.ctx, w.alice, x.ID)
	w.must(err)
	if got.Progress.State != pierhead.ExecutionStopped || got.Progress.FinishedAt.IsZero() || got.Progress.Reason == "" || !got.StopRequested {
		t.Errorf("got %+v", got)
	}
	if work := w.take(); len(work) != 0 {
		t.Errorf("the node was given a stopped execution: %+v", work)
	}
	again, err := w.StopExecution(w.ctx, w.alice, x.ID)
	w.must(err)
	if !reflect.DeepEqual(again, got) {
		t.Errorf("the second stop changed %+v to %+v", got, again)
	}
}

func testStopRunning(t *testing.T, w *world) {
	x := w.run(w.bob, "acme", "train")
	w.take()
	_, err := w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionRunning})
	w.must(err)
	if work := w.take(); len(work) != 0 {
		t.Errorf("acknowledged work came again: %+v", work)
	}
	got, err := w.StopExecution(w.ctx, w.bob, x.ID)
	w.must(err)
	if got.Progress.State != pierhead.ExecutionRunning || !got.StopRequested {
		t.Errorf("got %+v", got)
	}
	if work := w.take(); len(work) != 1 || !work[0].StopRequested {
		t.Errorf("the node was not told to stop: %+v", work)
	}
	told, err := w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionStopped, Reason: "stopped by bob"})
	w.must(err)
	if told.Progress.State != pierhead.ExecutionStopped || told.Progress.Reason != "stopped by bob" {
		t.Errorf("got %+v", told)
	}
	if work := w.take(); len(work) != 0 {
		t.Errorf("finished work came again: %+v", work)
	}
}

func testLogs(t *testing.T, w *world) {
	x := w.run(w.bob, "acme", "train")
	_, err := w.AppendLog(w.ctx, w.node, x.ID, 0, []byte("early"))
	w.wants(err, pierhead.ErrNotFound) // not the node's yet
	w.take()
	write := func(offset int64, text string, want int64) {
		t.Helper()
		size, err := w.AppendLog(w.ctx, w.node, x.ID, offset, []byte(text))
		w.must(err)
		if size != want {
			t.Errorf("size %d, want %d", size, want)
		}
	}
	write(0, "Pulling ", 8)
	write(0, "Pulling ", 8) // again
	write(4, "ing image\n", 14)
	write(14, "", 14)
	_, err = w.AppendLog(w.ctx, w.node, x.ID, 15, []byte("x"))
	w.wants(err, pierhead.ErrConflict, "14")
	_, err = w.AppendLog(w.ctx, w.node, x.ID, -1, []byte("x"))
	w.wants(err, pierhead.ErrBadInput)
	_, err = w.AppendLog(w.ctx, w.bob, x.ID, 14, []byte("x"))
	w.wants(err, pierhead.ErrNotAllowed)
	_, err = w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionSucceeded})
	w.must(err)
	write(14, "late\n", 19) // the last lines may come after the end
	const whole = "Pulling image\nlate\n"
	for offset := range int64(len(whole) + 2) {
		for most := range len(whole) + 2 {
			got, err := w.ExecutionLog(w.ctx, w.bob, x.ID, offset, most)
			w.must(err)
			want := whole[min(offset, int64(len(whole))):]
			if most > 0 {
				want = want[:min(most, len(want))]
			}
			if string(got) != want {
				t.Errorf("log from %d, at most %d: %q, want %q", offset, most, got, want)
			}
		}
	}
	shown, err := w.Execution(w.ctx, w.bob, x.ID)
	w.must(err)
	if shown.LogSize != int64(len(whole)) {
		t.Errorf("log size %d", shown.LogSize)
	}
}
