package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"pierhead.dev/pierhead"
)

// maxLog is how much of an execution's log is kept as it comes, in bytes. The control plane takes 64 MiB; what is left of
// that is for the end of a log that is longer, where the reason of a failure mostly stands, and for what we say ourselves.
const maxLog = 64<<20 - maxTail - maxFooter

const (
	maxTail   = 1 << 20
	maxFooter = 64 << 10
)

// maxChunk is how much of a log goes to the server in one request, in bytes.
const maxChunk = 512 << 10

// An executionLog is one execution's log on the node's disk. It grows here first, whatever the control plane does, and is
// shipped from wherever the server says that it stands; so a restart of either side neither loses nor repeats a byte.
type executionLog struct {
	mu      sync.Mutex
	file    *os.File
	size    int64
	dropped int64         // bytes beyond maxLog
	tail    []byte        // the last of them, mostly more than maxTail
	grew    chan struct{} // closed and replaced at every write
	ended   bool          // nothing more will be written
}

func openLog(path string) (*executionLog, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of an execution: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("log of an execution: %w", err)
	}
	return &executionLog{file: file, size: size, grew: make(chan struct{})}, nil
}

// Write appends; of what is over maxLog the end is kept for Finish.
func (l *executionLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := p
	if room := maxLog - l.size; int64(len(p)) > room {
		kept = p[:max(room, 0)]
		l.drop(p[len(kept):])
	}
	if err := l.append(kept); err != nil {
		return 0, err
	}
	return len(p), nil
}

// drop counts what does not fit and remembers the end of it.
func (l *executionLog) drop(p []byte) {
	l.dropped += int64(len(p))
	l.tail = append(l.tail, p...)
	if len(l.tail) > 2*maxTail {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-maxTail:]...)
	}
}

// Finish appends the end of a log that did not fit, with a line that says how much is missing before it.
func (l *executionLog) Finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	tail := l.tail[max(0, len(l.tail)-maxTail):]
	if whole := bytes.IndexByte(tail, '\n') + 1; int64(len(tail)) < l.dropped && whole < len(tail)/2 {
		tail = tail[whole:] // it begins with a whole line, where there are lines
	}
	if missing := l.dropped - int64(len(tail)); missing > 0 {
		tail = fmt.Appendf(nil, "\n[The log is too long: %d bytes are left out here.]\n%s", missing, tail)
	}
	l.tail, l.dropped = nil, 0
	return l.append(tail)
}

// EndsLine tells whether the next byte begins a line.
func (l *executionLog) EndsLine() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last [1]byte
	_, err := l.file.ReadAt(last[:], l.size-1)
	return l.size == 0 || err == nil && last[0] == '\n'
}

// Note appends a line of ours, even when the log is full.
func (l *executionLog) Note(format string, arguments ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append([]byte(fmt.Sprintf(format, arguments...) + "\n"))
}

func (l *executionLog) append(p []byte) error {
	n, err := l.file.WriteAt(p, l.size)
	l.size += int64(n)
	close(l.grew)
	l.grew = make(chan struct{})
	if err != nil {
		return fmt.Errorf("log of an execution: %w", err)
	}
	return nil
}

// Cut takes the log back to size bytes: what followed is written again.
func (l *executionLog) Cut(size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if size >= l.size {
		return nil
	}
	if err := l.file.Truncate(size); err != nil {
		return fmt.Errorf("log of an execution: %w", err)
	}
	l.size = size
	return nil
}

// Restart begins the log anew with what it is known to begin with.
func (l *executionLog) Restart(head string) error {
	if err := l.Cut(0); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append([]byte(head))
}

// Sync keeps the log on disk, whatever happens to the machine.
func (l *executionLog) Sync() error {
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("log of an execution: %w", err)
	}
	return nil
}

// Size is the bytes written so far.
func (l *executionLog) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// Dropped is the bytes that did not fit.
func (l *executionLog) Dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// End says that nothing more will be written, so that ship can finish.
func (l *executionLog) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	close(l.grew)
	l.grew = make(chan struct{})
}

// Close gives the file back; the log stays on disk.
func (l *executionLog) Close() error { return l.file.Close() }

func (l *executionLog) state() (size int64, ended bool, grew <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size, l.ended, l.grew
}

// ship sends the log until it ended and all of it arrived, or ctx ends. send returns how much the server has; it is
// asked again after a failure, at first soon and then every few seconds, for as long as it takes. A server that has less
// than it said, because it was set back to a backup, gets the log from its beginning.
func (l *executionLog) ship(ctx context.Context, send func(ctx context.Context, offset int64, data []byte) (int64, error)) error {
	var at int64
	again := false
	wait := newBackoff()
	buffer := make([]byte, maxChunk)
	for {
		size, ended, grew := l.state()
		if at >= size {
			if ended {
				return nil
			}
			select {
			case <-grew:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		n, err := l.file.ReadAt(buffer[:min(maxChunk, size-at)], at)
		if err != nil && err != io.EOF {
			return fmt.Errorf("log of an execution: %w", err)
		}
		has, err := send(ctx, at, buffer[:n])
		switch {
		case errors.Is(err, pierhead.ErrConflict) && at > 0 && !again:
			at, again = 0, true
		case permanent(err):
			return err
		case err != nil:
			if err := wait.pause(ctx); err != nil {
				return err
			}
		default:
			at = has
			wait.reset()
		}
	}
}

// A backoff is the pause between tries: it doubles from 100 ms to 5 s.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{next: 100 * time.Millisecond} }

func (b *backoff) reset() { b.next = 100 * time.Millisecond }

func (b *backoff) pause(ctx context.Context) error {
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	b.next = min(2*b.next, 5*time.Second)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
