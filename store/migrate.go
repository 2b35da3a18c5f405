package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"pierhead.dev/pierhead"
)

//go:embed migrations
var migrations embed.FS

// versionTable is where goose notes which migrations were done.
const versionTable = "schema_version"

// migrate brings the database to the newest schema, after a copy of an older one. Each migration is a transaction, so
// a kill in the middle leaves the schema of the last whole one, and the next start goes on from there.
func migrate(ctx context.Context, db *sql.DB, path string, schema fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, schema,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	known := newest(provider)
	current, err := schemaVersion(ctx, db)
	switch {
	case err != nil:
		return err
	case current == known:
		return nil
	case current > known:
		return pierhead.NewProblem(pierhead.ErrConflict,
			fmt.Sprintf("%s has schema %d, and this pier knows schemas up to %d", path, current, known),
			fmt.Sprintf("use the newer pier, or the copy that it left beside the file (%s.before-%d) if there is one", filepath.Base(path), known+1))
	case current > 0:
		if err := backUp(ctx, db, fmt.Sprintf("%s.before-%d", path, current+1)); err != nil {
			return fmt.Errorf("copy of the database before schema %d: %w", current+1, err)
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("schema %d to %d: %w", current, known, err)
	}
	return nil
}

func newest(p *goose.Provider) int64 {
	sources := p.ListSources() // in order
	return sources[len(sources)-1].Version
}

// schemaVersion is 0 for an empty database. A database that is not empty and not ours is refused with ErrConflict.
func schemaVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var tables, ours int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN name = ? THEN 1 END) FROM sqlite_schema WHERE type = 'table'`,
		versionTable).Scan(&tables, &ours); err != nil {
		return 0, err
	}
	switch {
	case tables == 0:
		return 0, nil
	case ours == 0:
		return 0, pierhead.NewProblem(pierhead.ErrConflict, "the database file belongs to another program", "give pier a data directory of its own")
	}
	var version int64
	err := db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM `+versionTable+` WHERE is_applied <> 0`).Scan(&version)
	return version, err
}

// backUp writes a whole copy to path: under another name first, so a half one is never taken for a copy.
func backUp(ctx context.Context, db *sql.DB, path string) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, part); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
