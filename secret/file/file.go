// Package file is the secret source of the directory that a node's operator laid out (--secrets-dir): "file:NAME" is
// the file NAME in it.
//
// A reference names only what lies in that directory. NAME is one path segment of letters, digits, '.', '_' and '-'
// that does not begin with a dot. A symbolic link is followed only while it stays inside; an absolute one does not.
// Every Get opens the directory and the file anew, so a rotated secret is seen at once, also where the whole directory
// was swapped. Rotate by renaming a new file over the old: a file that is written in place can be read half-written.
//
// # Whose file it may be
//
// As ssh does for keys, a file that others can write is refused, and so is one that everybody on the machine can read.
// Three things count as private although the file's own mode says otherwise:
//   - a group may read it (root:pierhead 0640 is how services get their secrets);
//   - the directory lets nobody else in (0700 or 0750): then a file's 0644, an editor's default, reaches nobody;
//   - the file is NAME -> ..data/NAME: a Kubernetes secret volume, whose files are 0644 by default, and which exists
//     only inside the pod's own mounts.
//
// Config.AllowWorldReadable takes any file to be readable, for Docker's /run/secrets with its fixed 0444. Nothing
// allows a file that others can write.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"pierhead.dev/pierhead/secret"
)

// Scheme is the scheme of references that this source serves.
const Scheme = "file"

// Config says where the secrets are.
type Config struct {
	Dir                string // the directory; it need not exist yet
	AllowWorldReadable bool   // take files that everybody on this machine can read
}

// A Source reads secrets from one directory.
type Source struct {
	config Config
}

// New makes a Source; it touches nothing yet.
func New(c Config) *Source { return &Source{config: c} }

// Get reads the file. Errors: secret.ErrRef when the name is not a safe path segment; ErrNotFound when there is no such
// file or no directory; ErrNotAllowed when this process may not read it, when others may write or read it, when it is
// not a regular file or a link leaves the directory; ErrContent when it is empty or longer than secret.MaxContent;
// ErrUnreachable when the file system fails.
func (s *Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if ref.Scheme() != Scheme || !safeName(ref.Name()) {
		return secret.Value{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: "not the name of a file in the secrets directory",
			Hint: "write file:NAME with letters, digits, '.', '_' and '-' in NAME, and no dot at its beginning"}
	}
	if err := ctx.Err(); err != nil {
		return secret.Value{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	root, err := os.OpenRoot(s.config.Dir)
	if err != nil {
		return secret.Value{}, s.explain(ref, err)
	}
	defer root.Close()
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	f, err := root.OpenFile(ref.Name(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return secret.Value{}, s.explain(ref, err)
	}
	defer f.Close()
	if err := s.check(root, f, ref); err != nil {
		return secret.Value{}, err
	}
	content, err := io.ReadAll(io.LimitReader(f, secret.MaxContent+1))
	if err != nil {
		return secret.Value{}, s.explain(ref, err)
	}
	return value(ref, content)
}

func value(ref secret.Ref, content []byte) (secret.Value, error) {
	switch {
	case len(content) == 0:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "the file is empty"}
	case len(content) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref,
			Text: fmt.Sprintf("the file is longer than %d KiB", secret.MaxContent>>10)}
	}
	return secret.NewValue(content), nil
}

func safeName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '.' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// check looks at the open file, not at its name, so that nothing can be swapped in between.
func (s *Source) check(root *os.Root, f *os.File, ref secret.Ref) error {
	refuse := func(text, hint string) error {
		return &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: text, Hint: hint}
	}
	info, err := f.Stat()
	if err != nil {
		return s.explain(ref, err)
	}
	dir, err := root.Stat(".")
	if err != nil {
		return s.explain(ref, err)
	}
	shared := dir.Mode().Perm()&0o007 != 0 // others get into the directory
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return refuse("not a regular file", "put the secret's content into a file of that name")
	case mode.Perm()&0o022 != 0:
		return refuse("others than its owner may write the file", "chmod go-w the file")
	case dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0:
		return refuse("everybody may replace files in the secrets directory", "chmod o-w the directory")
	case mode.Perm()&0o004 != 0 && shared && !s.config.AllowWorldReadable && !inKubernetesVolume(root, ref.Name()):
		return refuse("everybody on this machine may read the file", "chmod o-r the file, or chmod 0700 the directory")
	}
	return nil
}

// inKubernetesVolume tells whether name is laid out as the kubelet does: NAME -> ..data/NAME, ..data -> ..<time>.
func inKubernetesVolume(root *os.Root, name string) bool {
	target, err := root.Readlink(name)
	if err != nil || target != "..data/"+name {
		return false
	}
	version, err := root.Readlink("..data")
	return err == nil && strings.HasPrefix(version, "..")
}

// explain turns an error of the file system into one of secret's. It names the directory, which is the operator's and
// no secret, and drops the cause's own text, which may name files outside.
func (s *Source) explain(ref secret.Ref, err error) error {
	e := &secret.Error{Ref: ref}
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Text = secret.ErrNotFound, "no such file in the secrets directory"
		e.Hint = fmt.Sprintf("put the secret into %s/%s on the node (the directory is --secrets-dir)", s.config.Dir, ref.Name())
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Text = secret.ErrNotAllowed, "this process may not read the file"
		e.Hint = fmt.Sprintf("let the agent's user read %s and %s in it", s.config.Dir, ref.Name())
	case errors.As(err, &errno) && errno != syscall.ELOOP && errno != syscall.ENXIO && errno != syscall.ENOTDIR:
		e.Kind, e.Text = secret.ErrUnreachable, "reading the file: "+errno.Error()
	default:
		e.Kind, e.Text = secret.ErrNotAllowed, "not a file inside the secrets directory"
		e.Hint = "a symbolic link may be relative only and must stay inside the directory"
	}
	return e
}
