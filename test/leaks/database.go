package leaks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// magic is how a SQLite database begins (https://www.sqlite.org/fileformat2.html#magic_header_string).
const magic = "SQLite format 3\x00"

func isDatabase(r io.ReaderAt) bool {
	begin := make([]byte, len(magic))
	_, err := r.ReadAt(begin, 0)
	return err == nil && string(begin) == magic
}

// database searches every text and blob of a SQLite database. As bytes of a file, a long value is spread over pages
// that need not be neighbours, and a value of the last seconds is in the write-ahead log. A copy is opened, so that
// the database is neither locked nor changed, and a program that uses it is not disturbed.
func (w *walker) database(ctx context.Context, path string) {
	directory, err := os.MkdirTemp("", "leaks-")
	if err != nil {
		w.report.fail("copy %s: %w", path, err)
		return
	}
	defer os.RemoveAll(directory)
	copied := filepath.Join(directory, "db")
	if err := copyDatabase(path, copied); err != nil {
		w.report.fail("copy %s: %w", path, err)
		return
	}
	if err := w.values(ctx, copied, path); err != nil {
		w.report.fail("read the database %s: %w", path, err)
		return
	}
	w.report.change(func(r *Report) { r.Databases++ })
}

// databaseFiles are the ends of the names of the files that make up a database: itself, its write-ahead log, and the
// journal of a change that may have to be undone.
var databaseFiles = []string{"", "-wal", "-journal"}

// copyDatabase copies until nothing changed meanwhile, at most ten times; a torn copy would hide rows, or not open.
func copyDatabase(from, to string) error {
	for range 10 {
		before := stampOf(from)
		for _, end := range databaseFiles {
			if err := copyFile(from+end, to+end); err != nil {
				return err
			}
		}
		if stampOf(from) == before {
			return nil
		}
	}
	return errors.New("it is written to all the time, so no copy is whole")
}

// stampOf changes when one of the files does.
func stampOf(path string) string {
	stamp := ""
	for _, end := range databaseFiles {
		if info, err := os.Stat(path + end); err == nil {
			stamp += fmt.Sprintf("%s %d %d\n", end, info.Size(), info.ModTime().UnixNano())
		}
	}
	return stamp
}

// copyFile makes the copy absent where the original is.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// values searches all tables of the database at path, which is known to people as place.
func (w *walker) values(ctx context.Context, path, place string) error {
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=rw&_pragma=query_only(1)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return err
	}
	defer db.Close()
	// What a virtual table shows is in ordinary tables of its own, whose module need not be known here.
	tables, err := stringsOf(ctx, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND coalesce(sql, '') NOT LIKE 'CREATE VIRTUAL%'`)
	if err != nil {
		return err
	}
	for _, table := range append(tables, "sqlite_schema") {
		// Hidden is 2 for a column that is computed when it is read, and not kept.
		columns, err := stringsOf(ctx, db, `SELECT name FROM pragma_table_xinfo(?) WHERE hidden IN (0, 3)`, table)
		if err != nil {
			return err
		}
		if err := w.table(ctx, db, table, columns, place); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
	}
	return nil
}

func stringsOf(ctx context.Context, db *sql.DB, query string, arguments ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// table searches each value as the bytes that are kept: the cast keeps the driver from making a time of a text.
func (w *walker) table(ctx context.Context, db *sql.DB, table string, columns []string, place string) error {
	var selected []string
	values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i, column := range columns {
		selected = append(selected, fmt.Sprintf("CASE WHEN typeof(%[1]s) IN ('text', 'blob') THEN CAST(%[1]s AS BLOB) END", quoted(column)))
		into[i] = &values[i]
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(selected, ", ")+" FROM "+quoted(table))
	if err != nil {
		return err
	}
	defer rows.Close()
	for number := 1; rows.Next(); number++ {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, value := range values {
			if value == nil {
				continue
			}
			w.report.change(func(r *Report) { r.Values++ })
			w.report.add(w.needle.ScanBytes(value, fmt.Sprintf("%s, table %s, column %s, row %d", place, table, columns[i], number)))
		}
	}
	return rows.Err()
}
