package store

import (
	"context"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// Limits of one page of executions or events.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// An ExecutionFilter chooses executions; zero fields choose all. Executions come newest first.
type ExecutionFilter struct {
	Owner   string // name; empty: the caller's own and those of its organizations
	Project string // name; needs Owner
	State   pierhead.ExecutionState
	Limit   int    // 0 means DefaultLimit; more than MaxLimit means MaxLimit
	Before  string // an execution's ID: those older than it, for the next page
}

// Executions lists executions that the caller may see. Errors: ErrBadInput for an unknown state or a Project without
// Owner.
func (s *Store) Executions(ctx context.Context, c pierhead.Caller, f ExecutionFilter) ([]pierhead.Execution, error) {
	var found []pierhead.Execution
	err := s.view(ctx, c, access.ExecutionList, "executions", func(k *call) error {
		ranges, err := k.executionRanges(f)
		if err != nil {
			return err
		}
		var before int64
		if f.Before != "" {
			x, err := k.allowedExecution(access.ExecutionShow, f.Before)
			if err != nil {
				return err
			}
			before = x.seq
		}
		rows, err := k.newestExecutions(ranges, f.State, before, limit(f.Limit, DefaultLimit, MaxLimit))
		for _, x := range rows {
			found = append(found, x.noun)
		}
		return err
	})
	return found, err
}

// A keyRange is a column and a value of it that has an index together with seq.
type keyRange struct{ column, value string }

func (k *call) executionRanges(f ExecutionFilter) ([]keyRange, error) {
	if f.Project != "" && f.Owner != "" {
		p, err := k.project(access.ProjectShow, f.Owner, f.Project)
		if err != nil {
			return nil, err
		}
		return []keyRange{{"project_id", p.id}}, checkState(f.State)
	}
	owners, err := k.visibleOwners(access.ExecutionList, f.Owner)
	if err != nil {
		return nil, err
	}
	if f.Project != "" {
		return nil, badInput("the project %q is named without its owner", "write it as OWNER/PROJECT", cut(f.Project))
	}
	ranges := make([]keyRange, len(owners))
	for i, o := range owners {
		ranges[i] = keyRange{"owner_id", o.id}
	}
	return ranges, checkState(f.State)
}

func checkState(s pierhead.ExecutionState) error {
	if s != "" && rank(s) < 0 {
		return badInput("there is no execution state %q", "the states are queued, pulling, running, succeeded, failed and stopped", cut(string(s)))
	}
	return nil
}

// newestExecutions reads at most n rows of each range by its index, and merges them: however many executions there are,
// a page costs as much as it shows.
func (k *call) newestExecutions(ranges []keyRange, state pierhead.ExecutionState, before int64, n int) ([]execution, error) {
	var all []execution
	for _, r := range ranges {
		query, arguments := `SELECT `+executionColumns+` WHERE e.`+r.column+` = ?`, []any{r.value}
		if state != "" {
			query, arguments = query+` AND e.state = ?`, append(arguments, string(state))
		}
		if before != 0 {
			query, arguments = query+` AND e.seq < ?`, append(arguments, before)
		}
		rows, err := list(k, scanExecution, query+` ORDER BY e.seq DESC LIMIT ?`, append(arguments, n)...)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(x, y execution) int { return int(y.seq - x.seq) })
	return all[:min(n, len(all))], nil
}

// limit is the size of a page.
func limit(wanted, usual, most int) int {
	if wanted <= 0 {
		return usual
	}
	return min(wanted, most)
}

// likePrefix is the pattern of LIKE ... ESCAPE '\' for texts that begin with prefix.
func likePrefix(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(prefix) + "%"
}
