package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
)

func TestFullDisk(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "pierhead.db"))
	texts := fill(t, s)
	ctx := t.Context()
	alice, err := s.Authenticate(ctx, texts[1])
	must(t, err)
	var pages int
	must(t, s.write.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages))
	_, err = s.write.ExecContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)) // SQLite says of it what it says of a full disk
	must(t, err)
	changed := s.Changed()
	big := pierhead.Spec{Step: "s", Image: "alpine", Command: []string{strings.Repeat("x", 100<<10)}}
	_, err = s.CreateExecution(ctx, alice, "acme", "train", big)
	if !errors.Is(err, pierhead.ErrUnreachable) || !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), "full") || pierhead.HintOf(err) == "" {
		t.Fatalf("a full disk gave %v (%s)", err, pierhead.HintOf(err))
	}
	select {
	case <-changed:
		t.Error("nothing changed, and waiters were woken")
	default:
	}
	executions, err := s.Executions(ctx, alice, ExecutionFilter{}) // reading goes on
	if err != nil || len(executions) != 1 {
		t.Errorf("on a full disk there are %d executions, %v", len(executions), err)
	}
	if _, err := s.Authenticate(ctx, texts[0]); err != nil {
		t.Errorf("a full disk keeps people out: %v", err)
	}
	_, err = s.write.ExecContext(ctx, `PRAGMA max_page_count = 1000000`)
	must(t, err)
	_, err = s.CreateExecution(ctx, alice, "acme", "train", big)
	must(t, err)
}

func TestDamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	must(t, os.WriteFile(text, bytes.Repeat([]byte("this is not a database\n"), 1000), 0o600))
	_, err := Open(t.Context(), "sqlite:"+text, testOptions)
	if !errors.Is(err, pierhead.ErrUnreachable) || !errors.Is(err, ErrDamaged) || pierhead.HintOf(err) == "" {
		t.Errorf("a text file gave %v", err)
	}
	path := filepath.Join(dir, "pierhead.db")
	s := openTest(t, path)
	texts := fill(t, s)
	alice, err := s.Authenticate(t.Context(), texts[1])
	must(t, err)
	must(t, s.Close())
	raw, err := os.ReadFile(path)
	must(t, err)
	for i := 8192; i < len(raw); i++ { // all but the schema's pages
		raw[i] = 0xA5
	}
	must(t, os.WriteFile(path, raw, 0o600))
	s, err = Open(t.Context(), "sqlite:"+path, testOptions)
	if err == nil {
		_, err = s.Registries(t.Context(), alice, "acme")
		must(t, s.Close())
	}
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("overwritten pages gave %v", err)
	}
	if _, err := Open(t.Context(), "sqlite:"+filepath.Join(dir, "nowhere", "pierhead.db"), testOptions); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there gave %v", err)
	}
}

func TestLockedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	texts := fill(t, s)
	alice, err := s.Authenticate(t.Context(), texts[1])
	must(t, err)
	_, err = s.write.ExecContext(t.Context(), `PRAGMA busy_timeout = 1`)
	must(t, err)
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	must(t, err)
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil)
	must(t, err)
	_, err = s.CreateProject(t.Context(), alice, "acme", "other")
	if !errors.Is(err, pierhead.ErrUnreachable) || !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a locked database gave %v", err)
	}
	must(t, tx.Rollback())
	_, err = s.CreateProject(t.Context(), alice, "acme", "other")
	must(t, err)
}

func TestAuditLogIsAppendOnly(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "pierhead.db"))
	fill(t, s)
	for _, statement := range []string{`DELETE FROM audit`, `UPDATE audit SET caller = 'eve'`} {
		if _, err := s.write.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	fill(t, s)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(path)+suffix, info.Mode().Perm())
		}
	}
}

