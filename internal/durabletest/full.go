package durabletest

import (
	"sync/atomic"
	"syscall"

	"pierhead.dev/pierhead/internal/durable"
)

// NoSync is the operating system's files without waiting for the disk: for tests that look at the result only.
type NoSync struct{ durable.OS }

// Create makes a file that does not sync.
func (n NoSync) Create(name string) (durable.File, error) { return noSync(n.OS.Create(name)) }

// Append opens a file that does not sync.
func (n NoSync) Append(name string) (durable.File, error) { return noSync(n.OS.Append(name)) }

// SyncDir does nothing.
func (NoSync) SyncDir(string) error { return nil }

func noSync(f durable.File, err error) (durable.File, error) {
	if err != nil {
		return nil, err
	}
	return noSyncFile{f}, nil
}

type noSyncFile struct{ durable.File }

func (noSyncFile) Sync() error { return nil }

// A Disk is a Layer with so many bytes of space; when they are used up, writes stop in the middle with ENOSPC.
type Disk struct {
	durable.Layer
	Free atomic.Int64 // bytes
}

// NewDisk returns a Disk over the operating system's files.
func NewDisk(free int64) *Disk {
	d := &Disk{Layer: durable.OS{}}
	d.Free.Store(free)
	return d
}

// Create makes a file, which takes space itself.
func (d *Disk) Create(name string) (durable.File, error) {
	if d.Free.Load() <= 0 {
		return nil, syscall.ENOSPC
	}
	f, err := d.Layer.Create(name)
	if err != nil {
		return nil, err
	}
	return &limited{File: f, disk: d}, nil
}

// Append opens a file.
func (d *Disk) Append(name string) (durable.File, error) {
	f, err := d.Layer.Append(name)
	if err != nil {
		return nil, err
	}
	return &limited{File: f, disk: d}, nil
}

// Mkdir makes a directory, which takes space itself.
func (d *Disk) Mkdir(name string) error {
	if d.Free.Load() <= 0 {
		return syscall.ENOSPC
	}
	return d.Layer.Mkdir(name)
}

type limited struct {
	durable.File
	disk *Disk
}

func (f *limited) Write(p []byte) (int, error) {
	left := f.disk.Free.Add(-int64(len(p)))
	if left >= 0 {
		return f.File.Write(p)
	}
	fits := int64(len(p)) + left
	if fits <= 0 {
		return 0, syscall.ENOSPC
	}
	n, err := f.File.Write(p[:fits])
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}
