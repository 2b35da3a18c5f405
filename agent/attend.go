package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/internal/skip"
)

// stopGrace is what a container gets between the wish to stop and its end.
const stopGrace = 10 * time.Second

// attend follows a container that was started to its end: output, time limit, wishes to stop.
func (r *run) attend(ctx context.Context) outcome {
	state, err := r.find(ctx)
	if errors.Is(err, engine.ErrNotFound) {
		return r.failed(pierhead.NewProblem(pierhead.ErrNotFound,
			"the container is gone: somebody removed it, or the machine lost it", "run the step again"))
	}
	if err != nil {
		return r.failed(err)
	}
	if state.Running { // what has ended by itself is not stopped any more
		over, finished := context.WithCancel(ctx)
		enforced := make(chan struct{})
		go func() { defer close(enforced); r.enforce(over, state.ID) }()
		defer func() { finished(); <-enforced }()
	}
	last, err := r.follow(ctx, state.ID)
	if err != nil {
		return r.failed(err)
	}
	return r.ended(last)
}

// find asks for the container until the engine says something of it. Any other error is the engine's trouble: nothing is
// decided about a container that may be running.
func (r *run) find(ctx context.Context) (engine.State, error) {
	for wait := newBackoff(); ; {
		state, err := r.agent.Engine.Find(ctx, containerName(r.rec.Execution.ID))
		if err == nil || errors.Is(err, engine.ErrNotFound) {
			return state, err
		}
		r.agent.Log.Warn("looking for a container; trying again", "execution", r.rec.Execution.ID, "error", err)
		if err := wait.pause(ctx); err != nil {
			return state, err
		}
	}
}

// enforce stops the container when somebody wishes or when its time, which counts from its start, is up.
func (r *run) enforce(ctx context.Context, containerID string) {
	var timeUp <-chan time.Time
	limit := r.rec.Execution.Spec.TimeLimit
	if limit > 0 {
		timer := time.NewTimer(r.rec.Progress.StartedAt.Add(limit).Sub(r.agent.now()))
		defer timer.Stop()
		timeUp = timer.C
	}
	select {
	case <-ctx.Done():
		return
	case <-timeUp:
		r.end(fmt.Sprintf("the time limit of %s is over", limit), true)
	case <-r.stop:
	}
	for wait := newBackoff(); ; {
		err := r.agent.Engine.Stop(ctx, containerID, stopGrace)
		if err == nil || errors.Is(err, engine.ErrNotFound) || wait.pause(ctx) != nil {
			return
		}
		r.agent.Log.Warn("stopping a container", "execution", r.rec.Execution.ID, "error", err)
	}
}

// follow copies the container's output to the log until the container ended. The engine keeps the output from its
// beginning, so after a break it is read again and what the log already has is skipped.
func (r *run) follow(ctx context.Context, containerID string) (engine.State, error) {
	if err := r.log.Cut(maxLog); err != nil { // an earlier start's Finish, of which its record does not know
		return engine.State{}, err
	}
	wait := newBackoff()
	for {
		before := r.log.Size() + r.log.Dropped()
		rest := &skip.Writer{To: r.log, Skip: before - int64(len(r.rec.Head))}
		err := r.agent.Engine.Logs(ctx, containerID, true, rest)
		var state engine.State
		if err == nil {
			state, err = r.agent.Engine.Wait(ctx, containerID)
		}
		if err == nil {
			return state, nil
		}
		if errors.Is(err, engine.ErrNotFound) {
			return state, pierhead.NewProblem(pierhead.ErrNotFound, "the container was removed while it ran", "run the step again")
		}
		if ctx.Err() != nil {
			return state, ctx.Err()
		}
		r.agent.Log.Warn("following a container; trying again", "execution", r.rec.Execution.ID, "error", err)
		if r.log.Size()+r.log.Dropped() > before {
			wait.reset()
		}
		if err := wait.pause(ctx); err != nil {
			return state, err
		}
	}
}

// ended is the outcome of a container that does not run any more.
func (r *run) ended(state engine.State) outcome {
	if !state.Exited {
		return r.failed(pierhead.NewProblem(pierhead.ErrConflict,
			"the container did not come to its end: the machine or its engine went down while it ran", "run the step again"))
	}
	code := state.ExitCode
	if out, asked := r.stopped(); asked && !r.endedBefore(state) {
		out.exitCode = &code
		return out
	}
	out := outcome{state: pierhead.ExecutionSucceeded, exitCode: &code}
	switch {
	case state.OOMKilled:
		out.state, out.err = pierhead.ExecutionFailed, pierhead.NewProblem(pierhead.ErrBadInput, "the container was killed for want of memory", "")
	case code != 0:
		out.state = pierhead.ExecutionFailed
	}
	return out
}

// endedBefore tells whether the container had ended by itself when the wish to stop it came.
func (r *run) endedBefore(state engine.State) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !state.FinishedAt.IsZero() && state.FinishedAt.Before(r.stoppedAt)
}
