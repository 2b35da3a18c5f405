package server_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/server"
)

func TestSnapshotWaitsForAnotherVersion(t *testing.T) {
	k := newKit(t)
	node := k.client("node")
	first, ok, err := node.Snapshot(t.Context(), 0, 0)
	if err != nil || !ok || first.URL != publicURL || len(first.Organizations) != 2 {
		t.Fatalf("snapshot %+v, %v, %v", first, ok, err)
	}
	if _, ok, err := node.Snapshot(t.Context(), first.Version, 0); ok || err != nil {
		t.Errorf("without a change: %v, %v", ok, err)
	}
	type answer struct {
		snapshot pierhead.Snapshot
		ok       bool
		err      error
	}
	answers := make(chan answer)
	go func() {
		s, ok, err := node.Snapshot(t.Context(), first.Version, api.MaxWait)
		answers <- answer{s, ok, err}
	}()
	k.registry()
	second := <-answers
	if second.err != nil || !second.ok || second.snapshot.Version <= first.Version {
		t.Fatalf("after a change: %+v", second)
	}
	for _, o := range second.snapshot.Organizations {
		for _, r := range o.Registries {
			if r.OrganizationID != o.Organization.ID {
				t.Errorf("registry %s has organization %q", r.Name, r.OrganizationID)
			}
		}
	}
}

