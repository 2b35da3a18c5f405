package leaks

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// search searches paths and returns the report, whose printed form must not hold the secret.
func search(t *testing.T, n *Needle, paths, exclude []string) *Report {
	t.Helper()
	var report Report
	n.SearchPaths(t.Context(), paths, exclude, &report)
	checkPrinted(t, n, &report)
	return &report
}

func checkPrinted(t *testing.T, n *Needle, report *Report) {
	t.Helper()
	var printed bytes.Buffer
	if err := report.Print(&printed, n); err != nil {
		t.Error(err)
	}
	if len(n.find(printed.String())) > 0 {
		t.Error("the report holds the secret")
	}
}

// checkFound wants findings, and each in this place.
func checkFound(t *testing.T, report *Report, place string) {
	t.Helper()
	if report.Exit() != ExitFound {
		t.Errorf("nothing found in %s; failures: %v", place, report.Failures)
	}
	for _, f := range report.Findings {
		if !strings.Contains(f.Place, place) {
			t.Errorf("found in %q instead of %s", f.Place, place)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSearchesFilesInEveryForm(t *testing.T) {
	secret := secrets["escaping"]
	n, directory := needleOf(t, secret), t.TempDir()
	before := noise(4000)
	for i, f := range forms {
		write(t, filepath.Join(directory, fmt.Sprint(i), "deep", "file"), before+f.encode(secret)+before[:100])
	}
	report := search(t, n, []string{directory}, nil)
	for i, f := range forms {
		found := false
		for _, finding := range report.Findings {
			found = found || strings.HasPrefix(finding.Place, filepath.Join(directory, fmt.Sprint(i))+"/")
		}
		if !found {
			t.Errorf("not found as %s", f.name)
		}
	}
	if report.Files != len(forms) || len(report.Failures) > 0 {
		t.Errorf("%d files, failures %v", report.Files, report.Failures)
	}
}

func TestSearchesALongFile(t *testing.T) {
	secret := secrets["plain"]
	n, path := needleOf(t, secret), filepath.Join(t.TempDir(), "long")
	content := []byte(noise(3 << 20))
	at := windowSize + n.overlap - len(secret)/2 // the first window ends in it
	copy(content[at:], secret)
	write(t, path, string(content))
	report := search(t, n, []string{path}, nil)
	checkFound(t, report, path)
	if len(report.Findings) != 1 || report.Findings[0].Offset != int64(at) {
		t.Errorf("%v instead of at %d", report.Findings, at)
	}
}

func TestSearchesSparseFiles(t *testing.T) {
	secret := secrets["plain"]
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(secret), 8<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	checkFound(t, search(t, needleOf(t, secret), []string{path}, nil), path)
}

// Links are not followed and what is no file is passed by; but names, and where links point, are searched.
func TestSearchesNames(t *testing.T) {
	secret := secrets["plain"]
	n := needleOf(t, secret)
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, secret)
	clean := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(clean, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(clean, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(clean, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if report := search(t, n, []string{clean}, nil); report.Exit() != ExitClean || report.Names != 4 || report.Files != 0 {
		t.Errorf("%+v", report)
	}
	checkFound(t, search(t, n, []string{filepath.Join(clean, "link")}, nil), outside) // but a link that is named is meant

	for name, plant := range map[string]func(directory string) error{
		"a name in": func(directory string) error {
			return os.MkdirAll(filepath.Join(directory, "a", u64("x"+secret), "b"), 0o700)
		},
		"link points": func(directory string) error { return os.Symlink("/nowhere/"+secret, filepath.Join(directory, "a")) },
	} {
		directory := t.TempDir()
		if err := plant(directory); err != nil {
			t.Fatal(err)
		}
		report := search(t, n, []string{directory}, nil)
		if checkFound(t, report, directory); len(report.Findings) != 1 {
			t.Errorf("%s: %v", name, report.Findings)
		}
	}
}

func TestLeavesOut(t *testing.T) {
	secret, directory := secrets["plain"], t.TempDir()
	n := needleOf(t, secret)
	write(t, filepath.Join(directory, "secrets", "team"), secret)
	write(t, filepath.Join(directory, "secrets2"), "nothing")
	t.Chdir(directory)
	if report := search(t, n, []string{directory}, []string{"secrets"}); report.Exit() != ExitClean || report.Files != 1 {
		t.Errorf("%+v", report)
	}
	checkFound(t, search(t, n, []string{"."}, []string{"secret"}), filepath.Join("secrets", "team"))
}

func TestTellsWhatWasNotSearched(t *testing.T) {
	n, directory := needleOf(t, secrets["plain"]), t.TempDir()
	if report := search(t, n, []string{filepath.Join(directory, secrets["plain"])}, nil); report.Exit() != ExitNotSearched {
		t.Errorf("a path that is not there: %+v", report)
	}
	write(t, filepath.Join(directory, "damaged.db"), magic+noise(8000))
	if report := search(t, n, []string{directory}, nil); report.Exit() != ExitNotSearched || report.Files != 1 {
		t.Errorf("a damaged database: %+v", report)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var report Report
	if n.SearchPaths(ctx, []string{directory}, nil, &report); report.Exit() != ExitNotSearched {
		t.Errorf("broken off: %+v", &report)
	}
}

func open(t *testing.T, path string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return db
}

// A value is found wherever the border of two overflow pages cuts it: there, it is not in the file's bytes.
func TestFindsValuesOverPages(t *testing.T) {
	secret := secrets["plain"]
	n, directory := needleOf(t, secret), t.TempDir()
	split := 0
	for i := range 40 { // 40*13 is more than a page, and 13 less than the secret
		path := filepath.Join(directory, fmt.Sprint(i))
		db := open(t, path, "PRAGMA page_size = 512", `CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY, "co l" BLOB) STRICT`)
		value := bytes.Repeat([]byte{'.'}, 20<<10)
		copy(value[10_000+i*13:], secret)
		if _, err := db.Exec(`INSERT INTO "odd ""name" ("co l") VALUES (?)`, value); err != nil {
			t.Fatal(err)
		}
		db.Close()
		report := search(t, n, []string{path}, nil)
		checkFound(t, report, path)
		last := report.Findings[len(report.Findings)-1]
		if want := path + `, table odd "name, column co l, row 1`; last.Place != want || last.Offset != int64(10_000+i*13) {
			t.Errorf("found in %v", last)
		}
		if len(report.Findings) == 1 {
			split++
		}
		if report.Databases != 1 {
			t.Errorf("%d databases, failures %v", report.Databases, report.Failures)
		}
	}
	if split == 0 {
		t.Error("no value was cut, so nothing was tested")
	}
}

// What is only in the write-ahead log of a database in use is found, and the database goes on.
func TestFindsInTheWriteAheadLog(t *testing.T) {
	secret := secrets["escaping"]
	n, path := needleOf(t, secret), filepath.Join(t.TempDir(), "live.db")
	db := open(t, path, "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", "CREATE TABLE t (at TIMESTAMP, v TEXT)")
	if report := search(t, n, []string{path}, nil); report.Exit() != ExitClean {
		t.Errorf("before: %+v", report)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (?, ?)", "2026-01-02 "+u64(secret), marshal(secret)); err != nil {
		t.Fatal(err)
	}
	report := search(t, n, []string{path}, nil) // without the log among the paths, only its values tell
	checkFound(t, report, path+", table t")
	if len(report.Findings) != 2 {
		t.Errorf("%v", report.Findings)
	}
	checkFound(t, search(t, n, []string{path + "-wal"}, nil), path+"-wal")
	if _, err := db.Exec("DELETE FROM t"); err != nil {
		t.Errorf("the database was disturbed: %v", err)
	}
}

func TestFindsInEveryKindOfTable(t *testing.T) {
	secret := secrets["plain"]
	n := needleOf(t, secret)
	for name, statements := range map[string][]string{
		"UTF-16":        {"PRAGMA encoding = 'UTF-16le'", "CREATE TABLE t (v)", "INSERT INTO t VALUES ('" + secret + "')"},
		"without rowid": {"CREATE TABLE t (k TEXT PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES ('x" + secret + "')"},
		"a default":     {"CREATE TABLE t (k TEXT DEFAULT '" + secret + "')"},
		"text as date":  {"CREATE TABLE t (k DATE, b BOOLEAN)", "INSERT INTO t VALUES ('" + secret + "', 1)"},
		"full text":     {"CREATE VIRTUAL TABLE t USING fts5 (k)", "INSERT INTO t VALUES ('" + secret + "')"},
		"a view":        {"CREATE TABLE t (k)", "INSERT INTO t VALUES ('correct-horse'), ('" + secret + "')", "CREATE VIEW u AS SELECT 1/0"},
	} {
		path := filepath.Join(t.TempDir(), "a ?#%.db")
		db := open(t, filepath.Join(filepath.Dir(path), "db"), statements...)
		db.Close()
		if err := os.Rename(filepath.Join(filepath.Dir(path), "db"), path); err != nil {
			t.Fatal(err)
		}
		report := search(t, n, []string{path}, nil)
		inTable := false
		for _, f := range report.Findings {
			inTable = inTable || strings.Contains(f.Place, ", table ")
		}
		if !inTable || len(report.Failures) > 0 {
			t.Errorf("%s: %v, failures %v", name, report.Findings, report.Failures)
		}
	}
}
