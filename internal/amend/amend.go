// Package amend changes files that belong to other programs, so that it can be undone to the last byte. What a file was is
// kept beside it, with its time, mode and owner; a record says which files were changed, and what they were changed to.
//
// A crash leaves each file old or new, never in parts, and the record before either: to undo, or to do it again, takes it
// from wherever it stopped. Nothing is written before everything was looked at.
package amend

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"pierhead.dev/pierhead/internal/durable"
)

// maxFile is more than any configuration that is somebody's work, in bytes.
const maxFile = 4 << 20

// Errors, each wrapped with the file that it is about.
var (
	ErrNotWritable = errors.New("it cannot be written")
	ErrNotAFile    = errors.New("it is no regular file")
	ErrTooLarge    = errors.New("it is larger than any configuration")
	ErrMoved       = errors.New("somebody else is changing it at this moment")
	ErrForeign     = errors.New("it belongs to another user")
	ErrLeadsOut    = errors.New("a symbolic link leads elsewhere")
)

// A Target is one file as it shall be.
type Target struct {
	Path   string      // absolute; a symbolic link is followed
	Within string      // a directory out of which no link may lead; "": anywhere
	Mode   fs.FileMode // of a file that is not there yet; its owner is its directory's
	// Edit makes the new content of what is there, nil for no file. What it returns unchanged is left alone, and where that is
	// what there was before the first change, this comes back.
	Edit func(found []byte) ([]byte, error)
}

// A Plan is what would be done.
type Plan struct {
	book   *Book
	name   string
	record record
	steps  []step
	mask   func([]byte) []byte
	kept   []string
}

type step struct {
	entry
	found *file // nil: there is none
	text  []byte
	mode  fs.FileMode
	back  bool // to what there was before the first change
}

type file struct {
	text []byte
	info fs.FileInfo
}

