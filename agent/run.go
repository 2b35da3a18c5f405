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

// A run is one execution on its way through this node. It is made from a record, new or kept, and goes on from the
// record's phase; what it learns is in the record before it acts on it.
type run struct {
	agent *Agent
	rec   *record // changed by the run's own goroutine only; Progress under mu, because it is reported meanwhile
	log   *executionLog

	mu        sync.Mutex
	stopping  string        // why it is being stopped, or ""
	overdue   bool          // it is being stopped because its time is up
	stoppedAt time.Time     // when that was decided
	stop      chan struct{} // closed when stopping is set
	pulled    pulled        // bytes, for the progress bar
	changed   chan struct{} // capacity 1: something to report
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
func (r *run) Stop(reason string) { r.end(reason, false) }

func (r *run) end(reason string, overdue bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping == "" {
		r.stopping, r.overdue, r.stoppedAt = reason, overdue, r.agent.now()
		close(r.stop)
	}
}

// stopped is the outcome of a run that was asked to end, when it was.
func (r *run) stopped() (out outcome, asked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.overdue {
		return outcome{state: pierhead.ExecutionFailed, err: pierhead.NewProblem(pierhead.ErrBadInput, r.stopping, "give the step a longer time-limit")}, true
	}
	return outcome{state: pierhead.ExecutionStopped}, r.stopping != ""
}

// do takes the execution to its end, or as far as it gets before ctx ends: then the record stays, a running container
// runs on, and the next start of the agent goes on from here. The only error is ctx's.
func (r *run) do(ctx context.Context) error {
	if r.rec.Phase != phaseEnded {
		out := r.work(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.settle(out)
	}
	err := r.log.Cut(r.rec.LogEnd) // a footer that a crash cut short is written anew
	if err == nil && r.rec.Footer != "" {
		err = r.log.Note("%s", r.rec.Footer)
	}
	if err != nil { // the outcome is told all the same
		r.agent.Log.Error("the end of a log is lost", "execution", r.rec.Execution.ID, "error", err)
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
	release, err := r.agent.slot(stoppable, r.rec.Phase)
	if err != nil {
		return r.failed(err)
	}
	defer release()
	if r.rec.Phase != phaseRunning || r.log.Size() < int64(len(r.rec.Head)) {
		if err := r.log.Restart(r.rec.Head); err != nil {
			return r.failed(err)
		}
	}
	if r.rec.Phase != phaseRunning {
		if err := r.begin(stoppable); err != nil {
			return r.failed(err)
		}
	}
	return r.attend(ctx)
}

// begin has the container running when it returns.
func (r *run) begin(ctx context.Context) error {
	if r.rec.Phase != phaseMaking {
		id, err := r.prepare(ctx)
		if err == nil {
			err = r.tellPlatform(ctx, id)
		}
		if err != nil {
			return err
		}
		r.rec.Phase, r.rec.ImageID = phaseMaking, id
		if err := r.agent.records.save(r.rec); err != nil {
			return err
		}
	}
	spec, err := r.containerSpec(r.rec.ImageID)
	if err != nil {
		return err
	}
	return r.agent.reach(ctx, "starting a container", func() error { return r.launch(ctx, spec) })
}

// failed is the outcome of an error.
func (r *run) failed(err error) outcome {
	if out, asked := r.stopped(); asked {
		return out
	}
	return outcome{state: pierhead.ExecutionFailed, err: diskTrouble(err)}
}

// launch makes the container and starts it, or goes on where an earlier try broke off: a container that is there under
// the execution's name is the execution's, and one that ever ran is not started a second time.
func (r *run) launch(ctx context.Context, spec engine.Spec) error {
	state, err := r.agent.Engine.Find(ctx, spec.Name)
	if errors.Is(err, engine.ErrNotFound) {
		if state.ID, err = r.agent.Engine.Create(ctx, spec); err != nil {
			return fmt.Errorf("making the container: %w", err)
		}
	}
	if err != nil {
		return err
	}
	if !state.Running && !state.Exited && state.StartedAt.IsZero() {
		if err := r.agent.Engine.Start(ctx, state.ID); err != nil {
			return r.explainStart(err)
		}
	}
	started := state.StartedAt
	if started.IsZero() {
		started = r.agent.now()
	}
	r.rec.Phase = phaseRunning
	if err := r.update(func(p *pierhead.Progress) { p.State, p.StartedAt = pierhead.ExecutionRunning, started }); err != nil {
		r.agent.Log.Error("a container runs, and that cannot be kept", "execution", r.rec.Execution.ID, "error", err)
	}
	return nil // another start finds it by its name
}

// explainStart says what people can do about a container that did not start.
func (r *run) explainStart(err error) error {
	arguments, shell := argv(r.rec.Execution.Spec.Command)
	switch {
	case errors.Is(err, engine.ErrNotExecutable):
		return &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err,
			Text: fmt.Sprintf("the image does not let %q be executed", arguments[0]),
			Hint: "make it an executable file where the image is built (chmod +x), or name its interpreter: sh " + arguments[0]}
	case !errors.Is(err, engine.ErrNoCommand):
		return fmt.Errorf("starting the container: %w", err)
	case shell:
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

// settle writes the outcome into the record: from here on it stays as it is. On a full disk it is told and not kept; the
// container is there until it is told, so that another start comes to the same end.
func (r *run) settle(out outcome) {
	err := errors.Join(r.log.Finish(), r.log.Sync())
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.rec.Progress
	p.State, p.ExitCode, p.FinishedAt = out.state, out.exitCode, r.agent.now()
	var footer []string
	switch {
	case out.err != nil:
		p.Reason, p.Hint = shortened(out.err.Error()), shortened(pierhead.HintOf(out.err))
		p.PullFailed = errors.Is(out.err, pierhead.ErrPull)
		footer = append(footer, "Error: "+p.Reason)
		if p.Hint != "" {
			footer = append(footer, "Hint: "+p.Hint)
		}
	case out.state == pierhead.ExecutionStopped:
		p.Reason = shortened(r.stopping)
		footer = append(footer, "Stopped: "+p.Reason)
	}
	if len(footer) > 0 && !r.log.EndsLine() {
		footer = slices.Insert(footer, 0, "") // the container's last line has no end
	}
	r.rec.Phase, r.rec.LogEnd, r.rec.Footer = phaseEnded, r.log.Size(), strings.Join(footer, "\n")
	if err = errors.Join(err, r.agent.records.save(r.rec)); err != nil {
		r.agent.Log.Error("an outcome is told but cannot be kept", "execution", r.rec.Execution.ID, "error", err)
	}
}

// shortened bounds what is said at the end, so that it fits behind a full log.
func shortened(text string) string {
	const most = 4 << 10 // what the control plane takes
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// update changes what is reported, on disk first; lines are what the log says of it. They are in the record, so that a
// start that goes on from there gives the log the very same beginning.
func (r *run) update(change func(*pierhead.Progress), lines ...string) error {
	r.mu.Lock()
	change(&r.rec.Progress)
	for _, line := range lines {
		r.rec.Head += line + "\n"
	}
	err := r.agent.records.save(r.rec)
	r.mu.Unlock()
	r.report()
	for _, line := range lines {
		if err == nil {
			err = r.log.Note("%s", line)
		}
	}
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
	if p.ImageBytes > 0 { // an engine that tries again fetches some bytes twice
		p.PulledBytes = min(p.PulledBytes, p.ImageBytes)
	}
	return p
}
