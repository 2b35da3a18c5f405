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
	"pierhead.dev/pierhead/internal/skip"
)

// endTime is how long an engine may take to say that a container has ended after it has ended its log.
const endTime = 5 * time.Second

// Logs writes the container's output from its beginning, stdout and stderr in the order that the engine kept. With
// follow it returns when the container ended and all of its output was written. A log that broke off is an error,
// mostly engine.ErrUnreachable: the same bytes come again when it is read again.
func (e *Engine) Logs(ctx context.Context, id string, follow bool, to io.Writer) error {
	doing := "reading the log of container " + id
	a, err := e.ask(ctx)
	switch {
	case err != nil:
		return err
	case a.podman:
		err = e.podmanLog(ctx, id, follow, to)
	case follow:
		err = e.followLog(ctx, id, to)
	default:
		err = e.copyLog(ctx, id, false, to)
	}
	return e.failed(doing, err)
}

// followLog reads the log as it grows, and once more when the container has ended: Docker (seen with 20.10) sometimes
// ends a followed log before it has sent a last line that has no newline.
func (e *Engine) followLog(ctx context.Context, id string, to io.Writer) error {
	followed := &skip.Writer{To: to}
	if err := e.copyLog(ctx, id, true, followed); err != nil {
		return err
	}
	if err := e.reallyEnded(ctx, id); err != nil {
		return err
	}
	return e.copyLog(ctx, id, false, &skip.Writer{To: to, Skip: followed.Passed})
}

// reallyEnded says whether a log that ended was at its end: only when the container is. An engine that is stopped may
// end the log of a running container as if that were all.
func (e *Engine) reallyEnded(ctx context.Context, id string) error {
	waiting, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	_, err := e.Wait(waiting, id)
	if waiting.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w at %s: it ended the log of a container that runs", engine.ErrUnreachable, e.address)
	}
	return err
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
