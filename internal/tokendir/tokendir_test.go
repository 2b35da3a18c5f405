package tokendir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pierhead.dev/pierhead/internal/tokendir"
)

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	do(t, err)
	at := func(name string) string { return filepath.Join(top, name) }
	do(t, os.MkdirAll(at("tokens/..2026"), 0o700))
	do(t, os.MkdirAll(at("tokens-of-others"), 0o700))
	do(t, os.WriteFile(at("tokens/..2026/gcp"), []byte(" token\n"), 0o600))
	do(t, os.Symlink("..2026", at("tokens/..data")))
	do(t, os.Symlink("..data/gcp", at("tokens/gcp"))) // as the kubelet lays it out
	do(t, os.WriteFile(at("tokens-of-others/x"), []byte("hunter2"), 0o600))
	do(t, os.WriteFile(at("shadow"), []byte("hunter2"), 0o600))
	do(t, os.Symlink("../shadow", at("tokens/out")))
	do(t, os.Symlink(at("shadow"), at("tokens/absolute")))
	do(t, os.Symlink("..", at("tokens/up")))
	do(t, os.WriteFile(at("tokens/empty"), []byte(" \n"), 0o600))
	do(t, os.WriteFile(at("tokens/long"), []byte(strings.Repeat("x", tokendir.MaxToken+1)), 0o600))
	do(t, syscall.Mkfifo(at("tokens/pipe"), 0o600))
	do(t, os.Symlink("tokens", at("alias")))

	for name, want := range map[string]error{
		"tokens/gcp": nil, "tokens/..2026/gcp": nil,
		"tokens/absent": tokendir.ErrAbsent, "tokens/empty": tokendir.ErrUnusable, "tokens/long": tokendir.ErrUnusable, "tokens/pipe": tokendir.ErrUnusable, "tokens/..2026": tokendir.ErrUnusable,
		"shadow": tokendir.ErrOutside, "absent": tokendir.ErrOutside, "tokens-of-others/x": tokendir.ErrOutside, "tokens": tokendir.ErrOutside,
		"tokens/out": tokendir.ErrOutside, "tokens/absolute": tokendir.ErrOutside, "tokens/up/shadow": tokendir.ErrOutside,
	} {
		content, err := tokendir.Dirs{at("nowhere"), at("tokens")}.Read(at(name))
		if !errors.Is(err, want) || want == nil && string(content) != "token" || want != nil && content != nil {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	for _, name := range []string{at("tokens") + "/../shadow", at("tokens") + "/./gcp", "tokens/gcp", "", "/", "/etc/passwd", at("tokens/gcp") + "\x00", at("tokens") + "//gcp"} {
		if content, err := (tokendir.Dirs{at("tokens")}).Read(name); !errors.Is(err, tokendir.ErrOutside) {
			t.Errorf("%q: %q, %v", name, content, err)
		}
	}
	// A directory that is a link serves under its own name and under the one it leads to.
	for _, name := range []string{"alias/gcp", "tokens/gcp"} {
		if content, err := (tokendir.Dirs{at("alias")}).Read(at(name)); err != nil || string(content) != "token" {
			t.Errorf("%s by its alias: %q, %v", name, content, err)
		}
	}
	if _, err := (tokendir.Dirs(nil)).Read(at("tokens/gcp")); !errors.Is(err, tokendir.ErrOutside) {
		t.Error(err)
	}
}
