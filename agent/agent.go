// Package agent is the node: the process that pulls and runs.
//
// It asks and is never asked: work, snapshots and questions are fetched by long poll over the public API, whether the
// control plane is in the same process or across the world. It knows its organizations' registries from a snapshot on
// disk and matches locally; it alone reads secrets. Executions survive both sides' restarts: what the agent knows is on
// disk before it acts on it, logs and reports are delivered from where they broke off.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/ids"
)

// Server is the control plane as a node sees it; *api.Client is one. Errors are of the kinds of package pierhead; what
// is not permanent is tried again.
type Server interface {
	// TakeWork waits for work: up to free executions to begin, those of this node that somebody wants stopped, and
	// questions to answer. An execution comes again until the node has reported on it.
	TakeWork(ctx context.Context, free int, wait time.Duration) ([]pierhead.Execution, []api.Question, error)
	// NodeExecutions lists this node's executions that have not ended.
	NodeExecutions(ctx context.Context) ([]pierhead.Execution, error)
	// Report says how far an execution is.
	Report(ctx context.Context, executionID string, p pierhead.Progress) (pierhead.Execution, error)
	// AppendLog sends a part of an execution's log and returns how much the server has.
	AppendLog(ctx context.Context, executionID string, offset int64, data []byte) (int64, error)
	// DeliverEvents sends events; those that the server has already are ignored.
	DeliverEvents(ctx context.Context, events []pierhead.Event) error
	// Snapshot waits for a snapshot of another version than after; ok is false when there was none.
	Snapshot(ctx context.Context, after int64, wait time.Duration) (snapshot pierhead.Snapshot, ok bool, err error)
	// PutDataKey makes the public half of the data key known.
	PutDataKey(ctx context.Context, key pierhead.DataKey) error
	// Answer returns the answer to a question that came with the work.
	Answer(ctx context.Context, questionID string, answer api.Answer) error
}

// Config is what an agent is made of. Every field must be set, except where it says otherwise.
type Config struct {
	Name        string // the node's name
	Directory   string // the agent's own, 0700: records, logs, spool
	Server      Server
	Engine      engine.Engine // nil: the node runs nothing; it answers questions and publishes its key
	Broker      *broker.Broker
	Snapshot    *Snapshot
	DataKey     pierhead.DataKey // zero: the node has none
	Identity    *Identity        // of a node that joined; nil for the one inside `pier up`
	Endpoint    net.Listener     // where runtimes of the node pull from, from ListenEndpoint; the engine has a port of its own beside it
	MirrorHosts []image.Pattern  // hosts that are answered for there beside those of the organization's registries
	AllowMounts []string         // directories that executions may mount; nil: none
	NeverMounts []string         // paths that no execution gets, beside Directory: sockets and keys
	Slots       int              // executions at a time; 0: 4
	// Organization is the name of the one whose registries the node's doors show: socket and mirror; empty: the first by name.
	Organization string
	Kubelet      KubeletDoor // how a kubelet's questions are read
	Socket       *Socket     // where helpers ask, from ListenSocket; nil: nobody may
	Version      string      // of this program, for who asks how the node is
	Log          *slog.Logger
	Now          func() time.Time // nil: time.Now
}

// An Agent runs until its context ends.
type Agent struct {
	Config
	records  records
	images   *images
	events   *Spool
	endpoint *endpoint
	mirror   *mirror
	mounts   mountRule
	troubles troubles
	doorsFor string // as noteHome said last
	heard    heard

	askWithin time.Duration // for a whole request at the socket, which is small

	slots chan struct{} // one for each execution that pulls or runs
	freed chan struct{} // capacity 1: an execution has ended

	mu    sync.Mutex
	runs  map[string]*run      // by execution id
	ended map[string]time.Time // executions that ended here, by id, while they may still be in an answer on its way
}

// workWait is how long one question for work stays open.
const workWait = 30 * time.Second

