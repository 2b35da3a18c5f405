package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"modernc.org/sqlite"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
)

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
func lists(s *Store, alice, node pierhead.Caller, token string) map[string]func(ctx context.Context) error {
	executions := func(f ExecutionFilter) func(ctx context.Context) error {
		return func(ctx context.Context) error { _, err := s.Executions(ctx, alice, f); return err }
	}
	return map[string]func(ctx context.Context) error{
		"executions":             executions(ExecutionFilter{}),
		"executions, deep":       executions(ExecutionFilter{Before: "exe_100"}),
		"executions, running":    executions(ExecutionFilter{State: pierhead.ExecutionRunning}),
		"executions, of project": executions(ExecutionFilter{Owner: "acme", Project: "train"}),
		"executions, no failed":  executions(ExecutionFilter{Owner: "acme", Project: "train", State: pierhead.ExecutionFailed}),
		"execution log":          func(ctx context.Context) error { _, err := s.ExecutionLog(ctx, alice, "exe_100", 0, 0); return err },
		"registries":             func(ctx context.Context) error { _, err := s.Registries(ctx, alice, "acme"); return err },
		"audit log": func(ctx context.Context) error {
			_, err := s.Audit(ctx, alice, audit.Filter{Organization: "acme"})
			return err
		},
		"audit log, own": func(ctx context.Context) error { _, err := s.Audit(ctx, alice, audit.Filter{}); return err },
		"events": func(ctx context.Context) error {
			_, err := s.Events(ctx, alice, EventFilter{Organization: "acme"})
			return err
		},
		"work":         func(ctx context.Context) error { _, err := s.TakeWork(ctx, node, 1); return err },
		"snapshot":     func(ctx context.Context) error { _, err := s.Snapshot(ctx, node); return err },
		"namespace":    func(ctx context.Context) error { _, err := s.NamespaceActions(ctx, alice, "acme"); return err },
		"authenticate": func(ctx context.Context) error { _, err := s.Authenticate(ctx, token); return err },
	}
}

// Every list finds its page by an index and never sorts what it finds, so its cost does not grow with the tables. How
// long they take among 100,000 rows is told by BenchmarkLists: 0.1 to 5 ms.
func TestListsUseTheirIndexes(t *testing.T) {
	s, alice, node, token := many(t, 200, 10)
	recorder := &recorder{Connector: connector(t, s)}
	must(t, s.read.Close())
	s.read = sql.OpenDB(recorder)
	for name, ask := range lists(s, alice, node, token) {
		recorder.queries = nil
		must(t, ask(t.Context()))
		if len(recorder.queries) == 0 {
			t.Errorf("%s asks the database nothing", name)
		}
		for _, q := range recorder.queries {
			for _, step := range plan(t, s.write, q) {
				if growing.MatchString(strings.TrimSuffix(step, "e USING INDEX executions_waiting")) || strings.Contains(step, "TEMP B-TREE") {
					t.Errorf("%s: %s in %s", name, step, q.text)
				}
			}
		}
	}
	if bad := plan(t, s.write, query{text: `SELECT id FROM executions ORDER BY created_by`}); !growing.MatchString(bad[0]) {
		t.Errorf("the plan of a bad query is not recognised: %v", bad)
	}
}

// growing finds the scan of a table that grows with use; in queries, executions are e and tokens t. The index
// executions_waiting has only what waits, in the order in which it is wanted.
var growing = regexp.MustCompile(`^SCAN (executions|e|audit|events|log_chunks|tokens|t|registries|registry_projects|rp)\b`)

// A query is what was asked of the database.
type query struct {
	text      string
	arguments []driver.NamedValue
}

func plan(t *testing.T, db *sql.DB, q query) (steps []string) {
	t.Helper()
	arguments := make([]any, len(q.arguments))
	for i, a := range q.arguments {
		arguments[i] = a.Value
	}
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+q.text, arguments...)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		must(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	must(t, rows.Err())
	return steps
}

// A recorder is a connector whose connections note each query.
type recorder struct {
	driver.Connector
	queries []query
}

func connector(t *testing.T, s *Store) driver.Connector {
	t.Helper()
	var path string
	must(t, s.read.QueryRowContext(t.Context(), `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path))
	c, err := sqlite.NewConnector("file:" + path + "?mode=ro")
	must(t, err)
	return c
}

func (r *recorder) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := r.Connector.Connect(ctx)
	return recordingConn{conn, r}, err
}

type recordingConn struct {
	driver.Conn
	r *recorder
}

func (c recordingConn) QueryContext(ctx context.Context, text string, arguments []driver.NamedValue) (driver.Rows, error) {
	c.r.queries = append(c.r.queries, query{text, arguments})
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, text, arguments)
}

func (c recordingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
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
				if err := ask(b.Context()); err != nil {
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
