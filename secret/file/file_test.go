package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/file"
	"pierhead.dev/pierhead/secret/secrettest"
)

func ref(t *testing.T, text string) secret.Ref {
	t.Helper()
	r, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write makes a file of exactly that mode, whatever the umask.
func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSource(t *testing.T) {
	dir := mkdir(t, 0o700)
	secrettest.Test(t, secrettest.Subject{
		Source: file.New(file.Config{Dir: dir}),
		Put: func(t *testing.T, content []byte) secret.Ref {
			write(t, filepath.Join(dir, "reg_1.json"), string(content), 0o600)
			return ref(t, "file:reg_1.json")
		},
		Absent: ref(t, "file:absent"),
		Bad: []string{"file:..", "file:.", "file:.hidden", "file:../x", "file:/etc/passwd", "file:a/b", `file:a\b`, "file://x", "file:a%2fb",
			"file:a:b", "file:..data", "file:" + strings.Repeat("x", 256), "file:a\x00b"},
	})
}

func TestModes(t *testing.T) {
	for _, c := range []struct {
		dir, file  os.FileMode
		allowWorld bool
		want       error
	}{
		{0o755, 0o600, false, nil},
		{0o755, 0o400, false, nil},
		{0o755, 0o640, false, nil},
		{0o755, 0o644, false, secret.ErrNotAllowed},
		{0o755, 0o604, false, secret.ErrNotAllowed},
		{0o755, 0o644, true, nil},
		{0o711, 0o644, false, secret.ErrNotAllowed},
		{0o700, 0o644, false, nil},
		{0o750, 0o644, false, nil},
		{0o700, 0o660, false, secret.ErrNotAllowed},
		{0o700, 0o602, true, secret.ErrNotAllowed},
		{0o777, 0o600, true, secret.ErrNotAllowed},
		{0o777 | os.ModeSticky, 0o600, false, nil},
		{0o777 | os.ModeSticky, 0o644, false, secret.ErrNotAllowed},
	} {
		dir := mkdir(t, c.dir)
		write(t, filepath.Join(dir, "a"), "hunter2", c.file)
		_, err := file.New(file.Config{Dir: dir, AllowWorldReadable: c.allowWorld}).Get(t.Context(), ref(t, "file:a"))
		if !errors.Is(err, c.want) {
			t.Errorf("directory %v, file %v, allowed %v: got %v, want %v", c.dir, c.file, c.allowWorld, err, c.want)
		}
		if err != nil && !strings.Contains(secret.HintOf(err), "chmod") {
			t.Errorf("no hint with %v", err)
		}
	}
}

func TestKubernetesVolume(t *testing.T) {
	dir := mkdir(t, 0o777|os.ModeSticky)
	source := file.New(file.Config{Dir: dir})
	version := func(name, content string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "registry"), content, 0o644)
		link(t, name, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link(t, "..data/registry", filepath.Join(dir, "registry"))
	for _, v := range []string{"..2026_11_21_1", "..2026_11_22_2"} { // the kubelet swaps ..data
		version(v, v)
		if got, err := source.Get(t.Context(), ref(t, "file:registry")); err != nil || string(got.Reveal()) != v {
			t.Errorf("%s: %v", v, err)
		}
	}
	write(t, filepath.Join(dir, "plain"), "x", 0o644)
	link(t, "plain", filepath.Join(dir, "linked"))
	for _, name := range []string{"file:plain", "file:linked"} {
		if _, err := source.Get(t.Context(), ref(t, name)); !errors.Is(err, secret.ErrNotAllowed) {
			t.Errorf("%s beside the volume's own: %v", name, err)
		}
	}
}

func TestLinksAndKinds(t *testing.T) {
	dir := mkdir(t, 0o700)
	outside := filepath.Join(filepath.Dir(dir), "outside")
	write(t, outside, "hunter2", 0o600)
	write(t, filepath.Join(dir, "inside"), "x", 0o600)
	link(t, "inside", filepath.Join(dir, "ok"))
	link(t, "../outside", filepath.Join(dir, "up"))
	link(t, outside, filepath.Join(dir, "absolute"))
	link(t, filepath.Join(dir, "inside"), filepath.Join(dir, "absoluteinside"))
	link(t, "/proc/self/environ", filepath.Join(dir, "proc"))
	link(t, "loop", filepath.Join(dir, "loop"))
	link(t, "nowhere", filepath.Join(dir, "dangling"))
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := file.New(file.Config{Dir: dir})
	for name, want := range map[string]error{"ok": nil, "up": secret.ErrNotAllowed, "absolute": secret.ErrNotAllowed, "absoluteinside": secret.ErrNotAllowed,
		"proc": secret.ErrNotAllowed, "loop": secret.ErrNotAllowed, "dangling": secret.ErrNotFound, "directory": secret.ErrNotAllowed, "pipe": secret.ErrNotAllowed} {
		_, err := source.Get(t.Context(), ref(t, "file:"+name))
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if err != nil && (secret.HintOf(err) == "" || strings.Contains(err.Error(), "outside")) {
			t.Errorf("%s: %v (%s)", name, err, secret.HintOf(err))
		}
	}
}

func TestDirectoryComesLaterAndIsSwapped(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "secrets")
	source := file.New(file.Config{Dir: dir})
	if _, err := source.Get(t.Context(), ref(t, "file:a")); !errors.Is(err, secret.ErrNotFound) || !strings.Contains(secret.HintOf(err), dir) {
		t.Errorf("got %v (%s)", err, secret.HintOf(err))
	}
	for _, content := range []string{"one", "two"} {
		other := filepath.Join(top, content)
		if err := os.Mkdir(other, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(other, "a"), content, 0o600)
		_ = os.Remove(dir)
		link(t, content, dir)
		if v, err := source.Get(t.Context(), ref(t, "file:a")); err != nil || string(v.Reveal()) != content {
			t.Errorf("%s: %v", content, err)
		}
	}
	notDir := file.New(file.Config{Dir: filepath.Join(top, "one", "a")})
	if _, err := notDir.Get(t.Context(), ref(t, "file:a")); err == nil {
		t.Error("a file is no directory")
	}
}
