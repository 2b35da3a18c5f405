package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
)

var states = []pierhead.ExecutionState{"queued", "pulling", "running", "succeeded", "failed", "stopped"}

// Every known state against every reported one: "+" is a step, "=" is the same, "-" is ignored.
const steps = `
          queued pulling running succeeded failed stopped
queued    =      +       +       +         +      +
pulling   -      =       +       +         +      +
running   -      -       =       +         +      +
succeeded -      -       -       -         -      -
failed    -      -       -       -         -      -
stopped   -      -       -       -         -      -
`

func TestStatesOnlyMoveForward(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, line := range strings.Split(strings.TrimSpace(steps), "\n")[1:] {
		fields := strings.Fields(line)
		for j, verdict := range fields[1:] {
			known := pierhead.Progress{State: states[i], Digest: "old"}
			next, err := advance(known, pierhead.Progress{State: states[j], Digest: "new"}, now)
			if err != nil || fields[0] != string(states[i]) {
				t.Fatalf("%s: %v", line, err)
			}
			want := known
			if verdict != "-" {
				want.Digest = "new"
			}
			if verdict == "+" {
				want.State = states[j]
			}
			if verdict != "-" && want.State == pierhead.ExecutionRunning {
				want.StartedAt = now
			}
			if verdict == "+" && want.State.Final() {
				want.FinishedAt = now
			}
			if !sameProgress(next, want) {
				t.Errorf("%s, reported %s: %+v, want %+v", states[i], states[j], next, want)
			}
			if again, _ := advance(next, pierhead.Progress{State: states[j], Digest: "new"}, now.Add(time.Hour)); !sameProgress(again, next) {
				t.Errorf("%s, reported %s twice: %+v, want %+v", states[i], states[j], again, next)
			}
		}
	}
	if _, err := advance(pierhead.Progress{State: "queued"}, pierhead.Progress{State: "lost"}, now); !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("an unknown state gave %v", err)
	}
}

func TestReportKeepsWhatItDoesNotSay(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	code := 1
	full := pierhead.Progress{
		State: "running", Digest: "a", PlatformDigest: "b", Registry: "c", Anonymous: true, ExitCode: &code, Reason: "d", Hint: "e",
		PullFailed: true, StartedAt: now,
	}
	got, err := advance(full, pierhead.Progress{}, now.Add(time.Hour))
	if err != nil || !sameProgress(got, full) {
		t.Errorf("an empty report made %+v, %v", got, err)
	}
	long, err := advance(full, pierhead.Progress{Reason: strings.Repeat("é", maxReason) + "\xff"}, now)
	if err != nil || len(long.Reason) > maxReason || strings.ContainsRune(long.Reason, '\ufffd') {
		t.Errorf("a long reason became %d bytes, %v", len(long.Reason), err)
	}
	known := pierhead.Progress{State: "queued"}
	if _, err := advance(known, full, now); err != nil || known.State != "queued" {
		t.Error("advance changed its argument")
	}
}
