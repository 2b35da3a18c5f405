package durable

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked says that another process has the lock.
var ErrLocked = errors.New("in use by another process")

// A Lock keeps other processes away from a directory until it is closed or this process ends.
type Lock struct{ f *os.File }

// AcquireLock locks a file, which it makes where there is none. Error: ErrLocked, with the other's process id.
func AcquireLock(name string) (*Lock, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := holderOf(f)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w%s", name, ErrLocked, holder)
		}
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	// The id is for people only, so it does not matter whether it could be written.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{f: f}, nil
}

func holderOf(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	if id, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", id)
	}
	return ""
}

// Close gives the lock back. The file stays: removing it would let two others lock two different files.
func (l *Lock) Close() error { return l.f.Close() }
