package amend

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pierhead.dev/pierhead/internal/durable"
)

func book(t *testing.T, layer durable.Layer) *Book {
	t.Helper()
	return &Book{Layer: layer, Dir: filepath.Join(t.TempDir(), "records"), Now: func() time.Time { return time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC) }}
}

// adding is an edit that adds a line.
func adding(line string) func([]byte) ([]byte, error) {
	return func(found []byte) ([]byte, error) {
		if bytes.Contains(found, []byte(line)) {
			return found, nil
		}
		return append(bytes.Clone(found), line+"\n"...), nil
	}
}

func do(t *testing.T, b *Book, targets ...Target) bool {
	t.Helper()
	p, err := b.Plan("docker", targets, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	return p.Changes()
}

func undoAll(t *testing.T, b *Book) {
	t.Helper()
	u, err := b.PlanUndo("docker", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Apply(); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestThereAndBack(t *testing.T) {
	dir := t.TempDir()
	there, missing := filepath.Join(dir, "config.json"), filepath.Join(dir, "certs.d", "gcr.io", "hosts.toml")
	if err := os.WriteFile(there, []byte("old\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	long := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(there, long, long); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(there)
	if err != nil {
		t.Fatal(err)
	}
	b := book(t, durable.OS{})
	targets := []Target{{Path: there, Edit: adding("ours")}, {Path: missing, Mode: 0o644, Edit: adding("new")}}
	if !do(t, b, targets...) {
		t.Fatal("nothing changed")
	}
	if got := text(t, there) + text(t, missing); got != "old\nours\nnew\n" {
		t.Fatalf("after: %q", got)
	}
	for path, mode := range map[string]fs.FileMode{there: 0o640, missing: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	backup := there + ".before-pier-20261126T080000Z"
	if info, err := os.Stat(backup); err != nil || !info.ModTime().Equal(long) || info.Mode() != 0o640 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	if do(t, b, targets...) {
		t.Error("a second time changes something")
	}
	// What is asked for now is made of what there was before, so that nothing of the first time is left.
	do(t, b, Target{Path: there, Edit: adding("other")})
	if got := text(t, there); got != "old\nother\n" {
		t.Errorf("the second time: %q", got)
	}
	undoAll(t, b)
	after, err := os.Stat(there)
	if err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(long) {
		t.Errorf("it is not the file that it was: %v, %v", after, err)
	}
	if got := files(t, dir); got != " /config.json" {
		t.Errorf("left over: %s", got)
	}
	if got := files(t, b.Dir); got != "" {
		t.Errorf("records left over: %s", got)
	}
}

// What somebody did since is not lost, whichever way it is asked for.
func TestUndoRefusesWhatSomebodyChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	b := book(t, durable.OS{})
	if err := os.WriteFile(path, []byte("old secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, b, Target{Path: path, Edit: adding("ours")})
	if err := os.WriteFile(path, []byte("old secret\nours\ntheirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mask := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("secret"), []byte("…")) }
		_, err := b.PlanUndo("docker", mask)
		var changed *ErrChanged
		if !errors.As(err, &changed) || !strings.Contains(changed.Diff, "+theirs") || strings.Contains(changed.Diff, "secret") {
			t.Fatalf("undo: %v", err)
		}
		// Once more over their change: it stays in, and undo still refuses.
		do(t, b, Target{Path: path, Edit: adding("ours again")})
		if got := text(t, path); !strings.Contains(got, "theirs") {
			t.Fatalf("their line is lost: %q", got)
		}
	}
}

// Somebody who takes the whole file away has undone it.
func TestUndoOfWhatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "file")
	b := book(t, durable.OS{})
	do(t, b, Target{Path: path, Mode: 0o644, Edit: adding("ours")})
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	undoAll(t, b)
	if u, err := b.PlanUndo("docker", nil); err != nil || u.Known() {
		t.Errorf("still on record: %v", err)
	}
}

func TestNothingIsTouched(t *testing.T) {
	dir := t.TempDir()
	first := filepath.Join(dir, "first")
	wrong := errors.New("no JSON")
	refuse := func([]byte) ([]byte, error) { return nil, wrong }
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		bad  Target
		want error
	}{
		{"an edit that fails", Target{Path: filepath.Join(dir, "second"), Edit: refuse}, wrong},
		{"a directory", Target{Path: dir, Edit: adding("x")}, ErrNotAFile},
		{"a large file", Target{Path: filepath.Join(dir, "large"), Edit: adding("x")}, ErrTooLarge},
		{"a link to nothing", Target{Path: filepath.Join(dir, "dangling"), Edit: adding("x")}, ErrNotAFile},
		{"below a file", Target{Path: filepath.Join(dir, "large", "x"), Edit: adding("x")}, syscall.ENOTDIR},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := book(t, durable.OS{}).Plan("docker", []Target{{Path: first, Edit: adding("x")}, test.bad}, nil)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v", err)
			}
			if got := text(t, first); got != "-" {
				t.Errorf("the first file was written: %q", got)
			}
		})
	}
}

func TestNotWritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes everywhere; test/scripts has a read-only file system")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := book(t, durable.OS{}).Plan("docker", []Target{{Path: filepath.Join(dir, "new", "x"), Edit: adding("x")}}, nil); !errors.Is(err, ErrNotWritable) {
		t.Errorf("got %v", err)
	}
}

func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "dotfiles.json"), filepath.Join(dir, "config.json")
	if err := os.WriteFile(real, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	b := book(t, durable.OS{})
	do(t, b, Target{Path: link, Edit: adding("ours")})
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink || text(t, real) != "old\nours\n" {
		t.Errorf("the link is gone, or its file as it was: %v, %v", info, err)
	}
	undoAll(t, b)
	if got := text(t, link); got != "old\n" {
		t.Errorf("after undo: %q", got)
	}
}