func TestWorkComesWhenItIsSubmitted(t *testing.T) {
	k := newKit(t)
	k.projects()
	node := k.client("node")
	works := make(chan []pierhead.Execution)
	go func() {
		work, _, err := node.TakeWork(t.Context(), 1, api.MaxWait)
		if err != nil {
			t.Error(err)
		}
		works <- work
	}()
	e := k.execution()
	work := <-works
	if len(work) != 1 || work[0].ID != e.ID || work[0].Spec.Image != "images.example/a:b" || work[0].Project != "acme/vision" {
		t.Fatalf("work is %+v", work)
	}
	if _, err := node.Report(t.Context(), e.ID, pierhead.Progress{State: pierhead.ExecutionRunning}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.client("bob").StopExecution(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	if work, _, err := node.TakeWork(t.Context(), 1, api.MaxWait); err != nil || len(work) != 1 || !work[0].StopRequested {
		t.Fatalf("the stop: %+v, %v", work, err)
	}
}

// What was handed out a moment ago does not come again at once: a node that takes a while to stop a container would
// poll in a circle. It does come again later, because the answer may have been lost.
func TestWorkIsNotHandedOutInACircle(t *testing.T) {
	clock := make(chan time.Time, 1)
	clock <- time.Now()
	now := func() time.Time { at := <-clock; clock <- at; return at }
	k := newKit(t, func(c *server.Config) { c.Now = now })
	k.projects()
	e := k.taken()
	again := func() int {
		work, _, err := k.client("node").TakeWork(t.Context(), 1, 0)
		k.must(err)
		return len(work)
	}
	if n := again(); n != 0 {
		t.Errorf("at once: %d executions again", n)
	}
	clock <- (<-clock).Add(6 * time.Second)
	if n := again(); n != 1 {
		t.Errorf("after six seconds: %d executions again", n)
	}
	_, err := k.client("bob").StopExecution(t.Context(), e.ID)
	k.must(err)
	if _, err := k.client("node").Report(t.Context(), e.ID, pierhead.Progress{State: pierhead.ExecutionPulling}); err != nil {
		t.Fatal(err)
	}
	if n := again(); n != 1 {
		t.Errorf("a stop is news, and came %d times", n)
	}
}

// A log is followed from its first byte to the end of the execution, in pieces as they come.
func TestLogIsFollowedToTheEnd(t *testing.T) {
	k := newKit(t)
	k.projects()
	e := k.taken()
	node, bob := k.client("node"), k.client("bob")
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		execution, err := bob.FollowLog(t.Context(), e.ID, 0, write)
		if err == nil && execution.State != "succeeded" {
			t.Errorf("the execution is %s", execution.State)
		}
		write.Close()
		ended <- err
	}()
	appendLog := func(offset int64, text string) int64 {
		size, err := node.AppendLog(t.Context(), e.ID, offset, []byte(text))
		k.must(err)
		return size
	}
	expect := func(text string) {
		t.Helper()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(read, got); err != nil || string(got) != text {
			t.Fatalf("the log goes on with %q, not %q: %v", got, text, err)
		}
	}
	size := appendLog(0, "Pulling image: images.example/a:b\n")
	expect("Pulling image: images.example/a:b\n")
	size = appendLog(size, "one\n")
	expect("one\n")
	if again := appendLog(size-4, "one\n"); again != size {
		t.Errorf("a repeated piece made the log %d bytes long, not %d", again, size)
	}
	for _, state := range []pierhead.ExecutionState{pierhead.ExecutionPulling, pierhead.ExecutionRunning} {
		_, err := node.Report(t.Context(), e.ID, pierhead.Progress{State: state})
		k.must(err)
	}
	appendLog(size, "two\n")
	zero := 0
	_, err := node.Report(t.Context(), e.ID, pierhead.Progress{State: pierhead.ExecutionSucceeded, ExitCode: &zero, StartedAt: time.Now(), FinishedAt: time.Now()})
	k.must(err)
	expect("two\n")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var rest bytes.Buffer
	if _, err := bob.FollowLog(t.Context(), e.ID, size, &rest); err != nil || rest.String() != "two\n" {
		t.Errorf("from an offset: %q, %v", rest.String(), err)
	}
}

// A stream whose token was revoked ends, and does not look as if the log had.
func TestLogStreamEndsWithItsToken(t *testing.T) {
	clock := make(chan time.Time, 1)
	clock <- time.Now()
	k := newKit(t, func(c *server.Config) { c.Now = func() time.Time { at := <-clock; clock <- at; return at } })
	k.projects()
	e := k.taken()
	made, err := k.client("bob").CreateToken(t.Context(), api.NewToken{Name: "lost laptop"})
	k.must(err)
	k.token["lost"] = made.Text
	body, err := k.client("lost").ExecutionLog(t.Context(), e.ID, 0, true)
	k.must(err)
	defer body.Close()
	k.must(k.client("bob").DeleteToken(t.Context(), made.ID))
	clock <- (<-clock).Add(2 * time.Minute)
	_, err = k.client("node").AppendLog(t.Context(), e.ID, 0, []byte("not for you\n"))
	k.must(err)
	if text, err := io.ReadAll(body); len(text) > 0 || err == nil {
		t.Errorf("the stream went on with %q, %v", text, err)
	}
}

func TestLogWithoutFollowIsWhatThereIs(t *testing.T) {
	k := newKit(t)
	k.projects()
	e := k.taken()
	long := strings.Repeat("0123456789abcde\n", 20_000) // more than one piece
	_, err := k.client("node").AppendLog(t.Context(), e.ID, 0, []byte(long))
	k.must(err)
	body, err := k.client("bob").ExecutionLog(t.Context(), e.ID, 5, false)
	k.must(err)
	defer body.Close()
	if text, err := io.ReadAll(body); err != nil || string(text) != long[5:] {
		t.Errorf("%d bytes of %d, %v", len(text), len(long)-5, err)
	}
	if status, _, text := k.send("GET", "/api/v1/executions/"+e.ID+"/log?offset=-1", k.token["bob"], ""); status != http.StatusBadRequest {
		t.Errorf("a negative offset: %d %s", status, text)
	}
}

// A shutdown does not wait for polls and streams, and none of their clients takes it for an answer.
func TestDrainEndsWaiting(t *testing.T) {
	k := newKit(t)
	k.projects()
	e := k.taken()
	snapshot, _, err := k.client("node").Snapshot(t.Context(), 0, 0)
	k.must(err)
	ended := make(chan string, 3)
	go func() {
		if _, ok, err := k.client("node").Snapshot(t.Context(), snapshot.Version, api.MaxWait); ok || err != nil {
			t.Errorf("snapshot: %v, %v", ok, err)
		}
		ended <- "snapshot"
	}()
	go func() {
		if work, _, err := k.client("node").TakeWork(t.Context(), 0, api.MaxWait); len(work) > 0 || err != nil {
			t.Errorf("work: %v, %v", work, err)
		}
		ended <- "work"
	}()
	body, err := k.client("bob").ExecutionLog(t.Context(), e.ID, 0, true)
	k.must(err)
	defer body.Close()
	go func() {
		if text, err := io.ReadAll(body); len(text) > 0 || err != nil {
			t.Errorf("log: %q, %v", text, err)
		}
		ended <- "log"
	}()
	k.server.Drain()
	for range 3 {
		<-ended
	}
	if status, _, _ := k.send("GET", "/readyz", "", ""); status != http.StatusServiceUnavailable {
		t.Errorf("readyz is %d", status)
	}
	if status, _, _ := k.send("GET", "/healthz", "", ""); status != http.StatusOK {
		t.Errorf("healthz is %d", status)
	}
}

func TestClientThatGoesAwayEndsItsPoll(t *testing.T) {
	k := newKit(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, _, err := k.client("node").TakeWork(ctx, 0, api.MaxWait)
		ended <- err
	}()
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}
