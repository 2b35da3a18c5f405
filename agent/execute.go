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
		return err
	}
	defer log.Close()
	r.log = log
	shipped := make(chan error, 1)
	go func() {
		shipped <- log.ship(ctx, func(ctx context.Context, offset int64, data []byte) (int64, error) {
			return a.Server.AppendLog(ctx, r.rec.Execution.ID, offset, data)
		})
	}()
	reporting, stopReporting := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() { defer close(reported); a.reportProgress(reporting, r) }()
	err = r.do(ctx)
	stopReporting()
	<-reported
	if ctx.Err() != nil {
		<-shipped
		return ctx.Err()
	}
	if err != nil {
		a.giveUp(r, err)
	}
	if shipErr := <-shipped; shipErr != nil && !permanent(shipErr) {
		return shipErr
	}
	return a.deliver(ctx, r)
}

// giveUp is for a node that cannot keep its own records any more, mostly for want of disk: the outcome is told, not kept.
func (a *Agent) giveUp(r *run, err error) {
	r.mu.Lock()
	p := &r.rec.Progress
	p.State, p.FinishedAt = pierhead.ExecutionFailed, a.now()
	p.Reason, p.Hint = "the node cannot go on with this execution: "+err.Error(), "ask the operator to look at the node's disk"
	r.mu.Unlock()
	r.log.End()
}

// deliver reports the outcome and cleans up behind the execution.
func (a *Agent) deliver(ctx context.Context, r *run) error {
	err := a.persist(ctx, "reporting an outcome", func() error {
		_, err := a.Server.Report(ctx, r.rec.Execution.ID, r.progress())
		return err
	})
	if err != nil && !permanent(err) {
		return err
	}
	if err != nil {
		a.Log.Warn("the control plane does not take an outcome", "execution", r.rec.Execution.ID, "error", err)
	}
	a.removeContainer(ctx, containerName(r.rec.Execution.ID))
	return a.records.remove(r.rec.Execution.ID)
}

func (a *Agent) removeContainer(ctx context.Context, name string) {
	state, err := a.Engine.Find(ctx, name)
	if err == nil && state.Running {
		err = a.Engine.Stop(ctx, state.ID, 0)
	}
	if err == nil {
		err = a.Engine.Remove(ctx, state.ID)
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		a.Log.Warn("a container is left behind", "container", name, "error", err)
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
				if permanent(err) {
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
