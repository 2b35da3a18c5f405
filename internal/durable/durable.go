// Package durable writes files so that what was acknowledged survives a crash of the process, of the machine, or of
// the power supply. Who keeps content on disk itself (blob/disk, oci/hosted) changes files only through a Layer, so that
// a test can record every change and rebuild what a crash would have left (internal/durabletest).
//
// What counts as kept: a file's bytes after File.Sync, a name in a directory after SyncDir of that directory. Whatever
// was not synced may be there, or not, or in parts, in any combination.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// A Layer changes files. It has a method for each kind of change that a crash can undo, and so more than four; reading
// goes to the operating system directly.
type Layer interface {
	// Create makes a file, which must not exist, mode 0600.
	Create(name string) (File, error)
	// Append opens an existing file; what is written goes to its end.
	Append(name string) (File, error)
	// Rename moves a file, over another one too.
	Rename(from, to string) error
	// Link gives a file a second name.
	Link(from, to string) error
	// Remove takes away a file or an empty directory.
	Remove(name string) error
	// Mkdir makes a directory, mode 0700.
	Mkdir(name string) error
	// SyncDir keeps the names in a directory.
	SyncDir(name string) error
}

// A File is open for reading and for writing at its end.
type File interface {
	io.Writer
	io.ReaderAt
	Truncate(size int64) error // bytes
	Sync() error
	Close() error
}

// OS is the operating system's files.
type OS struct{}

// Create makes a file, mode 0600.
func (OS) Create(name string) (File, error) {
	return osFile(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600))
}

// Append opens a file for writing at its end.
func (OS) Append(name string) (File, error) {
	return osFile(os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0))
}

func osFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err // a nil *os.File must not become a File that is not nil
	}
	return f, nil
}

// Rename moves a file.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Link makes a hard link.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Remove takes away a file or an empty directory.
func (OS) Remove(name string) error { return os.Remove(name) }

// Mkdir makes a directory, mode 0700.
func (OS) Mkdir(name string) error { return os.Mkdir(name, 0o700) }

// SyncDir keeps the names in a directory.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// TempPrefix begins the names of files that are on their way to their own name. After a crash they are rubbish.
const TempPrefix = ".new-"

// TempName returns an unused name in a directory.
func TempName(dir string) string { return filepath.Join(dir, TempPrefix+rand.Text()) }

// WriteFile replaces a file's content: after a crash there is the old content or the new.
func WriteFile(layer Layer, name string, data []byte) error {
	return WriteFileFrom(layer, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFileFrom is WriteFile for content that write produces.
func WriteFileFrom(layer Layer, name string, write func(io.Writer) error) error {
	temp := TempName(filepath.Dir(name))
	f, err := layer.Create(temp)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Close(), layer.Remove(temp))
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close(), layer.Remove(temp))
	}
	if err := f.Close(); err != nil {
		return errors.Join(err, layer.Remove(temp))
	}
	if err := layer.Rename(temp, name); err != nil {
		return errors.Join(err, layer.Remove(temp))
	}
	return layer.SyncDir(filepath.Dir(name))
}

// Full tells whether err says that there is no space left, on the disk or in a quota.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Dirs makes directories that stay. Two who need the same new directory both return only when it is kept: the second
// one finds it there while the first has not synced it yet.
type Dirs struct {
	layer Layer
	mu    sync.Mutex
	kept  map[string]bool
}

// maxKept bounds the memory of a Dirs; a directory that it forgot costs one more sync.
const maxKept = 1 << 16

// NewDirs returns a Dirs for what is in dir, which may be missing, and whatever is missing above it.
func NewDirs(layer Layer, dir string) *Dirs {
	root := filepath.Dir(filepath.Clean(dir))
	for {
		parent := filepath.Dir(root)
		if _, err := os.Stat(root); err == nil || parent == root {
			return &Dirs{layer: layer, kept: map[string]bool{root: true}}
		}
		root = parent
	}
}

// Ensure makes a directory, and what is missing above it.
func (d *Dirs) Ensure(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ensure(filepath.Clean(dir))
}

func (d *Dirs) ensure(dir string) error {
	if d.kept[dir] {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return fmt.Errorf("directory %s is not where it was to be", dir)
	}
	if err := d.ensure(parent); err != nil {
		return err
	}
	if err := d.layer.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.layer.SyncDir(parent); err != nil {
		return err
	}
	if len(d.kept) < maxKept {
		d.kept[dir] = true
	}
	return nil
}
