package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// pollEvery is how often the progress of a pull is asked for.
const pollEvery = 300 * time.Millisecond

// watch follows an execution's log to its end. On a terminal a bar shows the pull meanwhile.
func (p *program) watch(ctx context.Context, client *api.Client, e api.Execution) error {
	pulling, stop := context.WithCancel(ctx)
	defer stop()
	out := p.out
	drawn := make(chan struct{})
	close(drawn) // unless there is something to draw
	if file, ok := terminal(p.err); ok {
		var bars *mpb.Progress
		bars, drawn = drawing(pulling, client, e.ID, file)
		if _, ok := terminal(p.out); ok {
			out = aboveBar{bars: bars, out: p.out}
		}
	}
	final, err := client.FollowLog(ctx, e.ID, 0, out)
	stop()
	<-drawn
	if err != nil {
		return p.interrupted(ctx, e.ID, err)
	}
	if p.format == "json" {
		if err := p.print(final, nil); err != nil {
			return err
		}
	}
	return p.outcome(final)
}

// interrupted tells that Ctrl-C ends the watching, not the execution.
func (p *program) interrupted(ctx context.Context, id string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	p.note("\nThe execution goes on. Its log: pier execution logs %s --follow   End it: pier execution stop %s", id, id)
	return exitCode(130)
}

// drawing draws the pull of an execution in the background until ctx ends; drawn is closed when nothing of it is left on
// the terminal.
func drawing(ctx context.Context, client *api.Client, id string, to io.Writer) (bars *mpb.Progress, drawn chan struct{}) {
	bars = mpb.New(mpb.WithOutput(to), mpb.WithAutoRefresh()) // not with ctx: a bar that it ended would stay there
	drawn = make(chan struct{})
	go func() {
		defer close(drawn)
		drawPull(ctx, client, id, bars)
		bars.Wait()
	}()
	return bars, drawn
}

// drawPull shows the bytes of the image until the container runs.
func drawPull(ctx context.Context, client *api.Client, id string, bars *mpb.Progress) {
	var bar, waiting *mpb.Bar
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		e, err := client.Execution(ctx, id)
		if errors.Is(err, pierhead.ErrNotAllowed) || errors.Is(err, pierhead.ErrNotFound) || ctx.Err() != nil {
			break
		}
		state := pierhead.ExecutionState(e.State)
		waiting = showWaiting(bars, waiting, err == nil && state == pierhead.ExecutionQueued)
		if err == nil && e.ImageBytes > 0 && bar == nil && state == pierhead.ExecutionPulling {
			bar = bars.AddBar(e.ImageBytes, mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name("pulling "), decor.CountersKibiByte("% .1f / % .1f")),
				mpb.AppendDecorators(decor.Percentage()))
		}
		if bar != nil {
			bar.SetCurrent(e.PulledBytes)
		}
		if err == nil && (state == pierhead.ExecutionRunning || state.Final()) {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	showWaiting(bars, waiting, false)
	if bar != nil {
		bar.Abort(true)
	}
}

// showWaiting has a line on the terminal while an execution waits for its turn, and returns it.
func showWaiting(bars *mpb.Progress, line *mpb.Bar, waits bool) *mpb.Bar {
	switch {
	case waits && line == nil:
		return bars.New(0, mpb.NopStyle(), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(decor.Name("queued: waiting for a node that has room")))
	case !waits && line != nil:
		line.Abort(true)
		return nil
	}
	return line
}

// aboveBar writes lines above the bar while there is one, and plainly when it is gone.
type aboveBar struct {
	bars *mpb.Progress
	out  io.Writer
}

func (w aboveBar) Write(p []byte) (int, error) {
	n, err := w.bars.Write(p)
	if errors.Is(err, mpb.ErrDone) {
		return w.out.Write(p)
	}
	return n, err
}
