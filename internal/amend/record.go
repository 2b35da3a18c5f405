package amend

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pierhead.dev/pierhead/internal/durable"
)

// A Book keeps the records, one for each name under which files are changed together.
type Book struct {
	Layer durable.Layer
	Dir   string           // the records
	Now   func() time.Time // names backups
}

// A record is what was done, or was about to be, under one name.
type record struct {
	Files []entry  `json:"files"`
	Dirs  []string `json:"dirs,omitempty"` // made for them, the outermost first
}

// An entry is one file of a record.
type entry struct {
	Path    string   `json:"path"`
	Backup  string   `json:"backup,omitempty"`  // beside it; "": there was no file
	Before  string   `json:"before,omitempty"`  // SHA-256 of what there was
	Ours    []string `json:"ours"`              // of what was written, the last one last: one before it may be there after a crash
	Foreign bool     `json:"foreign,omitempty"` // somebody changed it before it was written again
}

// original is what there was before the first change.
func (e *entry) original() ([]byte, error) {
	if e.Backup == "" {
		return nil, nil
	}
	f, err := read(e.Backup)
	if err != nil || f.sum() != e.Before {
		return nil, e.lost()
	}
	return f.text, nil
}

// lost says that what there was before the first change is gone.
func (e *entry) lost() error { return &lostError{*e} }

type lostError struct{ entry entry }

func (e *lostError) Error() string {
	return fmt.Sprintf("what %s was before is to be in %s, and is not there as it was", e.entry.Path, e.entry.Backup)
}

func (r *record) find(path string) *entry {
	for i := range r.Files {
		if r.Files[i].Path == path {
			return &r.Files[i]
		}
	}
	return nil
}

func (r *record) put(e entry) {
	if old := r.find(e.Path); old != nil {
		*old = e
		return
	}
	r.Files = append(r.Files, e)
}

// noteDirs notes the directories that have to be made for dir to be there.
func (r *record) noteDirs(dir string) {
	var missing []string
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		missing = append([]string{dir}, missing...)
	}
	for _, d := range missing {
		if !slices.Contains(r.Dirs, d) {
			r.Dirs = append(r.Dirs, d)
		}
	}
}

// lock is for whoever is about to change files under these records: one at a time, and only from where was looked. It holds
// until the process ends, at the latest.
func (b *Book) lock(name string, planned record) (unlock func(), err error) {
	if err := durable.NewDirs(b.Layer, b.Dir).Ensure(b.Dir); err != nil {
		return nil, fmt.Errorf("the directory of records: %w", err)
	}
	dir, err := os.Open(b.Dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of records: %w", err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("%s: %w", b.Dir, ErrMoved)
	}
	if now, err := b.read(name); err != nil || !reflect.DeepEqual(now, planned) {
		dir.Close()
		return nil, errors.Join(err, fmt.Errorf("%s: %w", b.file(name), ErrMoved))
	}
	return func() { dir.Close() }, nil
}

// sweep takes away what a killed process had half written beside its file.
func (b *Book) sweep(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be seen stays
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), durable.TempPrefix) && e.Type().IsRegular() {
			_ = b.Layer.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func (b *Book) file(name string) string { return filepath.Join(b.Dir, name+".json") }

func (b *Book) read(name string) (record, error) {
	var r record
	f, err := read(b.file(name))
	if err != nil || f == nil {
		return r, err
	}
	if err := json.Unmarshal(f.text, &r); err != nil {
		return r, fmt.Errorf("the record %s: %w", b.file(name), err)
	}
	return r, nil
}

func (b *Book) write(name string, r record) error {
	if err := durable.NewDirs(b.Layer, b.Dir).Ensure(b.Dir); err != nil {
		return fmt.Errorf("the directory of records: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(b.Layer, b.file(name), append(text, '\n')); err != nil {
		return fmt.Errorf("the record: %w", err)
	}
	return nil
}
