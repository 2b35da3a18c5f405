package store

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/tokens"
)

var update = flag.Bool("update", false, "write the kept database of the newest schema where there is none")

// newestSchema is the number of the last migration. Whoever adds one raises it and runs the tests with -update.
const newestSchema = 4

func keptPath(version int) string { return fmt.Sprintf("testdata/schema-%d.db", version) }

var testOptions = Options{URL: "http://127.0.0.1:7070"}

func openTest(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A database of every earlier schema is kept, with something of each noun in it, and opens with all of that there.
func TestKeptDatabasesOfEverySchema(t *testing.T) {
	if *update {
		writeKept(t, keptPath(newestSchema))
	}
	if names, err := fs.Glob(migrations, fmt.Sprintf("migrations/sqlite/%05d_*.sql", newestSchema+1)); err != nil || len(names) > 0 {
		t.Fatalf("newestSchema is behind %v, %v", names, err)
	}
	for version := 1; version <= newestSchema; version++ {
		raw, err := os.ReadFile(keptPath(version))
		if err != nil {
			t.Fatalf("%v: make it with go test ./store -run Kept -update", err)
		}
		path := filepath.Join(t.TempDir(), "pierhead.db")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openTest(t, path)
		checkKept(t, s)
		checkNodes(t, s, version)
		_, err = os.Stat(fmt.Sprintf("%s.before-%d", path, version+1))
		if older := version < newestSchema; older != (err == nil) {
			t.Errorf("schema %d: a copy was made: %v, want %v", version, err == nil, older)
		}
	}
}

// writeKept makes a database by the store's own methods. One that is there is left alone: it is an earlier program's.
func writeKept(t *testing.T, path string) {
	if _, err := os.Stat(path); err == nil {
		t.Logf("%s is there already and stays", path)
		return
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	work := filepath.Join(t.TempDir(), "pierhead.db")
	s, err := Open(t.Context(), "sqlite:"+work, Options{URL: testOptions.URL, Now: func() time.Time { at = at.Add(time.Second); return at }})
	must(t, err)
	fill(t, s)
	fillNodes(t, s)
	_, err = s.write.ExecContext(t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`)
	must(t, err)
	must(t, s.Close())
	raw, err := os.ReadFile(work)
	must(t, err)
	must(t, os.MkdirAll("testdata", 0o755))
	must(t, os.WriteFile(path, raw, 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes one of everything, and returns the texts of the tokens.
func fill(t testing.TB, s *Store) []string {
	ctx := t.Context()
	_, rootText, _, err := s.Bootstrap(ctx, "root")
	must(t, err)
	root, err := s.Authenticate(ctx, rootText)
	must(t, err)
	_, err = s.CreatePerson(ctx, root, "alice", false)
	must(t, err)
	_, err = s.CreateOrganization(ctx, root, "acme")
	must(t, err)
	_, err = s.SetMember(ctx, root, "acme", "alice", pierhead.RoleAdmin)
	must(t, err)
	_, aliceText, err := s.CreateToken(ctx, root, pierhead.Token{Person: "alice", Name: "laptop"})
	must(t, err)
	alice, err := s.Authenticate(ctx, aliceText)
	must(t, err)
	_, robotText, err := s.CreateToken(ctx, alice, pierhead.Token{Kind: pierhead.TokenRobot, Name: "ci", Organization: "acme", ReadOnly: true})
	must(t, err)
	_, err = s.CreateProject(ctx, alice, "acme", "train")
	must(t, err)
	_, err = s.CreateRegistry(ctx, alice, "acme", pierhead.Registry{
		Name: "azure", Enabled: true, Match: []string{"myregistry.azurecr.io/*"}, Credential: pierhead.RegistryCredential{Secret: "file:azure"},
		Projects: pierhead.ProjectScope{Names: []string{"train"}}, Realms: []string{"auth.example.com"},
	})
	must(t, err)
	x, err := s.CreateExecution(ctx, alice, "acme", "train", pierhead.Spec{
		Step: "train", Image: "myregistry.azurecr.io/ml-training:v2.0", Command: []string{"python train.py"}, Environment: map[string]string{"A": "b"},
	})
	must(t, err)
	_, nodeText, err := s.EnsureNode(ctx, pierhead.System(), "local")
	must(t, err)
	node, err := s.Authenticate(ctx, nodeText)
	must(t, err)
	_, err = s.TakeWork(ctx, node, 1)
	must(t, err)
	_, err = s.AppendLog(ctx, node, x.ID, 0, []byte("Pulling image: myregistry.azurecr.io/ml-training:v2.0\n"))
	must(t, err)
	code := 0
	_, err = s.Report(ctx, node, x.ID, pierhead.Progress{State: pierhead.ExecutionSucceeded, ExitCode: &code, Digest: "sha256:abc", Registry: "azure"})
	must(t, err)
	must(t, s.DeliverEvents(ctx, node, []pierhead.Event{{ID: "evt_1", At: time.Now(), Kind: "credential.used", ExecutionID: x.ID}}))
	return []string{rootText, aliceText, robotText, nodeText}
}

// fillNodes makes what there is since schema 4: a node with a key of its own.
func fillNodes(t testing.TB, s *Store) {
	ctx := t.Context()
	alice := acmeAdmin(t, s)
	_, joinText, err := s.CreateJoinToken(ctx, alice, "acme", "gpu-1", time.Time{})
	must(t, err)
	joiner, err := s.AuthenticateJoin(ctx, joinText)
	must(t, err)
	key, err := tokens.Generate()
	must(t, err)
	now, audience := s.stamp(), tokens.JoinAudience(joinText)
	proof, err := key.SignNode(tokens.NodeClaims{Node: "self", Audience: []string{audience}, IssuedAt: now, Expires: now.Add(time.Minute), ID: "x"})
	must(t, err)
	_, err = s.JoinNode(ctx, joiner, pierhead.Join{PublicKey: tokens.PublicText(key.Public()), Proof: proof})
	must(t, err)
}

// acmeAdmin is alice.
func acmeAdmin(t testing.TB, s *Store) pierhead.Caller {
	t.Helper()
	var organizationID, personID string
	must(t, s.read.QueryRowContext(t.Context(), `SELECT id FROM owners WHERE name = 'acme'`).Scan(&organizationID))
	must(t, s.read.QueryRowContext(t.Context(), `SELECT id FROM owners WHERE name = 'alice'`).Scan(&personID))
	return pierhead.Caller{Name: "alice", Person: "alice", PersonID: personID, TokenID: "tok_x", Memberships: map[string]pierhead.Role{organizationID: pierhead.RoleAdmin}}
}

// checkNodes sees that what fillNodes made is there, and that older nodes are what they were.
func checkNodes(t *testing.T, s *Store, version int) {
	t.Helper()
	nodes, err := s.Nodes(t.Context(), acmeAdmin(t, s), "acme")
	want := 1
	if version >= 4 {
		want = 2
	}
	if err != nil || len(nodes) != want || nodes[len(nodes)-1].Name != "local" || want == 2 && (nodes[0].Name != "gpu-1" || nodes[0].PublicKey == "") {
		t.Errorf("schema %d: nodes %+v, %v", version, nodes, err)
	}
}

// checkKept sees that what fill made is there, by whatever schema it came.
func checkKept(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	alice := acmeAdmin(t, s)
	r, err := s.Registry(ctx, alice, "acme", "azure")
	if err != nil || r.Credential.Secret != "file:azure" || len(r.Match) != 1 || len(r.Projects.Names) != 1 || r.WhenRefused != pierhead.RefusedAnonymous {
		t.Errorf("registry: %+v, %v", r, err)
	}
	executions, err := s.Executions(ctx, alice, ExecutionFilter{Owner: "acme"})
	if err != nil || len(executions) != 1 {
		t.Fatalf("executions: %+v, %v", executions, err)
	}
	x := executions[0]
	if x.Spec.Command[0] != "python train.py" || x.Spec.Environment["A"] != "b" || x.Progress.State != pierhead.ExecutionSucceeded || *x.Progress.ExitCode != 0 {
		t.Errorf("execution: %+v", x)
	}
	if log, err := s.ExecutionLog(ctx, alice, x.ID, 0, 0); err != nil || !strings.HasPrefix(string(log), "Pulling image: ") {
		t.Errorf("log: %q, %v", log, err)
	}
	if events, err := s.Events(ctx, alice, EventFilter{ExecutionID: x.ID}); err != nil || len(events) != 1 {
		t.Errorf("events: %+v, %v", events, err)
	}
	if tokens, err := s.Tokens(ctx, alice); err != nil || len(tokens) < 2 {
		t.Errorf("tokens: %+v, %v", tokens, err)
	}
	if _, _, created, err := s.Bootstrap(ctx, "other"); err != nil || created {
		t.Errorf("the administrator was made again: %v, %v", created, err)
	}
}

// withMigrations is the schema with further migrations.
func withMigrations(t *testing.T, more map[string]string) fs.FS {
	t.Helper()
	schema := fstest.MapFS{}
	must(t, fs.WalkDir(migrations, "migrations/sqlite", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := migrations.ReadFile(path)
		schema[filepath.Base(path)] = &fstest.MapFile{Data: raw}
		return err
	}))
	for name, text := range more {
		schema[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text)}
	}
	return schema
}

func TestOlderSchemaIsCopiedAndMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	fill(t, s)
	must(t, s.Close())
	next := fmt.Sprintf("%05d_next.sql", newestSchema+1)
	s, err := open(t.Context(), "sqlite:"+path, testOptions, withMigrations(t, map[string]string{next: "ALTER TABLE owners ADD COLUMN mail TEXT NOT NULL DEFAULT 'none';"}))
	must(t, err)
	checkKept(t, s)
	must(t, s.Close())

	backup := fmt.Sprintf("%s.before-%d", path, newestSchema+1)
	info, err := os.Stat(backup)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v", info.Mode())
	}
	_, err = Open(t.Context(), "sqlite:"+path, testOptions)
	if !errors.Is(err, pierhead.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprint("schema ", newestSchema+1)) || !strings.Contains(pierhead.HintOf(err), filepath.Base(backup)) {
		t.Errorf("a newer schema gave %v (%s)", err, pierhead.HintOf(err))
	}
	checkKept(t, openTest(t, backup)) // the copy is whole, and today's program opens it
}

func TestFailedMigrationLeavesTheOldSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	fill(t, s)
	must(t, s.Close())
	next := fmt.Sprintf("%05d_next.sql", newestSchema+1)
	_, err := open(t.Context(), "sqlite:"+path, testOptions, withMigrations(t, map[string]string{next: "CREATE TABLE x (a INTEGER); DROP TABLE nothing;"}))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("schema %d to %d", newestSchema, newestSchema+1)) {
		t.Fatalf("a migration that cannot work gave %v", err)
	}
	checkKept(t, openTest(t, path))
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open("sqlite", path)
	must(t, err)
	_, err = db.ExecContext(context.Background(), `CREATE TABLE recipes (name TEXT)`)
	must(t, err)
	must(t, db.Close())
	if _, err := Open(t.Context(), "sqlite:"+path, testOptions); !errors.Is(err, pierhead.ErrConflict) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v", err)
	}
	for _, place := range []string{"", "postgres://x", "sqlite:"} {
		if _, err := Open(t.Context(), place, testOptions); !errors.Is(err, pierhead.ErrBadInput) {
			t.Errorf("Open(%q): %v", place, err)
		}
	}
	for _, url := range []string{"", "127.0.0.1:7070", "ftp://x", "http://user:pass@x"} {
		if _, err := Open(t.Context(), "sqlite:"+path, Options{URL: url}); !errors.Is(err, pierhead.ErrBadInput) {
			t.Errorf("Open with URL %q: %v", url, err)
		}
	}
}
