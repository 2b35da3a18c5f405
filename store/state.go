package store

import (
	"time"

	"pierhead.dev/pierhead"
)

// Lengths of what a node says of an execution, in bytes; longer texts are cut.
const (
	maxReason = 4 << 10
	maxDigest = 200
)

// rank is where a state stands in queued → pulling → running → final; -1 for a word that is no state.
func rank(s pierhead.ExecutionState) int {
	switch {
	case s == pierhead.ExecutionQueued:
		return 0
	case s == pierhead.ExecutionPulling:
		return 1
	case s == pierhead.ExecutionRunning:
		return 2
	case s.Final():
		return 3
	}
	return -1
}

// advance is the state machine of executions: what is known after a report. States only move forward. A report after
// the end, or one of an earlier state that came late, changes nothing; a repeated one changes nothing either. Fields that
// a report leaves zero stay as they were. now stands in for times that the node did not give. An unknown state is
// ErrBadInput.
func advance(known, report pierhead.Progress, now time.Time) (pierhead.Progress, error) {
	if report.State == "" {
		report.State = known.State
	}
	if rank(report.State) < 0 {
		return known, badInput("there is no execution state %q", "", cut(string(report.State)))
	}
	if known.State.Final() || rank(report.State) < rank(known.State) {
		return known, nil
	}
	next := known
	next.State = report.State
	next.Digest = newer(known.Digest, report.Digest, maxDigest)
	next.PlatformDigest = newer(known.PlatformDigest, report.PlatformDigest, maxDigest)
	next.Registry = newer(known.Registry, report.Registry, pierhead.MaxName)
	next.Reason = newer(known.Reason, report.Reason, maxReason)
	next.Hint = newer(known.Hint, report.Hint, maxReason)
	next.Anonymous = known.Anonymous || report.Anonymous
	next.PullFailed = known.PullFailed || report.PullFailed
	next.PulledBytes = max(known.PulledBytes, report.PulledBytes)
	next.ImageBytes = max(known.ImageBytes, report.ImageBytes)
	if report.ExitCode != nil {
		code := *report.ExitCode
		next.ExitCode = &code
	}
	next.StartedAt = firstTime(known.StartedAt, report.StartedAt, now, next.State == pierhead.ExecutionRunning)
	next.FinishedAt = firstTime(known.FinishedAt, report.FinishedAt, now, next.State.Final())
	return next, nil
}

// newer is what was reported, or what was known where nothing was.
func newer(known, reported string, longest int) string {
	if reported == "" {
		return known
	}
	return cutBytes(reported, longest)
}

// firstTime is the first of the known and the reported time that is set, or now where the state asks for one.
func firstTime(known, reported, now time.Time, needed bool) time.Time {
	switch {
	case !known.IsZero():
		return known
	case !reported.IsZero():
		return reported.UTC().Truncate(time.Microsecond)
	case needed:
		return now
	}
	return time.Time{}
}

// stopped is the progress of an execution that is to be stopped while no node has it: it never starts.
func stopped(known pierhead.Progress, now time.Time) pierhead.Progress {
	known.State, known.Reason, known.FinishedAt = pierhead.ExecutionStopped, "stopped before it started", now
	return known
}
