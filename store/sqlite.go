package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"pierhead.dev/pierhead"
)

// What ails the database, as the cause of a Problem of kind pierhead.ErrUnreachable.
var (
	ErrDiskFull = errors.New("disk full")
	ErrBusy     = errors.New("database locked")
	ErrDamaged  = errors.New("database damaged")
)

// busyTimeout is how long a connection waits for another's lock, in milliseconds.
const busyTimeout = 10_000

// openSQLite opens the writer and the readers. WAL lets readers go on while one writes. synchronous=FULL syncs the log
// at every commit: an acknowledged change survives a power loss, not only a kill, and costs about a millisecond.
// secure_delete overwrites what is deleted, so a replaced credential does not stay in a free page.
func openSQLite(ctx context.Context, path string) (write, read *sql.DB, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite's own files get the mode of this one
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil { // SQLite syncs the file, not that there is one
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	open := func(mode string, connections int, more url.Values) (*sql.DB, error) {
		more.Set("_busy_timeout", fmt.Sprint(busyTimeout))
		more.Set("_dqs", "0")
		more.Set("mode", mode)
		name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: more.Encode()}
		db, err := sql.Open("sqlite", name.String())
		if err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
		return db, db.PingContext(ctx)
	}
	write, err = open("rw", 1, url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"}, "_txlock": {"immediate"},
		"_pragma": {"secure_delete(1)", "journal_size_limit(67108864)"},
	})
	if err != nil {
		return nil, nil, errors.Join(err, closeDB(write))
	}
	read, err = open("ro", max(4, 2*runtime.GOMAXPROCS(0)), url.Values{})
	if err != nil {
		return nil, nil, errors.Join(err, closeDB(write), closeDB(read))
	}
	return write, read, nil
}

func closeDB(db *sql.DB) error {
	if db == nil {
		return nil
	}
	return db.Close()
}

// mapError turns what SQLite says into what a person can act on; other errors pass.
func mapError(err error) error {
	var e *sqlite.Error
	var known *pierhead.Problem
	if err == nil || errors.As(err, &known) || !errors.As(err, &e) {
		return err
	}
	unreachable := func(cause error, text, hint string) error {
		return &pierhead.Problem{Kind: pierhead.ErrUnreachable, Text: text, Hint: hint, Cause: errors.Join(cause, err)}
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return unreachable(ErrDiskFull, "the disk with the database is full; nothing was changed", "free some space in the data directory")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return unreachable(ErrBusy, "the database is locked by another process; nothing was changed", "see that only one pier uses the data directory")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return unreachable(ErrDamaged, "the database is damaged or no database", "stop pier and put a copy of pierhead.db in its place; keep the damaged file")
	case sqlite3.SQLITE_IOERR:
		return unreachable(ErrDamaged, "the disk with the database gives errors", "look for disk errors in the system's log")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return unreachable(ErrDamaged, "the database cannot be opened for writing", "see that pier's user owns the data directory and that it is mounted for writing")
	}
	return err
}

// isUnique tells whether err is the breach of a UNIQUE or PRIMARY KEY rule.
func isUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}
