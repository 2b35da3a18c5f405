package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/store"
)

// Executions is what the routes of executions need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput,
// ErrConflict.
type Executions interface {
	CreateExecution(ctx context.Context, c pierhead.Caller, owner, project string, spec pierhead.Spec) (pierhead.Execution, error)
	Executions(ctx context.Context, c pierhead.Caller, f store.ExecutionFilter) ([]pierhead.Execution, error)
	Execution(ctx context.Context, c pierhead.Caller, id string) (pierhead.Execution, error)
	StopExecution(ctx context.Context, c pierhead.Caller, id string) (pierhead.Execution, error)
	// ExecutionLog returns at most max bytes of log from offset on; none when there is no more yet.
	ExecutionLog(ctx context.Context, c pierhead.Caller, id string, offset int64, max int) ([]byte, error)
}

type executionPath struct {
	Execution string `path:"execution" doc:"An execution's id, exe_…."`
}

type createExecution struct {
	Body api.NewExecution `body:"json"`
}

type listExecutions struct {
	Owner   string `query:"owner" doc:"Only those of an organization's or person's projects."`
	Project string `query:"project" doc:"Only those of this project; needs owner."`
	State   string `query:"state" doc:"Only those in this state."`
	Before  string `query:"before" doc:"An execution's id: only those older than it."`
	Limit   int    `query:"limit" doc:"At most so many."`
}

func (s *Server) executionRoutes() {
	handle(s, operation{id: "create-execution", method: http.MethodPost, path: "/executions", tag: "executions", summary: "Submit an execution", created: true}, s.createExecution)
	handle(s, operation{id: "list-executions", method: http.MethodGet, path: "/executions", tag: "executions", summary: "List executions, newest first"},
		func(ctx context.Context, c pierhead.Caller, in listExecutions) (api.ExecutionList, error) {
			list, err := s.config.Store.Executions(ctx, c, store.ExecutionFilter{
				Owner: in.Owner, Project: in.Project, State: pierhead.ExecutionState(in.State), Before: in.Before, Limit: in.Limit,
			})
			return api.ExecutionsOf(list), err
		})
	handle(s, operation{id: "show-execution", method: http.MethodGet, path: "/executions/{execution}", tag: "executions", summary: "Show an execution"},
		func(ctx context.Context, c pierhead.Caller, in executionPath) (api.Execution, error) {
			e, err := s.config.Store.Execution(ctx, c, in.Execution)
			return api.ExecutionOf(e), err
		})
	handle(s, operation{id: "stop-execution", method: http.MethodPost, path: "/executions/{execution}/stop", tag: "executions", summary: "Ask for an execution's end"},
		func(ctx context.Context, c pierhead.Caller, in executionPath) (api.Execution, error) {
			e, err := s.config.Store.StopExecution(ctx, c, in.Execution)
			return api.ExecutionOf(e), err
		})
	stream(s, operation{id: "read-log", method: http.MethodGet, path: "/executions/{execution}/log", tag: "executions", summary: "Read an execution's log, and follow it"}, s.readLog)
}

func (s *Server) createExecution(ctx context.Context, c pierhead.Caller, in createExecution) (api.Execution, error) {
	owner, project, err := splitProject(in.Body.Project)
	if err != nil {
		return api.Execution{}, err
	}
	spec, err := in.Body.Spec.Noun()
	if err != nil {
		return api.Execution{}, err
	}
	e, err := s.config.Store.CreateExecution(ctx, c, owner, project, spec)
	return api.ExecutionOf(e), err
}

func splitProject(full string) (owner, name string, err error) {
	owner, name, found := strings.Cut(full, "/")
	if !found || owner == "" || name == "" {
		return "", "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the project %q is not of the form OWNER/NAME", cut(full)), "pier project list shows the names")
	}
	return owner, name, nil
}
