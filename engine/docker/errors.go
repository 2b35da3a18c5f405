package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
)

// failed wraps an error of the engine with what was being done. A lost or refused connection becomes
// engine.ErrUnreachable and names the socket; a 404 becomes engine.ErrNotFound.
func (e *Engine) failed(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, engine.ErrUnreachable), errors.Is(err, engine.ErrNotFound):
		return fmt.Errorf("%s: %w", doing, err)
	case connectionLost(err):
		return fmt.Errorf("%s: %w at %s: %v", doing, engine.ErrUnreachable, e.address, err) // %v: the cause is only told
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w: %s", doing, engine.ErrNotFound, engineWords(err))
	}
	return fmt.Errorf("%s: %s", doing, engineWords(err))
}

// connectionLost tells a connection that could not be made, or broke off, from an answer.
func connectionLost(err error) bool {
	var network *net.OpError
	return client.IsErrConnectionFailed(err) || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// engineWords is the engine's own sentence, without the client library's preface.
func engineWords(err error) string {
	return strings.TrimPrefix(err.Error(), "Error response from daemon: ")
}

// noCommand finds the sentences with which runc and crun say that the first program is not in the image. They are read
// this closely because "no such file or directory" alone is also said of a mount's missing source, and because
// Podman adds "attempted to invoke a command that was not found" to either.
//
//	runc: exec: "nope": executable file not found in $PATH      exec: "/nope": stat /nope: no such file or directory
//	crun: executable file `nope` not found in $PATH             executable file `/nope` not found: No such file or directory
var noCommand = regexp.MustCompile("exec: \"[^\"]*\": (executable file not found|(stat [^:]*: )?no such file or directory)|" +
	"executable file [`'\"][^`'\"]*[`'\"] not found")

// notExecutable finds what they say of a directory, or of a file without the bit for it.
//
//	runc: exec: "/train.sh": permission denied      crun: open executable: Permission denied
var notExecutable = regexp.MustCompile("exec: \"[^\"]*\": permission denied|open executable: Permission denied")