// Plan looks at everything and changes nothing. What is on record under the name and no target any more comes back. mask
// takes out what nobody shall read on a screen; nil shows everything. Errors: those of Edit, and this package's.
func (b *Book) Plan(name string, targets []Target, mask func([]byte) []byte) (*Plan, error) {
	record, err := b.read(name)
	if err != nil {
		return nil, err
	}
	p := &Plan{book: b, name: name, record: record, mask: mask}
	var paths []string
	for _, t := range targets {
		path, err := resolved(t.Path, t.Within)
		if err != nil {
			return nil, err
		}
		if err := p.look(path, t); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	for _, e := range record.Files {
		if !slices.Contains(paths, e.Path) {
			if err := p.release(e); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// release brings back what is no target any more, but for what somebody changed since.
func (p *Plan) release(e entry) error {
	one, ok, err := look(e)
	var lost *lostError
	if errors.As(err, &lost) || err == nil && !ok {
		p.kept = append(p.kept, e.Path)
		return nil
	}
	if err != nil || one.found.sum() == e.Before {
		return err
	}
	if err := writable(e.Path, one.found); err != nil {
		return err
	}
	p.steps = append(p.steps, step{entry: e, found: one.found, text: one.back.bytes(), back: true})
	return nil
}

// look adds one target. What nobody touched since the last time is made anew of what there was before it, so that nothing
// of the last time is left; what somebody touched is taken as it is.
func (p *Plan) look(path string, t Target) (err error) {
	s := step{entry: entry{Path: path}, mode: t.Mode}
	if s.found, err = read(path); err != nil {
		return err
	}
	base, untouched := s.found.bytes(), false
	if old := p.record.find(path); old != nil {
		s.entry = *old
		switch sum := s.found.sum(); {
		case sum == old.Before: // as if it had never been changed
			s.Foreign = false
		case old.Foreign: // theirs is in it, and in nothing that was kept
		case slices.Contains(old.Ours, sum):
			if base, err = old.original(); err != nil {
				return err
			}
			untouched = true
		default:
			s.Foreign = true
		}
	} else {
		s.Before = s.found.sum()
	}
	if s.text, err = t.Edit(base); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(s.text, s.found.bytes()) && (s.found != nil || len(s.text) == 0) {
		return nil
	}
	if err := writable(path, s.found); err != nil {
		return err
	}
	if s.back = untouched && (bytes.Equal(s.text, base) && (base == nil) == (s.text == nil)); !s.back {
		s.Ours = append(slices.Clone(s.Ours[max(0, len(s.Ours)-1):]), sum(s.text))
	}
	p.steps = append(p.steps, s)
	return nil
}

// Changes tells whether there is anything to do.
func (p *Plan) Changes() bool { return len(p.steps) > 0 }

// Paths are the files that would change, and those that would be again what they were.
func (p *Plan) Paths() (written, back []string) {
	for _, s := range p.steps {
		if s.back {
			back = append(back, s.Path)
		} else {
			written = append(written, s.Path)
		}
	}
	return written, back
}

// Kept are the files that are not asked for any more and stay, because somebody changed them since.
func (p *Plan) Kept() []string { return p.kept }

// Diff is the change as a unified diff.
func (p *Plan) Diff() string {
	var text bytes.Buffer
	for _, s := range p.steps {
		text.Write(unified(s.Path, s.found, s.text, p.mask))
	}
	return text.String()
}

func unified(path string, found *file, text []byte, mask func([]byte) []byte) []byte {
	if mask == nil {
		mask = func(b []byte) []byte { return b }
	}
	from, to := path, path
	if found == nil {
		from = "/dev/null"
	}
	if text == nil {
		to = "/dev/null"
	}
	// The first line, "diff old new", is for programs that apply it.
	_, shown, _ := bytes.Cut(diff.Diff(from, mask(found.bytes()), to, mask(text)), []byte("\n"))
	return shown
}

// Apply does it. Errors: ErrMoved where somebody else is at the same at this moment, or was since it was planned.
func (p *Plan) Apply() error {
	if !p.Changes() {
		return nil
	}
	unlock, err := p.book.lock(p.name, p.record)
	if err != nil {
		return err
	}
	defer unlock()
	stamp := p.book.Now().UTC().Format("20060102T150405Z")
	for i := range p.steps {
		s := &p.steps[i]
		if s.found != nil && (s.Backup == "" && s.Before != "") {
			s.Backup = s.Path + ".before-pier-" + stamp
		}
		p.record.put(s.entry)
		p.record.noteDirs(filepath.Dir(s.Path))
	}
	if err := p.book.write(p.name, p.record); err != nil {
		return err
	}
	for _, s := range p.steps {
		p.book.sweep(filepath.Dir(s.Path))
		if err := p.book.apply(s, p.record.Dirs); err != nil {
			return fmt.Errorf("%s: %w", s.Path, err)
		}
	}
	return p.forget()
}

// forget takes from the record what is again as it was, with the directories that were made for it.
func (p *Plan) forget() error {
	was := len(p.record.Files)
	for _, s := range p.steps {
		if s.back {
			p.record.Files = slices.DeleteFunc(p.record.Files, func(e entry) bool { return e.Path == s.Path })
		}
	}
	if len(p.record.Files) == was {
		return nil
	}
	var left []string
	for _, dir := range slices.Backward(p.record.Dirs) {
		gone, err := p.book.rmdir(dir)
		if err != nil {
			return err
		}
		if !gone {
			left = append([]string{dir}, left...)
		}
	}
	if p.record.Dirs = left; len(p.record.Files) == 0 {
		return p.book.remove(p.book.file(p.name))
	}
	return p.book.write(p.name, p.record)
}

func (b *Book) apply(s step, made []string) error {
	if s.back {
		return b.bringBack(undo{entry: s.entry, found: s.found})
	}
	for _, dir := range made {
		if err := b.mkdir(dir); err != nil {
			return err
		}
	}
	now, err := read(s.Path)
	if err != nil {
		return err
	}
	if now.sum() != s.found.sum() {
		return ErrMoved
	}
	if s.Backup != "" && s.found.sum() == s.Before {
		if err := b.keep(s); err != nil {
			return err
		}
	}
	return b.put(s)
}

// keep puts what there is beside itself: the same file by a second name, where the file system can do that.
func (b *Book) keep(s step) error {
	if _, err := os.Lstat(s.Backup); err == nil {
		return nil // from before a crash
	}
	if err := b.Layer.Link(s.Path, s.Backup); err == nil {
		return b.Layer.SyncDir(filepath.Dir(s.Path))
	}
	copied := s
	copied.Path, copied.text = s.Backup, s.found.text
	if err := b.put(copied); err != nil {
		return err
	}
	return os.Chtimes(s.Backup, time.Time{}, s.found.info.ModTime())
}

// put writes a file with the mode and owner of the one that it replaces.
func (b *Book) put(s step) error {
	return durable.WriteFileFrom(b.Layer, s.Path, func(w io.Writer) error {
		if f, ok := w.(*os.File); ok {
			if err := like(f, s); err != nil {
				return err
			}
		}
		_, err := w.Write(s.text)
		return err
	})
}

// like gives a file the mode and owner of the one that it replaces. A new one is its directory's owner's: what root writes
// into somebody's home is for that person.
func like(f *os.File, s step) error {
	if s.found == nil {
		if err := inherit(f.Name()); err != nil {
			return err
		}
		return f.Chmod(s.mode)
	}
	if owner, ok := s.found.info.Sys().(*syscall.Stat_t); ok && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(s.found.info.Mode().Perm())
}

// inherit gives what root made to the owner of the directory that it is in.
func inherit(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

func (b *Book) mkdir(dir string) error {
	err := b.Layer.Mkdir(dir)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = inherit(dir)
	}
	if err == nil {
		err = b.Layer.SyncDir(filepath.Dir(dir))
	}
	return err
}

// read returns nil where there is no file.
func read(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, ErrNotAFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: %w", path, ErrTooLarge)
	}
	return &file{text, info}, err
}

func (f *file) bytes() []byte {
	if f == nil {
		return nil
	}
	return f.text
}

// sum is "" for no file.
func (f *file) sum() string {
	if f == nil {
		return ""
	}
	return sum(f.text)
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}
