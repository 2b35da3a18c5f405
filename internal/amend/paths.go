package amend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// resolved follows symbolic links: it is the file at their end that programs read.
func resolved(path, within string) (string, error) {
	if err := ownLinks(path); err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSymlink {
			return "", fmt.Errorf("%s points to a file that is not there: %w", path, ErrNotAFile)
		}
		real, err = beyond(path)
	}
	if err == nil && within != "" {
		var root string
		if root, err = filepath.EvalSymlinks(within); err == nil && !strings.HasPrefix(real, strings.TrimSuffix(root, "/")+"/") {
			err = fmt.Errorf("%s is %s, which is not in %s: %w", path, real, within, ErrLeadsOut)
		}
	}
	return real, err
}

// beyond is the real path of what is not there yet: links before it are followed.
func beyond(path string) (string, error) {
	dir, rest := filepath.Dir(path), filepath.Base(path)
	for {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
		dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
	}
}

// ownLinks looks at every symbolic link on the way. One that a user made leads root to that user's own files only: else who
// has a directory that root was asked to write into would choose which of root's files are changed.
func ownLinks(path string) error {
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(filepath.Clean(path), "/"), "/") {
		at = filepath.Join(at, part)
		link, err := os.Lstat(at)
		if err != nil {
			return nil // the rest is not there, or nobody's to look at: opening it says so
		}
		if link.Mode().Type() != fs.ModeSymlink {
			continue
		}
		end, err := os.Stat(at)
		if err != nil {
			return nil
		}
		from, ok := link.Sys().(*syscall.Stat_t)
		to, too := end.Sys().(*syscall.Stat_t)
		if ok && too && from.Uid != 0 && int(from.Uid) != os.Geteuid() && from.Uid != to.Uid {
			return fmt.Errorf("%s: another user's link to what is not that user's: %w", at, ErrLeadsOut)
		}
		if at, err = filepath.EvalSymlinks(at); err != nil {
			return err
		}
	}
	return nil
}

// writable tells whether a file can be put there, before anything is.
func writable(path string, found *file) error {
	if found != nil && os.Geteuid() != 0 {
		if owner, ok := found.info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
			return fmt.Errorf("%s: %w", path, ErrForeign)
		}
	}
	dir := filepath.Dir(path)
	for {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return fmt.Errorf("%s: %w: %v in %s", path, ErrNotWritable, err, dir) // %v: whose error it is matters to nobody
		}
		dir = filepath.Dir(dir)
	}
}
