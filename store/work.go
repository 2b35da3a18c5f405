package store

import (
	"context"
	"strconv"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// unfinished is the condition of the index executions_on_node.
const unfinished = `e.state IN ('queued', 'pulling', 'running')`

// TakeWork gives the calling node work: it assigns to it up to most of the queued executions that it serves, oldest
// first, and returns all of its own that are still queued (it has not acknowledged them with a report yet) or that are
// to be stopped and have not ended. most 0 assigns none. Called again after a lost answer it returns the same.
func (s *Store) TakeWork(ctx context.Context, c pierhead.Caller, most int) ([]pierhead.Execution, error) {
	waiting := false
	var n node
	err := s.view(ctx, c, access.WorkTake, nodeObject(c), func(k *call) (err error) {
		k.silent = true // a look costs no entry; what is taken is logged below
		if n, err = k.callingNode(access.WorkTake); err != nil || most <= 0 {
			return err
		}
		candidates, err := k.queued(n, 1)
		waiting = len(candidates) > 0
		return err
	})
	if err != nil {
		return nil, err
	}
	s.noteSeen(ctx, c, n, s.stamp())
	if waiting {
		if err := s.assign(ctx, c, most); err != nil {
			return nil, err
		}
	}
	return s.nodeExecutions(ctx, c, access.WorkList, ` AND (e.state = 'queued' OR e.stop_requested <> 0)`)
}

// assign writes the node into up to most queued executions.
func (s *Store) assign(ctx context.Context, c pierhead.Caller, most int) error {
	return s.change(ctx, c, access.WorkTake, nodeObject(c), func(k *call) error {
		n, err := k.callingNode(access.WorkTake)
		if err != nil {
			return err
		}
		taken, err := k.queued(n, min(most, MaxLimit))
		if err != nil {
			return err
		}
		ids := make([]string, len(taken))
		for i, x := range taken {
			if _, err := k.exec(`UPDATE executions SET node_id = ? WHERE seq = ?`, n.id, x.seq); err != nil {
				return err
			}
			ids[i] = x.noun.ID
		}
		k.nothing, k.silent = len(taken) == 0, len(taken) == 0
		k.note("executions", strings.Join(ids, " "))
		return nil
	})
}

// queued is the oldest executions that no node has and that n serves.
func (k *call) queued(n node, most int) ([]execution, error) {
	query, arguments := `SELECT `+executionColumns+` WHERE e.node_id IS NULL AND e.state = 'queued'`, []any{}
	if n.organizationID != "" {
		query, arguments = query+` AND e.owner_id = ?`, append(arguments, n.organizationID)
	}
	return list(k, scanExecution, query+` ORDER BY e.seq LIMIT ?`, append(arguments, most)...)
}

// NodeExecutions lists the executions that the calling node was given and that have not ended, oldest first: what an
// agent looks after when it starts again.
func (s *Store) NodeExecutions(ctx context.Context, c pierhead.Caller) ([]pierhead.Execution, error) {
	return s.nodeExecutions(ctx, c, access.WorkList, "")
}

func (s *Store) nodeExecutions(ctx context.Context, c pierhead.Caller, a access.Action, more string) ([]pierhead.Execution, error) {
	var found []pierhead.Execution
	err := s.view(ctx, c, a, nodeObject(c), func(k *call) error {
		n, err := k.callingNode(a)
		if err != nil {
			return err
		}
		rows, err := list(k, scanExecution, `SELECT `+executionColumns+` WHERE e.node_id = ? AND `+unfinished+more+` ORDER BY e.seq`, n.id)
		for _, x := range rows {
			found = append(found, x.noun)
		}
		return err
	})
	return found, err
}

// Report tells what became of an execution that the calling node was given, and returns it as it is now: with
// StopRequested, when somebody wants it stopped. States only move forward; a repeated report, and one that comes late,
// changes nothing; nothing changes after the end. Errors: ErrBadInput for an unknown state, ErrNotFound for an execution
// of another node.
func (s *Store) Report(ctx context.Context, c pierhead.Caller, id string, report pierhead.Progress) (pierhead.Execution, error) {
	var x execution
	err := s.change(ctx, c, access.ExecutionReport, "execution "+id, func(k *call) error {
		var err error
		if x, err = k.allowedExecution(access.ExecutionReport, id); err != nil {
			return err
		}
		known := x.noun.Progress
		if x.noun.Progress, err = advance(known, report, k.at); err != nil {
			return err
		}
		k.silent = known.State == x.noun.Progress.State // a step forward is worth an entry, more detail is not
		if k.nothing = sameProgress(known, x.noun.Progress); k.nothing {
			return nil
		}
		k.note("state", string(x.noun.Progress.State))
		k.note("digest", x.noun.Progress.Digest)
		k.note("registry", x.noun.Progress.Registry)
		if x.noun.Progress.Anonymous {
			k.note("anonymous", "true")
		}
		if code := x.noun.Progress.ExitCode; code != nil {
			k.note("exit code", strconv.Itoa(*code))
		}
		return k.putProgress(x)
	})
	if err != nil {
		return pierhead.Execution{}, err
	}
	return x.noun, nil
}

func sameProgress(x, y pierhead.Progress) bool {
	if (x.ExitCode == nil) != (y.ExitCode == nil) || x.ExitCode != nil && *x.ExitCode != *y.ExitCode {
		return false
	}
	x.ExitCode, y.ExitCode = nil, nil
	return x == y
}
