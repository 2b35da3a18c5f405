// Package durabletest is a file layer that records every change and can rebuild the directory that a crash would have
// left after any of them, and one whose disk is full.
package durabletest

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"pierhead.dev/pierhead/internal/durable"
)

type kind int

const (
	opCreate kind = iota
	opWrite
	opTruncate
	opSync
	opRename
	opLink
	opRemove
	opMkdir
	opSyncDir
)

func (k kind) String() string {
	return [...]string{"create", "write", "truncate", "sync", "rename", "link", "remove", "mkdir", "syncdir"}[k]
}

// An op is one change. Paths are relative to the root; writes, truncates and syncs name the file by the number of the
// Create that made it, as a file keeps its content when it is renamed.
type op struct {
	kind     kind
	from, to string
	inode    int
	data     []byte
	size     int64
}

func (o op) String() string { return strings.TrimSpace(fmt.Sprintf("%s %s %s", o.kind, o.from, o.to)) }

// A Recorder is a Layer over the operating system's that remembers what was done below its root.
type Recorder struct {
	root string
	os   durable.OS

	mu     sync.Mutex
	ops    []op
	inodes map[string]int // current path -> inode
	next   int
}

var _ durable.Layer = (*Recorder)(nil)

// NewRecorder records what happens below root, which exists and is empty.
func NewRecorder(root string) *Recorder {
	return &Recorder{root: filepath.Clean(root), inodes: map[string]int{}}
}

// Len returns how many changes there were. What was acknowledged before it must survive a crash after it.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// Op describes the change before Len n, for messages.
func (r *Recorder) Op(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == 0 {
		return "nothing"
	}
	return r.ops[n-1].String()
}

func (r *Recorder) rel(name string) string {
	rel, err := filepath.Rel(r.root, name)
	if err != nil || strings.HasPrefix(rel, "..") {
		panic("durabletest: " + name + " is outside of " + r.root)
	}
	return rel
}

// do makes a change and records it when it succeeded, in the order in which they happened.
func (r *Recorder) do(change func() error, record func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := change(); err != nil {
		return err
	}
	record()
	return nil
}

// Create makes a file.
func (r *Recorder) Create(name string) (durable.File, error) {
	var f durable.File
	inode := 0
	err := r.do(func() (err error) { f, err = r.os.Create(name); return err }, func() {
		r.next++
		inode = r.next
		r.inodes[r.rel(name)] = inode
		r.ops = append(r.ops, op{kind: opCreate, to: r.rel(name), inode: inode})
	})
	if err != nil {
		return nil, err
	}
	return &file{File: f, recorder: r, inode: inode}, nil
}

// Append opens a file.
func (r *Recorder) Append(name string) (durable.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := r.os.Append(name)
	if err != nil {
		return nil, err
	}
	inode, ok := r.inodes[r.rel(name)]
	if !ok {
		panic("durabletest: " + name + " was not made by this layer")
	}
	return &file{File: f, recorder: r, inode: inode}, nil
}

// Rename moves a file.
func (r *Recorder) Rename(from, to string) error {
	return r.do(func() error { return r.os.Rename(from, to) }, func() {
		r.inodes[r.rel(to)] = r.inodes[r.rel(from)]
		delete(r.inodes, r.rel(from))
		r.ops = append(r.ops, op{kind: opRename, from: r.rel(from), to: r.rel(to)})
	})
}

// Link makes a hard link.
func (r *Recorder) Link(from, to string) error {
	return r.do(func() error { return r.os.Link(from, to) }, func() {
		r.inodes[r.rel(to)] = r.inodes[r.rel(from)]
		r.ops = append(r.ops, op{kind: opLink, from: r.rel(from), to: r.rel(to)})
	})
}

// Remove takes away a file or an empty directory.
func (r *Recorder) Remove(name string) error {
	return r.do(func() error { return r.os.Remove(name) }, func() {
		delete(r.inodes, r.rel(name))
		r.ops = append(r.ops, op{kind: opRemove, from: r.rel(name)})
	})
}

// Mkdir makes a directory.
func (r *Recorder) Mkdir(name string) error {
	return r.do(func() error { return r.os.Mkdir(name) }, func() {
		r.ops = append(r.ops, op{kind: opMkdir, to: r.rel(name)})
	})
}

// SyncDir records that the names in a directory are kept; the real disk need not be asked.
func (r *Recorder) SyncDir(name string) error {
	return r.do(func() error { return nil }, func() {
		r.ops = append(r.ops, op{kind: opSyncDir, from: r.rel(name)})
	})
}

type file struct {
	durable.File
	recorder *Recorder
	inode    int
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.recorder.do(func() (err error) { n, err = f.File.Write(p); return err }, func() {
		f.recorder.ops = append(f.recorder.ops, op{kind: opWrite, inode: f.inode, data: append([]byte(nil), p...)})
	})
	return n, err
}

func (f *file) Truncate(size int64) error {
	return f.recorder.do(func() error { return f.File.Truncate(size) }, func() {
		f.recorder.ops = append(f.recorder.ops, op{kind: opTruncate, inode: f.inode, size: size})
	})
}

func (f *file) Sync() error {
	return f.recorder.do(func() error { return nil }, func() {
		f.recorder.ops = append(f.recorder.ops, op{kind: opSync, inode: f.inode})
	})
}

// After returns a recorder that stands after the first n changes, for a second process that goes on where the first was
// killed. Rebuild its directory with Kept and MoveTo it before it is used.
func (r *Recorder) After(n int) *Recorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	after := &Recorder{root: r.root, ops: append([]op(nil), r.ops[:n]...), inodes: map[string]int{}, next: r.next}
	for _, o := range after.ops {
		switch o.kind {
		case opCreate:
			after.inodes[o.to] = o.inode
		case opRename:
			after.inodes[o.to] = after.inodes[o.from]
			delete(after.inodes, o.from)
		case opLink:
			after.inodes[o.to] = after.inodes[o.from]
		case opRemove:
			delete(after.inodes, o.from)
		}
	}
	return after
}

// MoveTo makes the recorder stand for another directory of the same content.
func (r *Recorder) MoveTo(root string) { r.root = filepath.Clean(root) }