// An interrupted layer stops at its nth change, as a crash would.
type interrupted struct {
	durable.OS
	left *int
}

var errCrash = errors.New("crash")

func (l interrupted) change() error {
	if *l.left--; *l.left < 0 {
		return errCrash
	}
	return nil
}

func (l interrupted) Create(name string) (durable.File, error) {
	if err := l.change(); err != nil {
		return nil, err
	}
	return l.OS.Create(name)
}

func (l interrupted) Rename(from, to string) error {
	if err := l.change(); err != nil {
		return err
	}
	return l.OS.Rename(from, to)
}

func (l interrupted) Link(from, to string) error {
	if err := l.change(); err != nil {
		return err
	}
	return l.OS.Link(from, to)
}

func (l interrupted) Remove(name string) error {
	if err := l.change(); err != nil {
		return err
	}
	return l.OS.Remove(name)
}

func (l interrupted) Mkdir(name string) error {
	if err := l.change(); err != nil {
		return err
	}
	return l.OS.Mkdir(name)
}

// Wherever it stops, each file is old or new, undo brings back what there was, and to do it again finishes it.
func TestCrashAnywhere(t *testing.T) {
	finished := false
	for n := 0; !finished; n++ {
		for _, again := range []bool{true, false} {
			dir := t.TempDir()
			one, two := filepath.Join(dir, "one"), filepath.Join(dir, "new", "two")
			if err := os.WriteFile(one, []byte("old\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			targets := func(line string) []Target {
				return []Target{{Path: one, Edit: adding(line)}, {Path: two, Mode: 0o644, Edit: adding(line)}}
			}
			good := book(t, durable.OS{})
			left := n
			bad := &Book{Layer: interrupted{left: &left}, Dir: good.Dir, Now: good.Now}
			err := attempt(bad, targets("first"))
			if err == nil {
				err = attempt(bad, targets("second")[:1])
			}
			if err == nil {
				err = attempt(bad, targets("second"))
			}
			if finished = err == nil; err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			if got := text(t, one); got != "old\n" && got != "old\nfirst\n" && got != "old\nsecond\n" {
				t.Fatalf("crash %d left %q", n, got)
			}
			if again {
				do(t, good, targets("second")...)
				if got := text(t, one) + text(t, two); got != "old\nsecond\nsecond\n" {
					t.Fatalf("after crash %d and once more: %q", n, got)
				}
			}
			undoAll(t, good)
			if got := strings.Split(files(t, dir), " "); len(got) != 2 || text(t, one) != "old\n" {
				if left := rest(got); left != "" {
					t.Fatalf("after crash %d (again %v) and undo: %s", n, again, left)
				}
			}
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}

// rest is what is left beside the one file, but for files that a crash left on their way.
func rest(names []string) string {
	var left []string
	for _, name := range names {
		if name != "" && name != "/one" && !strings.Contains(name, durable.TempPrefix) && name != "/new" {
			left = append(left, name)
		}
	}
	return strings.Join(left, " ")
}

func attempt(b *Book, targets []Target) error {
	p, err := b.Plan("docker", targets, nil)
	if err != nil {
		return err
	}
	return p.Apply()
}

// Who has a directory that root writes into does not choose which of root's files is changed.
func TestAnothersLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make another user's link")
	}
	dir, roots := t.TempDir(), filepath.Join(t.TempDir(), "root.json")
	const eve = 4242
	theirs := filepath.Join(dir, "theirs.json")
	for path, owner := range map[string]int{roots: 0, theirs: eve} {
		if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	toRoot, toDir, toOwn := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	for link, end := range map[string]string{toRoot: roots, toDir: filepath.Dir(roots), toOwn: theirs} {
		if err := os.Symlink(end, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(link, eve, eve); err != nil {
			t.Fatal(err)
		}
	}
	b := book(t, durable.OS{})
	for _, path := range []string{toRoot, filepath.Join(toDir, "root.json"), filepath.Join(toDir, "new.json")} {
		if _, err := b.Plan("docker", []Target{{Path: path, Edit: adding("ours")}}, nil); !errors.Is(err, ErrLeadsOut) {
			t.Errorf("%s: %v", path, err)
		}
	}
	do(t, b, Target{Path: toOwn, Edit: adding("ours")})
	if got := text(t, theirs); got != "old\nours\n" {
		t.Errorf("their own: %q", got)
	}
	// What is new in a user's directory is that user's.
	if err := os.Chown(dir, eve, eve); err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(dir, "new", "config.json")
	do(t, b, Target{Path: made, Mode: 0o600, Edit: adding("ours")})
	for _, path := range []string{made, filepath.Dir(made)} {
		if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Uid != eve {
			t.Errorf("%s is not theirs: %v", path, err)
		}
	}
}

// In another root, a link of that root leads nowhere else.
func TestLinkOutOfRoot(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "etc")); err != nil {
		t.Fatal(err)
	}
	b := book(t, durable.OS{})
	for _, path := range []string{"etc/docker/daemon.json", "etc/daemon.json"} {
		if _, err := b.Plan("docker", []Target{{Path: filepath.Join(root, path), Within: root, Edit: adding("x")}}, nil); !errors.Is(err, ErrLeadsOut) {
			t.Errorf("%s: %v", path, err)
		}
	}
	do(t, b, Target{Path: filepath.Join(root, "var/x"), Within: root, Mode: 0o644, Edit: adding("x")})
}
