// Package tokendir reads the OIDC tokens that a platform put on this node, below directories that its operator listed
// (--token-dir). It is for exchanges by federation, whose secrets name such a file: which files those may be is never a
// secret's to say.
package tokendir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// MaxToken is the longest token, in bytes.
const MaxToken = 64 << 10

// What Read can answer, found with errors.Is. ErrOutside also hides whether there is such a file.
var (
	ErrOutside  = errors.New("not below a directory of tokens")
	ErrAbsent   = errors.New("no such token")
	ErrUnusable = errors.New("no usable token")
)

// Dirs are the directories, as absolute paths.
type Dirs []string

// Read returns the content of the file name, which lies below one of the directories by whole segments: in the directory's
// own name, or in what that resolves to. Symbolic links within are followed while they stay inside and are relative, as
// those of Kubernetes' volumes; a name with ".." in it is refused. The content is read anew each time and has no space
// around it. Errors: ErrOutside, ErrAbsent, ErrUnusable; none has a part of the content.
func (d Dirs) Read(name string) ([]byte, error) {
	if !filepath.IsAbs(name) || filepath.Clean(name) != name || strings.ContainsRune(name, 0) {
		return nil, ErrOutside
	}
	for _, dir := range d {
		resolved, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue // not there yet: nothing is below it
		}
		for _, base := range []string{filepath.Clean(dir), resolved} {
			if rest, below := strings.CutPrefix(name, strings.TrimSuffix(base, "/")+"/"); below {
				return read(resolved, rest)
			}
		}
	}
	return nil, ErrOutside
}

// read opens by os.Root: nothing that is swapped in meanwhile leads out.
func read(dir, rest string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, explain(err)
	}
	defer root.Close()
	f, err := root.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK, 0) // O_NONBLOCK: a named pipe would wait for its writer
	if err != nil {
		return nil, explain(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a regular file", ErrUnusable)
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxToken+1))
	switch content = bytes.TrimSpace(content); {
	case err != nil:
		return nil, explain(err)
	case len(content) == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrUnusable)
	case len(content) > MaxToken:
		return nil, fmt.Errorf("%w: the file is longer than %d KiB", ErrUnusable, MaxToken>>10)
	}
	return content, nil
}

// explain tells the reasons apart that somebody can do something about.
func explain(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrAbsent
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this process may not read the file", ErrUnusable)
	case errors.As(err, &errno):
		return fmt.Errorf("%w: %v", ErrUnusable, errno)
	}
	return ErrOutside // os.Root says so where a link leads out
}
