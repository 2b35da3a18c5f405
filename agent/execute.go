package agent

import (
	"context"
	"errors"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
)

// reportEvery is the shortest time between two reports of one execution.
const reportEvery = 250 * time.Millisecond

// execute takes a run to its end and delivers log and outcome; then nothing of it stays on the node but the image.
func (a *Agent) execute(ctx context.Context, r *run) error {
	log, err := openLog(a.records.path(r.rec.Execution.ID, ".log"))
	if err != nil {
		a.giveUp(r, err)
		return a.deliver(ctx, r)
	}
	defer log.Close()
	r.log = log
	shipped := make(chan error, 1)
	go func() { shipped <- a.shipLog(ctx, r) }()
	reporting, stopReporting := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() { defer close(reported); a.reportProgress(reporting, r) }()
	err = r.do(ctx)
	stopReporting()
	<-reported
	shipErr := <-shipped
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if shipErr != nil {
		a.Log.Error("a log was not delivered", "execution", r.rec.Execution.ID, "error", shipErr)
	}
	if err != nil {
		return err
	}
	return a.deliver(ctx, r)
}

// shipLog sends the log while it grows.
func (a *Agent) shipLog(ctx context.Context, r *run) error {
	err := r.log.ship(ctx, func(ctx context.Context, offset int64, data []byte) (int64, error) {
		size, err := a.Server.AppendLog(ctx, r.rec.Execution.ID, offset, data)
		return size, a.confirm(ctx, err)
	})
	a.stopDeleted(r, err)
	return err
}

// stopDeleted ends a run that the control plane does not know any more.
func (a *Agent) stopDeleted(r *run, err error) {
	if errors.Is(err, pierhead.ErrNotFound) {
		r.Stop("the control plane does not know it any more")
	}
}

// giveUp is for an execution that the node cannot even keep a log of, mostly for want of disk: it is told, not kept.
func (a *Agent) giveUp(r *run, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := &r.rec.Progress; !p.State.Final() {
		p.State, p.FinishedAt = pierhead.ExecutionFailed, a.now()
		p.Reason, p.Hint = shortened("the node cannot go on with this execution: "+err.Error()), "ask the operator to look at the node's disk"
	}
}

// deliver reports the outcome and cleans up behind the execution. Where no container told the outcome, one that may be
// there is removed first, because an execution that is told as stopped must not run.
func (a *Agent) deliver(ctx context.Context, r *run) error {
	outcome, name := r.progress(), containerName(r.rec.Execution.ID)
	made := r.rec.ImageID != ""
	if made && outcome.ExitCode == nil {
		a.removeContainer(ctx, name)
	}
	err := a.persist(ctx, "reporting an outcome", func() error {
		_, err := a.Server.Report(ctx, r.rec.Execution.ID, outcome)
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		a.Log.Warn("the control plane does not take an outcome", "execution", r.rec.Execution.ID, "error", err)
	}
	if made {
		a.removeContainer(ctx, name)
	}
	if ctx.Err() != nil {
		return ctx.Err() // the next start removes the container
	}
	return a.records.remove(r.rec.Execution.ID)
}

// removeTries is how often a container's removal is tried that the engine refuses.
const removeTries = 5

// removeContainer ends and deletes a container, whether it is there or not.
func (a *Agent) removeContainer(ctx context.Context, name string) {
	wait := newBackoff()
	for try := 1; ; try++ {
		err := a.reach(ctx, "removing a container", func() error { return a.tryRemove(ctx, name) })
		if err == nil || errors.Is(err, engine.ErrNotFound) || ctx.Err() != nil {
			return
		}
		if try == removeTries {
			a.Log.Error("a container is left behind", "container", name, "error", err)
			return
		}
		if wait.pause(ctx) != nil {
			return
		}
	}
}

func (a *Agent) tryRemove(ctx context.Context, name string) error {
	state, err := a.Engine.Find(ctx, name)
	if err == nil && state.Running {
		err = a.Engine.Stop(ctx, state.ID, 0)
	}
	if err == nil {
		err = a.Engine.Remove(ctx, state.ID)
	}
	return err
}

// reach calls the engine until it answers: one that is away comes back, and nothing is decided without it.
func (a *Agent) reach(ctx context.Context, what string, call func() error) error {
	for wait := newBackoff(); ; {
		err := call()
		if !errors.Is(err, engine.ErrUnreachable) {
			return err
		}
		if ctx.Err() == nil {
			a.Log.Warn(what+"; trying again", "error", err)
		}
		if err := wait.pause(ctx); err != nil {
			return err
		}
	}
}

// reportProgress reports whenever there is something new, and not too often; the outcome is deliver's.
func (a *Agent) reportProgress(ctx context.Context, r *run) {
	for {
		select {
		case <-r.changed:
		case <-ctx.Done():
			return
		}
		if p := r.progress(); !p.State.Final() {
			if _, err := a.Server.Report(ctx, r.rec.Execution.ID, p); err != nil && ctx.Err() == nil {
				a.Log.Warn("reporting progress", "execution", r.rec.Execution.ID, "error", err)
				if err = a.confirm(ctx, err); permanent(err) {
					a.stopDeleted(r, err)
					return
				}
				r.report() // with the next round
			}
		}
		timer := time.NewTimer(reportEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
