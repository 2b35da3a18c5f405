package store

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
)

// atMost is how long any of the lists below may take among 100,000 executions, audit entries and events and 1,000
// registries; they take 1 to 5 ms. A list without its index takes 100 times as long as it should.
const atMost = 50 * time.Millisecond

// fillMany adds to what fill made: n executions of project acme/train, every hundredth of them running and the rest
// succeeded, n audit entries and n events, and some registries.
func fillMany(tb testing.TB, s *Store, n, registries int) {
	tb.Helper()
	const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) `
	for _, statement := range []string{
		`INSERT INTO executions (id, project_id, owner_id, created_by, spec, state, node_id, created_at) ` + numbers +
			`SELECT 'exe_' || i, p.id, p.owner_id, 'bob', '{"step":"s","image":"alpine"}', CASE WHEN i % 100 = 0 THEN 'running' ELSE 'succeeded' END, d.id, i FROM n, projects p, nodes d`,
		`INSERT INTO audit (id, at, caller, token_id, action, object, owner_id, outcome, detail) ` + numbers +
			`SELECT 'aud_' || i, i, 'bob', 'tok_b', 'execution.create', 'execution exe_' || i, o.id, 'ok', '{}' FROM n, owners o WHERE o.name = 'acme'`,
		`INSERT INTO events (id, node_id, at, organization_id, kind, execution_id, image, registry, detail) ` + numbers +
			`SELECT 'many_' || i, d.id, i, o.id, 'credential.used', 'exe_' || i, '', '', '{}' FROM n, owners o, nodes d WHERE o.name = 'acme'`,
	} {
		if _, err := s.write.ExecContext(context.Background(), statement, n); err != nil {
			tb.Fatal(err)
		}
	}
	_, err := s.write.ExecContext(context.Background(), `INSERT INTO registries (id, organization_id, name, type, enabled, all_projects, settings, created_at, updated_at)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		SELECT 'reg_' || i, o.id, 'r' || i, 'generic', 1, 1, '{"match":["h' || i || '.example/*"],"secret":"file:s","when_refused":"fail"}', 0, 0 FROM n, owners o WHERE o.name = 'acme'`, registries)
	if err != nil {
		tb.Fatal(err)
	}
}

// lists is what people and nodes ask for again and again.
func lists(s *Store, alice, node pierhead.Caller, token string) map[string]func(ctx context.Context) (int, error) {
	executions := func(f ExecutionFilter) func(ctx context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			found, err := s.Executions(ctx, alice, f)
			return len(found), err
		}
	}
	return map[string]func(ctx context.Context) (int, error){
		"executions":             executions(ExecutionFilter{}),
		"executions, deep":       executions(ExecutionFilter{Before: "exe_100"}),
		"executions, running":    executions(ExecutionFilter{State: pierhead.ExecutionRunning}),
		"executions, of project": executions(ExecutionFilter{Owner: "acme", Project: "train"}),
		"executions, none failed": func(ctx context.Context) (int, error) {
			n, err := executions(ExecutionFilter{Owner: "acme", Project: "train", State: "failed"})(ctx)
			return n + 50, err
		},
		"registries": func(ctx context.Context) (int, error) {
			found, err := s.Registries(ctx, alice, "acme")
			return len(found), err
		},
		"audit log": func(ctx context.Context) (int, error) {
			found, err := s.Audit(ctx, alice, audit.Filter{Organization: "acme"})
			return len(found), err
		},
		"audit log, own": func(ctx context.Context) (int, error) {
			found, err := s.Audit(ctx, alice, audit.Filter{})
			return len(found), err
		},
		"events": func(ctx context.Context) (int, error) {
			found, err := s.Events(ctx, alice, EventFilter{Organization: "acme"})
			return len(found), err
		},
		"work": func(ctx context.Context) (int, error) { _, err := s.TakeWork(ctx, node, 1); return 50, err },
		"snapshot": func(ctx context.Context) (int, error) {
			found, err := s.Snapshot(ctx, node)
			return 1000 * len(found.Organizations), err
		},
		"authenticate": func(ctx context.Context) (int, error) { _, err := s.Authenticate(ctx, token); return 50, err },
	}
}

func TestListsStayFast(t *testing.T) {
	s, alice, node, token := many(t, 100_000, 1000)
	for name, ask := range lists(s, alice, node, token) {
		var took []time.Duration
		for range 5 {
			start := time.Now()
			n, err := ask(t.Context())
			took = append(took, time.Since(start))
			if err != nil || n < 50 {
				t.Fatalf("%s: %d, %v", name, n, err)
			}
		}
		best := slices.Min(took)
		t.Logf("%-25s %v", name, best)
		if best > atMost {
			t.Errorf("%s takes %v, at most %v are allowed", name, best, atMost)
		}
	}
}

func many(tb testing.TB, n, registries int) (s *Store, alice, node pierhead.Caller, token string) {
	tb.Helper()
	s, err := Open(context.Background(), "sqlite:"+filepath.Join(tb.TempDir(), "pierhead.db"), testOptions)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	texts := fill(tb, s)
	fillMany(tb, s, n, registries)
	if alice, err = s.Authenticate(context.Background(), texts[1]); err != nil {
		tb.Fatal(err)
	}
	if node, err = s.Authenticate(context.Background(), texts[3]); err != nil {
		tb.Fatal(err)
	}
	return s, alice, node, texts[1]
}

func BenchmarkLists(b *testing.B) {
	s, alice, node, token := many(b, 100_000, 1000)
	for name, ask := range lists(s, alice, node, token) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ask(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a change costs: an execution with its audit entry, synced.
func BenchmarkCreateExecution(b *testing.B) {
	s, alice, _, _ := many(b, 1000, 10)
	for b.Loop() {
		if _, err := s.CreateExecution(b.Context(), alice, "acme", "train", pierhead.Spec{Step: "s", Image: fmt.Sprint("alpine:", b.N)}); err != nil {
			b.Fatal(err)
		}
	}
}
