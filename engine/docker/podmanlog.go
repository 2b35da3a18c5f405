package docker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/internal/skip"
)

const (
	logInterval = 100 * time.Millisecond // between two looks at a log that grows
	logLine     = 1 << 20                // bytes of the longest line of a log file; conmon's have some 8 KiB
)

// podmanLog reads a log of Podman without its "follow": that (up to Podman 5.8 at least) drops lines which it meets half
// written, ends before the end of a log that grew fast, and never ends when the container does so in the wrong moment.
func (e *Engine) podmanLog(ctx context.Context, id string, follow bool, to io.Writer) error {
	found, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	log := e.openLog(id, found.Container.LogPath)
	defer closeQuietly(log)
	running := state(found.Container).Running
	if !running || !follow {
		return log.more(ctx, to, true)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Wait(ctx, id)
		ended <- err
	}()
	for {
		if err := log.more(ctx, to, false); err != nil {
			return err
		}
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
			return log.more(ctx, to, true)
		case <-time.After(logInterval):
		}
	}
}

// A growingLog writes what has come since it was last asked; last says that it will not be asked again.
type growingLog interface {
	more(ctx context.Context, to io.Writer, last bool) error
	io.Closer
}

// openLog reads the log's file where this user may, which an agent with a Podman of its own or of root's may, and asks
// the engine for the log elsewhere.
func (e *Engine) openLog(id, path string) growingLog {
	if path != "" {
		if file, err := os.Open(path); err == nil {
			return &fileLog{file: file}
		}
	}
	return &askedLog{read: func(ctx context.Context, to io.Writer) error { return e.copyLog(ctx, id, false, to) }}
}

// fileLog is a log in the format that conmon calls k8s-file: "<time> <stdout|stderr> <F|P> <content>\n", where P is a
// part of a line: its content is followed by no line end. A line without its end is not complete yet.
type fileLog struct {
	file   *os.File
	offset int64 // of the first line not yet read
}

func (l *fileLog) Close() error { return l.file.Close() }

func (l *fileLog) more(ctx context.Context, to io.Writer, _ bool) error {
	lines := bufio.NewReaderSize(io.NewSectionReader(l.file, l.offset, 1<<62), logLine)
	out := bufio.NewWriter(to)
	for ctx.Err() == nil {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return fmt.Errorf("log file %s: %w", l.file.Name(), err)
		}
		l.offset += int64(len(line))
		content, err := logContent(line)
		if err != nil {
			return fmt.Errorf("log file %s: %w", l.file.Name(), err)
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// logContent returns what a container wrote with a line of its log file, which ends in "\n".
func logContent(line []byte) ([]byte, error) {
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) != 4 || len(fields[2]) == 0 {
		return nil, errFrame
	}
	switch fields[2][0] {
	case 'F':
		return fields[3], nil
	case 'P':
		return fields[3][:len(fields[3])-1], nil
	}
	return nil, errFrame
}

// askedLog is a log that can only be read from its beginning to what is its end by now.
type askedLog struct {
	read func(ctx context.Context, to io.Writer) error
	had  int64         // bytes written so far
	held []byte        // what came after them and may be half a line
	when time.Time     // of the last reading
	rest time.Duration // to leave after it: readings get longer as the log does
}

func (l *askedLog) Close() error { return nil }

func (l *askedLog) more(ctx context.Context, to io.Writer, last bool) error {
	begun := time.Now()
	if !last && begun.Sub(l.when) < l.rest {
		return nil
	}
	fresh := &skip.Writer{To: to, Skip: l.had}
	end := &holder{to: fresh}
	err := l.read(ctx, end)
	// What still is the end after a while is whole.
	if err == nil && (last || fresh.Passed == 0 && bytes.Equal(end.held, l.held)) {
		err = end.release()
	}
	l.had += fresh.Passed
	l.held = end.held
	l.when = time.Now()
	l.rest = 10 * l.when.Sub(begun)
	return err
}

// holder holds back what was written last: Podman ends a line that it meets half written as if it were whole.
type holder struct {
	to   io.Writer
	held []byte
}

func (h *holder) Write(p []byte) (int, error) {
	if err := h.release(); err != nil {
		return 0, err
	}
	h.held = append(h.held[:0], p...)
	return len(p), nil
}

func (h *holder) release() error {
	_, err := h.to.Write(h.held)
	h.held = h.held[:0]
	return err
}
