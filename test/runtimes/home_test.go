package runtimes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pullWithin is how long any command may take.
const pullWithin = time.Minute

// A home is what somebody has who pulls: their configuration in the usual places, and a store of images. Nothing in its
// environment is Pierhead's, but that its programs are on the PATH.
type home struct {
	w   *world
	dir string
	env []string
}

// settle makes an empty one, with the machine's /etc/containers.
func (w *world) settle(t *testing.T, name string) *home {
	t.Helper()
	h := &home{w: w, dir: filepath.Join(w.Dir, "homes", name)}
	for _, place := range []string{"store", "run", "libpod"} {
		must(t, os.MkdirAll(filepath.Join(h.dir, place), 0o700))
	}
	must(t, os.CopyFS(filepath.Join(h.dir, "etc"), os.DirFS("/etc/containers")))
	h.env = []string{"PATH=" + filepath.Dir(built("pier")) + ":" + os.Getenv("PATH"), "HOME=" + h.dir, "DOCKER_HOST=" + w.docker}
	return h
}

// inHome has the containers project's programs find the home's own things, whose places are the machine's for root.
const inHome = `mount --bind "$HOME/etc" /etc/containers
mount --bind "$HOME/store" /var/lib/containers
mount --bind "$HOME/run" /run/containers
mount --bind "$HOME/libpod" /run/libpod
exec "$@"`

// run is a command typed at home. said is all that it said, and out what it wrote to stdout; err is why it ended badly.
func (h *home) run(t *testing.T, words ...string) (out, said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pullWithin)
	defer cancel()
	command := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-ec", inHome, "sh"}, words...)...)
	command.Dir, command.Env = h.dir, h.env
	var stdout, both bytes.Buffer
	command.Stdout, command.Stderr = tee{&stdout, &both}, &both
	err = command.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, errors.New("it did not end"))
	}
	h.write(t, fmt.Sprintf("said/%d", h.w.commands.Add(1)), strings.Join(words, " ")+"\n"+both.String())
	return strings.TrimSpace(stdout.String()), both.String(), err
}

// tee writes to both.
type tee [2]*bytes.Buffer

func (t tee) Write(p []byte) (int, error) {
	t[0].Write(p)
	return t[1].Write(p)
}

// must is a command that ends well.
func (h *home) must(t *testing.T, words ...string) (out string) {
	t.Helper()
	out, said, err := h.run(t, words...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, said)
	}
	return out
}

// write puts a file into the home.
func (h *home) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(h.dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o600))
}
