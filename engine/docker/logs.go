package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
)

// drainTime is how long a log may be silent after its container has ended before it is taken for stuck.
const drainTime = 2 * time.Second

// Logs writes the container's output from its beginning, stdout and stderr in the order that the engine kept. With
// follow it returns when the container ended and all of its output was written. A log that broke off is an error,
// mostly engine.ErrUnreachable: the same bytes come again when it is read again.
func (e *Engine) Logs(ctx context.Context, id string, follow bool, to io.Writer) error {
	doing := "reading the log of container " + id
	if follow {
		return e.failed(doing, e.follow(ctx, id, to))
	}
	return e.failed(doing, e.copyLog(ctx, id, false, to))
}

// follow copies the log while the container runs, and asks on a second connection whether it does: Podman 4 can miss
// the end of a container and then never ends the log, and a service that is stopped ends the log of a running
// container as if that were all.
func (e *Engine) follow(ctx context.Context, id string, to io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Wait(ctx, id)
		ended <- err
	}()
	out := &counter{to: to, wrote: make(chan struct{}, 1)}
	copied := make(chan error, 1)
	copying, stop := context.WithCancel(ctx)
	defer stop()
	go func() { copied <- e.copyLog(copying, id, true, out) }()

	select {
	case err := <-copied:
		return e.reallyEnded(err, ended)
	case err := <-ended:
		if err != nil {
			stop()
			<-copied // nothing may be written after the return
			return err
		}
	}
	for {
		select {
		case err := <-copied:
			return err
		case <-out.wrote:
		case <-time.After(drainTime):
			stop()
			<-copied
			return e.copyLog(ctx, id, false, &skipper{to: to, skip: out.n})
		}
	}
}

// reallyEnded says whether a log that ended was at its end: only when the container is.
func (e *Engine) reallyEnded(copyError error, ended <-chan error) error {
	if copyError != nil {
		return copyError
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(drainTime):
		return fmt.Errorf("%w at %s: it ended the log of a container that runs", engine.ErrUnreachable, e.address)
	}
}

func (e *Engine) copyLog(ctx context.Context, id string, follow bool, to io.Writer) error {
	log, err := e.api.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow})
	if err != nil {
		return err
	}
	defer closeQuietly(log)
	err = demultiplex(to, log)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// errFrame is a log that is not in the engines' format.
var errFrame = errors.New("the engine's log is not in the expected format")

// demultiplex copies what is in the frames of a container's output, whichever stream it was on. A frame is one byte
// of stream (0 stdin, 1 stdout, 2 stderr, 3 an error of the engine), three zero bytes, the length as a big-endian
// uint32, and so many bytes (Docker Engine API, "Attach to a container"). The library's stdcopy takes an end in the
// middle of a frame for a good one; here it is io.ErrUnexpectedEOF.
func demultiplex(to io.Writer, from io.Reader) error {
	var header [8]byte
	for {
		_, err := io.ReadFull(from, header[:])
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header[0] > 3 || header[1]|header[2]|header[3] != 0 {
			return errFrame
		}
		frame := &io.LimitedReader{R: from, N: int64(binary.BigEndian.Uint32(header[4:]))}
		if header[0] == 3 {
			words, err := io.ReadAll(io.LimitReader(frame, libpodErrorLimit))
			return errors.Join(fmt.Errorf("the engine says in the log: %s", words), err)
		}
		if err := copyFrame(to, frame); err != nil {
			return err
		}
	}
}

func copyFrame(to io.Writer, frame *io.LimitedReader) error {
	_, err := io.Copy(to, frame)
	if err == nil && frame.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// counter counts what goes through it and tells when something did. n is read only when nobody writes.
type counter struct {
	to    io.Writer
	n     int64
	wrote chan struct{} // of capacity 1
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	select {
	case c.wrote <- struct{}{}:
	default:
	}
	return n, err
}

// skipper leaves out the first skip bytes.
type skipper struct {
	to   io.Writer
	skip int64
}

func (s *skipper) Write(p []byte) (int, error) {
	left := min(s.skip, int64(len(p)))
	s.skip -= left
	if left == int64(len(p)) {
		return len(p), nil
	}
	n, err := s.to.Write(p[left:])
	return int(left) + n, err
}