// New makes an agent; Run begins the work, and closes the end-point when it ends. Events is where the broker records.
func New(config Config, events *Spool) (*Agent, error) {
	if config.Slots == 0 {
		config.Slots = 4
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	executions := filepath.Join(config.Directory, "executions")
	if err := os.MkdirAll(executions, 0o700); err != nil {
		return nil, fmt.Errorf("the agent's directory: %w", err)
	}
	a := &Agent{
		Config: config, events: events,
		records: records{directory: executions, layer: durable.OS{}, log: config.Log},
		slots:   make(chan struct{}, config.Slots), freed: make(chan struct{}, 1), runs: make(map[string]*run), ended: make(map[string]time.Time),
		images: openImages(filepath.Join(config.Directory, "images.json"), config.Log, config.Now),
		mounts: mountRule{allowed: config.AllowMounts, forbidden: append([]string{config.Directory}, config.NeverMounts...)},
	}
	tickets, err := listenBeside(config.Endpoint)
	if err != nil {
		return nil, err
	}
	a.endpoint, a.mirror = newEndpoint(tickets, config.Log), newMirror(a)
	a.heard.kept(config.Snapshot)
	a.askWithin = askWithin
	return a, nil
}

func (a *Agent) now() time.Time { return a.Now() }

// Run works until ctx ends. Running containers outlive it.
func (a *Agent) Run(ctx context.Context) error {
	kept, err := a.records.load()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.endpoint.serve(ctx) })
	group.Go(func() error { return a.mirror.serve(ctx) })
	group.Go(func() error { return a.serveSocket(ctx) })
	group.Go(func() error { return a.Snapshot.follow(ctx, a.hearing(a.askForSnapshot)) })
	group.Go(func() error {
		return a.events.deliver(ctx, func(ctx context.Context, events []pierhead.Event) error {
			return a.confirm(ctx, a.Server.DeliverEvents(ctx, events))
		})
	})
	if a.DataKey.ID != "" {
		group.Go(func() error { return a.publishKey(ctx) })
	}
	if a.Identity != nil {
		group.Go(func() error { return a.Identity.followGrant(ctx, a) })
	}
	if a.Engine == nil && len(kept) > 0 {
		a.Log.Warn("without an engine, executions of an earlier start are left as they are", "count", len(kept))
		kept = nil
	}
	for _, rec := range kept {
		a.begin(ctx, group, rec)
	}
	group.Go(func() error {
		if err := a.disown(ctx, group); err != nil {
			return err
		}
		return a.fetchWork(ctx, group)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// askForSnapshot is asked again after each snapshot that came.
func (a *Agent) askForSnapshot(ctx context.Context, after int64, wait time.Duration) (pierhead.Snapshot, bool, error) {
	a.noteHome()
	return a.Server.Snapshot(ctx, after, wait)
}

// disown ends executions that the control plane believes to be here and that this node knows nothing of: its directory
// was lost, or is another one. Those that it never acknowledged come as work again.
func (a *Agent) disown(ctx context.Context, group *errgroup.Group) error {
	if a.Engine == nil {
		return nil
	}
	var unfinished []pierhead.Execution
	err := a.persist(ctx, "asking for unfinished executions", func() (err error) {
		unfinished, err = a.Server.NodeExecutions(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, execution := range unfinished {
		if a.running(execution.ID) == nil && execution.Progress.State != pierhead.ExecutionQueued {
			group.Go(func() error { a.lost(ctx, execution); return nil })
		}
	}
	return nil
}

// lost ends one such execution, with the container that may still run.
func (a *Agent) lost(ctx context.Context, execution pierhead.Execution) {
	a.removeContainer(ctx, containerName(execution.ID))
	progress := execution.Progress
	progress.State, progress.FinishedAt = pierhead.ExecutionFailed, a.now()
	progress.Reason, progress.Hint = "the node lost its record of this execution", "run the step again"
	err := a.persist(ctx, "reporting a lost execution", func() error {
		_, err := a.Server.Report(ctx, execution.ID, progress)
		return err
	})
	if err != nil && ctx.Err() == nil {
		a.Log.Warn("the control plane does not take an outcome", "execution", execution.ID, "error", err)
	}
}

// tooSoon is how soon an empty answer to a long poll means that the control plane is about to go away.
const tooSoon = time.Second

func (a *Agent) fetchWork(ctx context.Context, group *errgroup.Group) error {
	wait := newBackoff()
	for {
		asked := time.Now()
		executions, questions, err := a.askForWork(ctx)
		if err == nil {
			a.heard.contact(a.now())
		}
		if err != nil && ctx.Err() == nil {
			a.Log.Warn("no work could be fetched", "error", err, "hint", pierhead.HintOf(err))
		}
		if err != nil || len(executions)+len(questions) == 0 && time.Since(asked) < tooSoon {
			if err := wait.pause(ctx); err != nil {
				return err
			}
			continue
		}
		wait.reset()
		for _, execution := range executions {
			a.take(ctx, group, execution)
		}
		for _, question := range questions {
			group.Go(func() error { a.answer(ctx, question); return nil })
		}
	}
}

// askForWork is one long poll. With every slot taken it asks for stops and questions only, and until a slot is free.
func (a *Agent) askForWork(ctx context.Context) ([]pierhead.Execution, []api.Question, error) {
	select {
	case <-a.freed:
	default:
	}
	free := a.free()
	if free > 0 || a.Engine == nil {
		return a.Server.TakeWork(ctx, free, workWait)
	}
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.freed:
			cancel()
		case <-polling.Done():
		}
	}()
	executions, questions, err := a.Server.TakeWork(polling, 0, workWait)
	if err != nil && polling.Err() != nil && ctx.Err() == nil {
		return nil, nil, nil // what the broken poll had in hand comes again
	}
	return executions, questions, err
}

// take begins a new execution, or stops a running one. What it passes over comes again. An id that is not one is the
// doing of a control plane that is not ours: it would be a file's name.
func (a *Agent) take(ctx context.Context, group *errgroup.Group, execution pierhead.Execution) {
	if !ids.Valid("exe", execution.ID) {
		a.Log.Error("an execution has no valid id", "execution", execution.ID)
		return
	}
	running := a.running(execution.ID)
	switch {
	case running != nil && execution.StopRequested:
		running.Stop("somebody asked for it")
	case running != nil || execution.Progress.State != pierhead.ExecutionQueued || a.endedHere(execution.ID):
	case a.Engine == nil && !execution.StopRequested:
	default:
		rec := &record{Execution: execution, Phase: phaseTaken, Progress: execution.Progress}
		if execution.StopRequested {
			rec.Phase, rec.Progress.State, rec.Progress.FinishedAt = phaseEnded, pierhead.ExecutionStopped, a.now()
			rec.Progress.Reason, rec.Footer = "somebody asked for it", "Stopped: somebody asked for it"
		}
		if err := a.records.save(rec); err != nil {
			a.Log.Error("an execution cannot be begun", "execution", execution.ID, "error", err)
			return
		}
		a.begin(ctx, group, rec)
	}
}

// endedHere tells whether an execution ended on this node a moment ago: work that was on its way meanwhile may name it.
func (a *Agent) endedHere(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other, at := range a.ended {
		if a.now().Sub(at) > 4*workWait {
			delete(a.ended, other)
		}
	}
	_, ended := a.ended[id]
	return ended
}

// slot waits for a free slot and returns how to give it back. A container that is there already does not wait.
func (a *Agent) slot(ctx context.Context, p phase) (release func(), err error) {
	release = func() { <-a.slots }
	if p == phaseMaking || p == phaseRunning {
		select {
		case a.slots <- struct{}{}:
			return release, nil
		default:
			return func() {}, nil
		}
	}
	select {
	case a.slots <- struct{}{}:
		return release, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin runs a record in the background.
func (a *Agent) begin(ctx context.Context, group *errgroup.Group, rec *record) {
	r := &run{agent: a, rec: rec, stop: make(chan struct{}), changed: make(chan struct{}, 1)}
	a.mu.Lock()
	a.runs[rec.Execution.ID] = r
	a.mu.Unlock()
	group.Go(func() error {
		err := a.execute(ctx, r)
		a.mu.Lock()
		delete(a.runs, rec.Execution.ID)
		a.ended[rec.Execution.ID] = a.now()
		a.mu.Unlock()
		select {
		case a.freed <- struct{}{}:
		default:
		}
		if err != nil && ctx.Err() == nil {
			a.Log.Error("an execution could not be brought to its end", "execution", rec.Execution.ID, "error", err)
		}
		return nil // one execution's trouble is not the agent's
	})
}

func (a *Agent) running(id string) *run {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[id]
}

// free is how many more executions this node takes.
func (a *Agent) free() int {
	if a.Engine == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.Slots-len(a.runs), 0)
}

// persist calls until it works, the answer is final, or ctx ends.
func (a *Agent) persist(ctx context.Context, what string, call func() error) error {
	for wait := newBackoff(); ; {
		err := a.confirm(ctx, call())
		if err == nil || permanent(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.Log.Warn(what+"; trying again", "error", err)
		if err := wait.pause(ctx); err != nil {
			return err
		}
	}
}

// permanent tells whether asking the control plane again is of no use.
func permanent(err error) bool {
	return errors.Is(err, pierhead.ErrNotFound) || errors.Is(err, pierhead.ErrBadInput) || errors.Is(err, pierhead.ErrConflict)
}

// confirm makes a permanent refusal a passing one unless the control plane answers another question: a proxy in its place
// says "not found" too, and no execution is given up for that.
func (a *Agent) confirm(ctx context.Context, err error) error {
	if !permanent(err) {
		return err
	}
	if _, second := a.Server.NodeExecutions(ctx); second != nil {
		return fmt.Errorf("%v; and this is perhaps not the control plane: %v", err, second) // not %w: the meaning must not pass
	}
	return err
}

func (a *Agent) publishKey(ctx context.Context) error {
	err := a.persist(ctx, "publishing the data key", func() error { return a.Server.PutDataKey(ctx, a.DataKey) })
	if err != nil && ctx.Err() == nil {
		a.Log.Error("the control plane does not take this node's data key: nothing can be sealed to it", "error", err, "hint", pierhead.HintOf(err))
	}
	return ctx.Err()
}

// projectName is the name without its owner.
func projectName(fullName string) string {
	_, name, _ := strings.Cut(fullName, "/")
	return name
}
