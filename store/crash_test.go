package store

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
)

var kills = flag.Int("kills", 3, "how often the writing process is killed")

// crashVariable tells the test binary to be the process that gets killed: it holds the database's path.
const crashVariable = "PIERHEAD_TEST_CRASH"

func TestMain(m *testing.M) {
	flag.Parse()
	if path := os.Getenv(crashVariable); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(context.Background(), path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled makes executions with logs, and says on stdout what was acknowledged.
func writeUntilKilled(ctx context.Context, path string) error {
	s, err := Open(ctx, "sqlite:"+path, testOptions)
	if err != nil {
		return err
	}
	_, text, err := s.EnsureNode(ctx, pierhead.System(), "local")
	if err != nil {
		return err
	}
	node, err := s.Authenticate(ctx, text)
	if err != nil {
		return err
	}
	alice, err := crashCaller(ctx, s)
	if err != nil {
		return err
	}
	for {
		x, err := s.CreateExecution(ctx, alice, "acme", "crash", pierhead.Spec{Step: "s", Image: "alpine"})
		if err != nil {
			return err
		}
		fmt.Println("made", x.ID)
		if _, err := s.TakeWork(ctx, node, 100); err != nil {
			return err
		}
		fmt.Println("took", x.ID)
		for size := int64(0); size < 5000; {
			if size, err = s.AppendLog(ctx, node, x.ID, size, logLine(size)); err != nil {
				return err
			}
			fmt.Println("log", x.ID, size)
		}
		if _, err := s.Report(ctx, node, x.ID, pierhead.Progress{State: pierhead.ExecutionSucceeded}); err != nil {
			return err
		}
		fmt.Println("ended", x.ID)
	}
}

// logLine is the bytes of the log from offset on: what they are follows from where they are.
func logLine(offset int64) []byte {
	line := make([]byte, 1000)
	for i := range line {
		line[i] = byte('a' + (offset+int64(i))%26)
	}
	return line
}

func crashCaller(ctx context.Context, s *Store) (pierhead.Caller, error) {
	var organization, person string
	err := s.read.QueryRowContext(ctx, `SELECT o.id, p.id FROM owners o, owners p WHERE o.name = 'acme' AND p.name = 'alice'`).Scan(&organization, &person)
	return pierhead.Caller{Name: "alice", PersonID: person, TokenID: "tok_x", Memberships: map[string]pierhead.Role{organization: pierhead.RoleAdmin}}, err
}

// What was acknowledged survives kill -9 at any moment, with its audit entry; nothing is there by half.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	fill(t, s)
	alice, err := crashCaller(t.Context(), s)
	must(t, err)
	_, err = s.CreateProject(t.Context(), alice, "acme", "crash")
	must(t, err)
	must(t, s.Close())
	acknowledged := map[string]int64{} // bytes of log by execution
	ended := map[string]bool{}
	for range *kills {
		readAcknowledged(t, path, 1+rand.IntN(120), acknowledged, ended)
		s := openTest(t, path)
		checkAcknowledged(t, s, acknowledged, ended)
		must(t, s.Close())
	}
	t.Logf("%d executions were acknowledged, %d to their end", len(acknowledged), len(ended))
}

// readAcknowledged runs the writing process until it has said n lines, and kills it.
func readAcknowledged(t *testing.T, path string, n int, acknowledged map[string]int64, ended map[string]bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env, child.Stderr = append(os.Environ(), crashVariable+"="+path), os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		var word, id string
		var size int64
		if n, err := fmt.Sscan(lines.Text(), &word, &id, &size); n < 2 {
			t.Errorf("the process said %q: %v", lines.Text(), err)
		}
		acknowledged[id] = max(acknowledged[id], size)
		if word == "ended" {
			ended[id] = true
		}
		if i == n-1 {
			must(t, child.Process.Kill()) // what it still said in between is read to the end
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || !strings.Contains(exit.Error(), "killed") {
		t.Fatalf("the process ended by itself: %v", err)
	}
}

func checkAcknowledged(t *testing.T, s *Store, acknowledged map[string]int64, ended map[string]bool) {
	t.Helper()
	ctx := t.Context()
	var verdict string
	must(t, s.read.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&verdict))
	if verdict != "ok" {
		t.Fatalf("the database is damaged: %s", verdict)
	}
	alice, err := crashCaller(ctx, s)
	must(t, err)
	for id, size := range acknowledged {
		x, err := s.Execution(ctx, alice, id)
		if err != nil {
			t.Errorf("acknowledged and gone: %v", err)
			continue
		}
		if x.LogSize < size || ended[id] && x.Progress.State != pierhead.ExecutionSucceeded {
			t.Errorf("%s has %d bytes of log and state %s; acknowledged were %d, ended %v", id, x.LogSize, x.Progress.State, size, ended[id])
		}
		log, err := s.ExecutionLog(ctx, alice, id, 0, 0)
		must(t, err)
		if int64(len(log)) != x.LogSize {
			t.Errorf("%s: %d bytes of log, and %d are told", id, len(log), x.LogSize)
		}
		for i, c := range log {
			if c != logLine(int64(i))[0] {
				t.Fatalf("%s: byte %d of the log is %q", id, i, c)
			}
		}
		if entries, err := s.Audit(ctx, alice, audit.Filter{Object: "execution " + id, Action: "execution.create"}); err != nil || len(entries) != 1 {
			t.Errorf("%s has %d audit entries, %v", id, len(entries), err)
		}
	}
	var without int
	must(t, s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions e WHERE NOT EXISTS
		(SELECT 1 FROM audit a WHERE a.object = 'execution ' || e.id AND a.action = 'execution.create')`).Scan(&without))
	if without > 0 {
		t.Errorf("%d executions have no audit entry", without)
	}
}