// No text of a token, and nothing that was typed as a secret into the wrong field, is in the database, its log, or a
// copy; and the search finds what is planted.
func TestNoSecretInTheFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pierhead.db")
	s := openTest(t, path)
	texts := fill(t, s)
	ctx := t.Context()
	alice, err := s.Authenticate(ctx, texts[1])
	must(t, err)
	const marker = "hunter2-marker-password"
	for _, r := range []pierhead.Registry{
		{Name: "a", Match: []string{"gcr.io/x"}, Credential: pierhead.RegistryCredential{Secret: marker}},
		{Name: "b", Match: []string{"https://user:" + marker + "@gcr.io/x"}},
		{Name: "c", Match: []string{"gcr.io/x"}, Credential: pierhead.RegistryCredential{Sealed: marker}},
	} {
		if _, err := s.CreateRegistry(ctx, alice, "acme", r); err == nil {
			t.Errorf("%+v was saved", r.Name)
		}
	}
	for _, text := range texts {
		if _, err := s.Token(ctx, alice, text); strings.Contains(err.Error(), text[:20]) { // a token where its id belongs
			t.Errorf("the message repeats the token")
		}
		_ = s.DeleteToken(ctx, alice, text)
		_, _ = s.Execution(ctx, alice, text)
		_, _, _ = s.CreateToken(ctx, alice, pierhead.Token{Name: text})
		must(t, s.Record(ctx, alice, audit.Entry{Action: "x", Object: "token " + text, Outcome: audit.Refused, Detail: map[string]string{"h": "Bearer " + text}}))
	}
	for _, text := range append(texts, marker) {
		if found := search(t, dir, text); len(found) > 0 {
			t.Errorf("a secret of %d characters lies in %v", len(text), found)
		}
	}
	_, err = s.CreateExecution(ctx, alice, "acme", "train", pierhead.Spec{Step: "planted " + marker, Image: "alpine"})
	must(t, err)
	if len(search(t, dir, marker)) == 0 {
		t.Error("the search does not find what is planted")
	}
}

// search looks for a secret, and for the random middle of a token, in all files of a directory: raw, hex and base64.
func search(t *testing.T, dir, secret string) (found []string) {
	t.Helper()
	forms := [][]byte{[]byte(secret), []byte(hex.EncodeToString([]byte(secret))), []byte(base64.StdEncoding.EncodeToString([]byte(secret)))}
	if parts := strings.Split(secret, "_"); len(parts) == 4 {
		forms = append(forms, []byte(parts[2]))
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		must(t, err)
		for _, form := range forms {
			if bytes.Contains(raw, form) {
				found = append(found, entry.Name())
			}
		}
	}
	return found
}

// The first start may be killed before the token was put where the person finds it: the next start gives another.
func TestBootstrapAfterALostToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	ctx := context.Background()
	first, lost, created, err := s.Bootstrap(ctx, "root")
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, text, created, err := s.Bootstrap(ctx, "root")
	if err != nil || !created || again.ID != first.ID || text == lost {
		t.Fatalf("the second start gave %+v, %v, %v", again, created, err)
	}
	if _, err := s.Authenticate(ctx, lost); !errors.Is(err, pierhead.ErrNotAllowed) {
		t.Errorf("the lost token: %v", err)
	}
	_, err = s.Authenticate(ctx, text)
	must(t, err)
	if _, text, created, err = s.Bootstrap(ctx, "root"); err != nil || created || text != "" {
		t.Errorf("a start after the first use gave %v, %v", created, err)
	}
}

func TestURLMovesTheHostedRegistry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pierhead.db")
	s := openTest(t, path)
	fill(t, s)
	must(t, s.Close())
	s, err := Open(t.Context(), "sqlite:"+path, Options{URL: "https://pier.example.com/"})
	must(t, err)
	defer s.Close()
	alice, err := crashCaller(t.Context(), s)
	must(t, err)
	r, err := s.Registry(t.Context(), alice, "acme", pierhead.HostedRegistryName)
	must(t, err)
	if r.Match[0] != "pier.example.com/acme/*" || r.PlainHTTP {
		t.Errorf("got %+v", r)
	}
	var version int
	must(t, s.read.QueryRowContext(t.Context(), `SELECT version FROM snapshot WHERE url = 'https://pier.example.com'`).Scan(&version))
}
