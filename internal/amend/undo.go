package amend

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrChanged says that a file is not as it was left, so that what was there before cannot come back without losing what
// somebody did since. Diff has the difference, from what there was to what there is.
type ErrChanged struct {
	Paths  []string
	Kept   []string // what there was before, for each; "" where there was none
	Record string   // the file that remembers it
	Diff   string
}

// Error names the files.
func (e *ErrChanged) Error() string {
	return strings.Join(e.Paths, ", ") + " changed since"
}

// An Undoing is what would be undone.
type Undoing struct {
	book   *Book
	name   string
	record record
	files  []undo
	mask   func([]byte) []byte
}

type undo struct {
	entry
	found *file
	back  *file // nil: there was none
}

// PlanUndo looks whether everything under a name can be brought back, and changes nothing. mask is as in Target, for all
// files. Errors: *ErrChanged, and this package's.
func (b *Book) PlanUndo(name string, mask func([]byte) []byte) (*Undoing, error) {
	kept, err := b.read(name)
	if err != nil {
		return nil, err
	}
	u := &Undoing{book: b, name: name, record: kept, mask: mask}
	changed := &ErrChanged{Record: b.file(name)}
	for _, e := range kept.Files {
		one, ok, err := look(e)
		if err != nil {
			return nil, err
		}
		if !ok {
			changed.Paths = append(changed.Paths, e.Path)
			changed.Kept = append(changed.Kept, e.Backup)
			changed.Diff += string(unified(e.Path, one.back, one.found.bytes(), mask))
			continue
		}
		if one.found.sum() != e.Before {
			if err := writable(e.Path, one.found); err != nil {
				return nil, err
			}
		}
		u.files = append(u.files, one)
	}
	if len(changed.Paths) > 0 {
		return nil, changed
	}
	return u, nil
}

// look finds a file as it is and as it was; ok tells whether nobody else changed it.
func look(e entry) (one undo, ok bool, err error) {
	one.entry = e
	if one.found, err = read(e.Path); err != nil {
		return one, false, err
	}
	if e.Backup != "" {
		if one.back, err = read(e.Backup); err != nil {
			return one, false, err
		}
	}
	sum := one.found.sum()
	if sum == e.Before {
		return one, true, nil // it was undone already, or never done
	}
	if one.back.sum() != e.Before {
		return one, false, e.lost()
	}
	return one, slices.Contains(e.Ours, sum) && !e.Foreign, nil
}

// Known tells whether there is anything on record.
func (u *Undoing) Known() bool { return len(u.record.Files) > 0 }

// Paths are the files that come back or go.
func (u *Undoing) Paths() []string {
	var paths []string
	for _, f := range u.files {
		paths = append(paths, f.Path)
	}
	return paths
}

// Diff is the change as a unified diff.
func (u *Undoing) Diff() string {
	var text bytes.Buffer
	for _, f := range u.files {
		if f.found.sum() != f.Before {
			text.Write(unified(f.Path, f.found, f.back.bytes(), u.mask))
		}
	}
	return text.String()
}

// Apply brings back what there was, and forgets the record.
func (u *Undoing) Apply() error {
	if !u.Known() {
		return nil
	}
	unlock, err := u.book.lock(u.name, u.record)
	if err != nil {
		return err
	}
	defer unlock()
	for _, f := range u.files {
		u.book.sweep(filepath.Dir(f.Path))
		if err := u.book.bringBack(f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	for _, dir := range slices.Backward(u.record.Dirs) {
		if _, err := u.book.rmdir(dir); err != nil {
			return err
		}
	}
	if err := u.book.Layer.Remove(u.book.file(u.name)); err != nil {
		return err
	}
	return u.book.Layer.SyncDir(u.book.Dir)
}

// rmdir takes away a directory that was made, unless somebody else's file keeps it.
func (b *Book) rmdir(dir string) (gone bool, err error) {
	b.sweep(dir)
	if err := b.Layer.Remove(dir); err != nil {
		return errors.Is(err, fs.ErrNotExist), nil
	}
	return true, b.Layer.SyncDir(filepath.Dir(dir))
}

// bringBack moves the kept file to its old place: with the time, mode and owner that it had.
func (b *Book) bringBack(f undo) error {
	now, err := read(f.Path)
	if err != nil {
		return err
	}
	switch {
	case now.sum() != f.found.sum():
		return ErrMoved
	case f.found.sum() == f.Before:
		if f.Backup == "" {
			return nil
		}
		// Two names of one file: to move one onto the other does nothing.
		return b.remove(f.Backup)
	case f.Backup != "":
		if err := b.Layer.Rename(f.Backup, f.Path); err != nil {
			return err
		}
		return b.Layer.SyncDir(filepath.Dir(f.Path))
	}
	return b.remove(f.Path)
}

func (b *Book) remove(path string) error {
	if err := b.Layer.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := b.Layer.SyncDir(filepath.Dir(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
