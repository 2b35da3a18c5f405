package server

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// NodeWork is what a node's executions need.
type NodeWork interface {
	// TakeWork gives queued executions to the calling node, and returns all of its that it has not acknowledged or that
	// shall stop. Errors: pierhead.ErrNotAllowed for everyone but nodes.
	TakeWork(ctx context.Context, c pierhead.Caller, max int) ([]pierhead.Execution, error)
	// NodeExecutions lists those of the calling node that are not final.
	NodeExecutions(ctx context.Context, c pierhead.Caller) ([]pierhead.Execution, error)
	// Report moves an execution on. Errors: pierhead.ErrConflict when the state would go back.
	Report(ctx context.Context, c pierhead.Caller, id string, p pierhead.Progress) (pierhead.Execution, error)
	// AppendLog returns how much log there is now. Errors: pierhead.ErrConflict for a gap.
	AppendLog(ctx context.Context, c pierhead.Caller, id string, offset int64, data []byte) (int64, error)
}

type takeWork struct {
	Max  int           `query:"max" doc:"Take at most so many new executions; absent: none, only what the node has already."`
	Wait time.Duration `query:"wait" doc:"Hold the request so long, at most 60s, until there is anything."`
}

type reportProgress struct {
	executionPath
	Body api.Progress `body:"json"`
}

type appendLog struct {
	executionPath
	Offset int64  `query:"offset" doc:"Where in the log the body begins, in bytes."`
	Body   []byte `body:"raw"`
}

type answerQuestion struct {
	Question string     `path:"question" doc:"The question's id, ask_…."`
	Body     api.Answer `body:"json"`
}

func (s *Server) workRoutes() {
	store := s.config.Store
	handle(s, operation{id: "take-work", method: http.MethodGet, path: "/node/work", tag: "node", summary: "Fetch executions to begin or stop, and questions to answer"}, s.takeWork)
	handle(s, operation{id: "list-work", method: http.MethodGet, path: "/node/executions", tag: "node", summary: "List the node's executions that are not final"},
		func(ctx context.Context, c pierhead.Caller, _ struct{}) (api.ExecutionList, error) {
			list, err := store.NodeExecutions(ctx, c)
			return api.ExecutionsOf(list), err
		})
	handle(s, operation{id: "report-progress", method: http.MethodPut, path: "/node/executions/{execution}/progress", tag: "node", summary: "Tell how far an execution came"},
		func(ctx context.Context, c pierhead.Caller, in reportProgress) (api.Execution, error) {
			e, err := store.Report(ctx, c, in.Execution, in.Body.Noun())
			return api.ExecutionOf(e), err
		})
	handle(s, operation{id: "append-log", method: http.MethodPost, path: "/node/executions/{execution}/log", tag: "node", summary: "Append at most 1 MiB of an execution's log"},
		func(ctx context.Context, c pierhead.Caller, in appendLog) (api.LogSize, error) {
			size, err := store.AppendLog(ctx, c, in.Execution, in.Offset, in.Body)
			return api.LogSize{SizeBytes: size}, err
		})
	handle(s, operation{id: "answer-question", method: http.MethodPut, path: "/node/answers/{question}", tag: "node", summary: "Answer a question that came with work"},
		func(_ context.Context, c pierhead.Caller, in answerQuestion) (none, error) {
			if in.Body.Explanation != nil {
				in.Body.Explanation.From = c.Name // never what the body says
			}
			if in.Body.Check != nil {
				in.Body.Check.Node = strings.TrimPrefix(c.Name, "node:")
			}
			return none{}, s.questions.reply(c.NodeID, in.Question, in.Body)
		})
}

// takeWork holds the request until there is work, a question, or the time is over.
func (s *Server) takeWork(ctx context.Context, c pierhead.Caller, in takeWork) (api.Work, error) {
	deadline := time.NewTimer(min(in.Wait, api.MaxWait))
	defer deadline.Stop()
	for {
		changed := s.config.Store.Changed()
		list, err := s.config.Store.TakeWork(ctx, c, in.Max)
		if err != nil {
			return api.Work{}, err
		}
		asked := s.questions.polled(c.NodeOf)
		fresh, again := s.handed.fresh(c.NodeID, list, s.config.Now())
		work := api.Work{Executions: api.ExecutionsOf(fresh).Executions, Questions: s.takeQuestions(ctx, c)}
		if len(work.Executions) > 0 || len(work.Questions) > 0 || in.Wait == 0 {
			return work, nil
		}
		wake := time.NewTimer(again)
		select {
		case <-changed:
		case <-asked:
		case <-wake.C:
		case <-deadline.C:
			in.Wait = 0
		case <-s.drain:
			in.Wait = 0
		case <-ctx.Done():
			return api.Work{}, ctx.Err()
		}
		wake.Stop()
	}
}

// takeQuestions are those about organizations that the node serves, which its snapshot tells.
func (s *Server) takeQuestions(ctx context.Context, c pierhead.Caller) []api.Question {
	if !s.questions.open() {
		return []api.Question{}
	}
	snapshot, err := s.config.Store.Snapshot(ctx, c)
	if err != nil {
		s.config.Log.Warn("questions wait: the snapshot cannot be had", "caller", c.Name, "error", err)
		return []api.Question{}
	}
	return s.questions.take(c.NodeID, func(organizationID string) bool {
		for _, o := range snapshot.Organizations {
			if o.Organization.ID == organizationID {
				return true
			}
		}
		return organizationID == "" && c.NodeOf == "" // a personal project's
	})
}

// againAfter is how long work that was handed out and not acknowledged stays out of the next answers. Without it, an
// execution that a node is busy stopping would make its polls return at once, over and over.
const againAfter = 5 * time.Second

// handed remembers what was handed out, per node.
type handed struct {
	mu    sync.Mutex
	nodes map[string]map[handedKey]time.Time
}

type handedKey struct {
	execution string
	stop      bool
}

func newHanded() *handed { return &handed{nodes: map[string]map[handedKey]time.Time{}} }

// fresh returns what of list was not handed out lately, and how long until some of the rest is due again.
func (h *handed) fresh(node string, list []pierhead.Execution, now time.Time) (fresh []pierhead.Execution, again time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, after := h.nodes[node], map[handedKey]time.Time{}
	again = api.MaxWait
	for _, e := range list {
		key := handedKey{e.ID, e.StopRequested}
		at, known := before[key]
		if left := againAfter - now.Sub(at); known && left > 0 {
			again = min(again, left)
		} else {
			fresh = append(fresh, e)
			at = now
		}
		after[key] = at
	}
	h.nodes[node] = after
	return fresh, again
}
