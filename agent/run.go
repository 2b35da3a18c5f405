package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
)

// stopGrace is what a container gets between the wish to stop and its end.
const stopGrace = 10 * time.Second

// A run is one execution on its way through this node. It is made from a record, new or kept, and goes on from the
// record's phase; what it learns is in the record before it acts on it.
type run struct {
	agent *Agent
	rec   *record
	log   *executionLog

	mu       sync.Mutex
	stopping string        // why it is being stopped, or ""
	stop     chan struct{} // closed when stopping is set
	pulled   pulled        // bytes, for the progress bar
	changed  chan struct{} // capacity 1: something to report
}

// An outcome is how an execution ended.
type outcome struct {
	state    pierhead.ExecutionState
	exitCode *int
	err      error // why, when it is not simply the container's exit code
}

// containerName is what the engine calls an execution's container, and how the agent finds it again.
func containerName(executionID string) string {
	return "pier-" + strings.ReplaceAll(executionID, "_", "-")
}

// Stop asks the run to end; reason goes to the log. The first reason counts.
func (r *run) Stop(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping == "" {
		r.stopping = reason
		close(r.stop)
	}
}

func (r *run) stopReason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

// do takes the execution to its end, or as far as it gets before ctx ends: then the record stays, a running container
// runs on, and the next start of the agent goes on from here.
func (r *run) do(ctx context.Context) error {
	if r.rec.Phase != phaseEnded {
		out := r.work(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.settle(out); err != nil {
			return err
		}
	}
	if err := r.log.Cut(r.rec.LogEnd); err != nil { // a footer that a crash cut short is written anew
		return err
	}
	if r.rec.Footer != "" {
		if err := r.log.Note("%s", r.rec.Footer); err != nil {
			return err
		}
	}
	r.log.End()
	return nil
}

// work runs what is left to run. The context ending is the caller's to notice.
func (r *run) work(ctx context.Context) outcome {
	stoppable, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-r.stop:
			cancel()
		case <-stoppable.Done():
		}
	}()
	if r.rec.Phase != phaseRunning {
		id, err := r.prepare(stoppable)
		if err != nil {
			return r.failed(err)
		}
		if err := r.launch(stoppable, id); err != nil {
			return r.failed(err)
		}
	}
	return r.attend(ctx)
}

// failed is the outcome of an error before the container ran.
func (r *run) failed(err error) outcome {
	if r.stopReason() != "" {
		return outcome{state: pierhead.ExecutionStopped}
	}
	return outcome{state: pierhead.ExecutionFailed, err: err}
}

// launch makes the container and starts it. The record says "running" before the container exists: a crash in between
// is found by its name.
func (r *run) launch(ctx context.Context, imageID string) error {
	spec, err := r.containerSpec(imageID)
	if err != nil {
		return err
	}
	r.rec.Phase, r.rec.ImageID, r.rec.LogHead = phaseRunning, imageID, r.log.Size()
	if err := r.agent.records.save(r.rec); err != nil {
		return err
	}
	if _, err := r.agent.Engine.Find(ctx, spec.Name); errors.Is(err, engine.ErrNotFound) {
		if _, err := r.agent.Engine.Create(ctx, spec); err != nil {
			return fmt.Errorf("making the container: %w", err)
		}
	} else if err != nil {
		return err
	}
	return r.start(ctx)
}

func (r *run) start(ctx context.Context) error {
	state, err := r.agent.Engine.Find(ctx, containerName(r.rec.Execution.ID))
	if err != nil {
		return err
	}
	if !state.Running && !state.Exited {
		if err := r.agent.Engine.Start(ctx, state.ID); err != nil {
			return r.explainStart(err)
		}
	}
	return r.update(func(p *pierhead.Progress) {
		p.State, p.StartedAt = pierhead.ExecutionRunning, r.agent.now()
	})
}

// explainStart says what people can do about a container that did not start.
func (r *run) explainStart(err error) error {
	if !errors.Is(err, engine.ErrNoCommand) {
		return fmt.Errorf("starting the container: %w", err)
	}
	arguments, shell := argv(r.rec.Execution.Spec.Command)
	if shell {
		return &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err,
			Text: "the image has no shell (sh), and this command needs one",
			Hint: "write the command as one line without shell characters (|, &, ;, <, >, $, quotes and the like), or use an image with a shell"}
	}
	return &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err,
		Text: fmt.Sprintf("the image has no program %q", arguments[0]), Hint: "look at the step's command and at the image's PATH"}
}

