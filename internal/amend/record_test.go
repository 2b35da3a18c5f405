package amend

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead/internal/durable"
)

// What is not asked for any more comes back, with the directories made for it, unless somebody changed it since.
func TestReleased(t *testing.T) {
	dir := t.TempDir()
	stays, was, made, theirs := filepath.Join(dir, "stays"), filepath.Join(dir, "was"), filepath.Join(dir, "new", "made"), filepath.Join(dir, "theirs", "made")
	if err := os.WriteFile(was, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := book(t, durable.OS{})
	first := Target{Path: stays, Mode: 0o644, Edit: adding("ours")}
	do(t, b, first, Target{Path: was, Edit: adding("ours")}, Target{Path: made, Mode: 0o644, Edit: adding("ours")}, Target{Path: theirs, Mode: 0o644, Edit: adding("ours")})
	if err := os.WriteFile(theirs, []byte("ours\ntheirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := b.Plan("docker", []Target{first}, nil)
	if err != nil {
		t.Fatal(err)
	}
	written, back := p.Paths()
	if got := strings.Join(back, " ") + " | " + strings.Join(p.Kept(), " "); len(written) > 0 || got != was+" "+made+" | "+theirs {
		t.Errorf("written %v, back and kept: %s", written, got)
	}
	if d := p.Diff(); !strings.Contains(d, "-ours") || !strings.Contains(d, "+++ /dev/null") || strings.Contains(d, "theirs") {
		t.Errorf("the difference:\n%s", d)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != " /stays /theirs /theirs/made /was" {
		t.Errorf("left: %s", got)
	}
	if got := text(t, was) + text(t, stays); got != "old\nours\n" {
		t.Errorf("left: %q", got)
	}
	if do(t, b, first) {
		t.Error("a second time changes something")
	}
	// Their change is still told of, and its record goes when they take the file away.
	if _, err := b.PlanUndo("docker", nil); !errors.As(err, new(*ErrChanged)) {
		t.Errorf("undo: %v", err)
	}
	if err := os.Remove(theirs); err != nil {
		t.Fatal(err)
	}
	undoAll(t, b)
	if got := files(t, dir); got != " /was" {
		t.Errorf("after undo: %s", got)
	}
}

// What would be again what it was is brought back, with its time and owner, and not written anew.
func TestNothingOfOursIsLeft(t *testing.T) {
	dir := t.TempDir()
	there, made := filepath.Join(dir, "there"), filepath.Join(dir, "new", "made")
	if err := os.WriteFile(there, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(there)
	if err != nil {
		t.Fatal(err)
	}
	b := book(t, durable.OS{})
	do(t, b, Target{Path: there, Edit: adding("ours")}, Target{Path: made, Mode: 0o644, Edit: adding("ours")})
	nothing := func(found []byte) ([]byte, error) { return found, nil }
	do(t, b, Target{Path: there, Edit: nothing}, Target{Path: made, Mode: 0o644, Edit: nothing})
	if after, err := os.Stat(there); err != nil || !os.SameFile(before, after) {
		t.Errorf("it is another file: %v", err)
	}
	if got := files(t, dir) + files(t, b.Dir); got != " /there" {
		t.Errorf("left: %s", got)
	}
}

// Of two that plan at the same time one does it, and the other is told.
func TestTwoAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	b := book(t, durable.OS{})
	plan := func(line string) *Plan {
		p, err := b.Plan("docker", []Target{{Path: path, Mode: 0o644, Edit: adding(line)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, two := plan("one"), plan("two")
	if err := one.Apply(); err != nil {
		t.Fatal(err)
	}
	if err := two.Apply(); !errors.Is(err, ErrMoved) {
		t.Errorf("the second: %v", err)
	}
	undo, err := b.PlanUndo("docker", nil)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := b.read("docker")
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := b.lock("docker", kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := undo.Apply(); !errors.Is(err, ErrMoved) {
		t.Errorf("while another is at it: %v", err)
	}
	if err := plan("three").Apply(); !errors.Is(err, ErrMoved) {
		t.Errorf("while another is at it: %v", err)
	}
	unlock()
	if err := undo.Apply(); err != nil || text(t, path) != "-" {
		t.Errorf("afterwards: %v", err)
	}
}

// What a killed process had half written is rubbish, and goes.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(durable.TempName(dir), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, book(t, durable.OS{}), Target{Path: path, Mode: 0o644, Edit: adding("ours")})
	if got := files(t, dir); got != " /config" {
		t.Errorf("left: %s", got)
	}
}