func (r *run) containerSpec(imageID string) (engine.Spec, error) {
	execution := r.rec.Execution
	mounts, err := r.agent.mounts.admit(execution.Spec.Mounts)
	if err != nil {
		return engine.Spec{}, err
	}
	arguments, _ := argv(execution.Spec.Command)
	spec := engine.Spec{
		Name:   containerName(execution.ID),
		Labels: map[string]string{"dev.pierhead.execution": execution.ID, "dev.pierhead.project": execution.Project},
		Image:  imageID, Entrypoint: arguments[:1], Command: arguments[1:], Mounts: mounts,
	}
	for name, value := range execution.Spec.Environment {
		spec.Environment = append(spec.Environment, name+"="+value)
	}
	slices.Sort(spec.Environment)
	return spec, nil
}

// attend follows a container to its end: output, time limit, wishes to stop.
func (r *run) attend(ctx context.Context) outcome {
	state, err := r.agent.Engine.Find(ctx, containerName(r.rec.Execution.ID))
	for wait := newBackoff(); errors.Is(err, engine.ErrUnreachable) && wait.pause(ctx) == nil; {
		state, err = r.agent.Engine.Find(ctx, containerName(r.rec.Execution.ID))
	}
	if errors.Is(err, engine.ErrNotFound) {
		return outcome{state: pierhead.ExecutionFailed, err: pierhead.NewProblem(pierhead.ErrNotFound,
			"the container is gone: somebody removed it, or the machine lost it", "run the step again")}
	}
	if err != nil {
		return r.failed(err)
	}
	if !state.Running && !state.Exited { // a crash between making and starting it
		if err := r.start(ctx); err != nil {
			return r.failed(err)
		}
	}
	over, finished := context.WithCancel(ctx)
	defer finished()
	go r.enforce(over, state.ID, r.rec.Progress.StartedAt)
	state, err = r.follow(ctx, state.ID)
	if err != nil {
		return outcome{state: pierhead.ExecutionFailed, err: err}
	}
	return r.ended(state)
}

// enforce stops the container when somebody wishes or when its time is up.
func (r *run) enforce(ctx context.Context, containerID string, started time.Time) {
	var timeUp <-chan time.Time
	if limit := r.rec.Execution.Spec.TimeLimit; limit > 0 {
		timer := time.NewTimer(started.Add(limit).Sub(r.agent.now()))
		defer timer.Stop()
		timeUp = timer.C
	}
	select {
	case <-ctx.Done():
		return
	case <-timeUp:
		r.Stop(fmt.Sprintf("the time limit of %s is over", r.rec.Execution.Spec.TimeLimit))
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
	wait := newBackoff()
	for {
		rest := &skipWriter{to: r.log, skip: r.log.Size() + r.log.Dropped() - r.rec.LogHead}
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
		if err := wait.pause(ctx); err != nil {
			return state, err
		}
	}
}

func (r *run) ended(state engine.State) outcome {
	code := state.ExitCode
	out := outcome{state: pierhead.ExecutionSucceeded, exitCode: &code}
	reason := r.stopReason()
	switch {
	case strings.HasPrefix(reason, "the time limit"):
		out.state, out.err = pierhead.ExecutionFailed, pierhead.NewProblem(pierhead.ErrBadInput, reason, "give the step a longer time-limit")
	case reason != "":
		out.state = pierhead.ExecutionStopped
	case state.OOMKilled:
		out.state, out.err = pierhead.ExecutionFailed, pierhead.NewProblem(pierhead.ErrBadInput, "the container was killed for want of memory", "")
	case code != 0:
		out.state = pierhead.ExecutionFailed
	}
	return out
}

// settle writes the outcome into the record: from here on it stays as it is.
func (r *run) settle(out outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.rec.Progress
	p.State, p.ExitCode, p.FinishedAt = out.state, out.exitCode, r.agent.now()
	var footer []string
	if dropped := r.log.Dropped(); dropped > 0 {
		footer = append(footer, fmt.Sprintf("The log was cut: %d more bytes were written.", dropped))
	}
	switch {
	case out.err != nil:
		p.Reason, p.Hint = out.err.Error(), pierhead.HintOf(out.err)
		p.PullFailed = errors.Is(out.err, pierhead.ErrPull)
		footer = append(footer, "Error: "+p.Reason)
		if p.Hint != "" {
			footer = append(footer, "Hint: "+p.Hint)
		}
	case out.state == pierhead.ExecutionStopped:
		p.Reason = r.stopping
		footer = append(footer, "Stopped: "+p.Reason)
	}
	r.rec.Phase, r.rec.LogEnd, r.rec.Footer = phaseEnded, r.log.Size(), strings.Join(footer, "\n")
	return r.agent.records.save(r.rec)
}

// update changes what is reported, on disk first.
func (r *run) update(change func(*pierhead.Progress)) error {
	r.mu.Lock()
	change(&r.rec.Progress)
	err := r.agent.records.save(r.rec)
	r.mu.Unlock()
	r.report()
	return err
}

// report wakes the reporter.
func (r *run) report() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// progress is what to report now.
func (r *run) progress() pierhead.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.rec.Progress
	p.PulledBytes, p.ImageBytes = r.pulled.done.Load(), r.pulled.total.Load()
	return p
}
