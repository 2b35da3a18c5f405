package projectfile

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSplitSimple(t *testing.T) {
	for line, want := range map[string][]string{
		"python train.py":                   {"python", "train.py"},
		"  python\t train.py  ":             {"python", "train.py"},
		`python -c 'print("$HOME")'`:        {"python", "-c", `print("$HOME")`},
		`python --text="it's fine" --x='a'`: {"python", "--text=it's fine", "--x=a"},
		`python ''`:                         {"python", ""},
		`python a''b`:                       {"python", "ab"},
		`'my program' x`:                    {"my program", "x"},
		`python 'it'"'"'s'`:                 {"python", "it's"},
		"/bin/echo hi":                      {"/bin/echo", "hi"},
		"python x=1 @file 50% a,b:c^d":      {"python", "x=1", "@file", "50%", "a,b:c^d"},
		"python 'ünïcode' für":              {"python", "ünïcode", "für"},
	} {
		got, ok := SplitSimple(line)
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%s: got %q %v, want %q", line, got, ok, want)
		}
	}
	for _, line := range []string{
		"", "   ", "''", `"" x`, "a | b", "a & b", "a;b", "a > b", "a < b", "(a)", "a $b", "a `b`", "a *", "a b?", "a [b]", "a # b", "~/a",
		"a ~", "A=b c", "a'x'=b c", "a {b,c}", "! a", "a !b", "a\nb", "a\rb", "a\x00", `a \b`, `a "$b"`, "a \"`b`\"", `a "\b"`, "a 'b", `a "b`,
		"a 'b\nc'", "cd x", "export A", ". x", "source x", "exec a", "set -e", "if a", "for a", "while true", "eval a", "echo hi", "[ a", "'cd' x",
		"test -f a", ": a", "trap a", "wait", "time a",
	} {
		if got, ok := SplitSimple(line); ok {
			t.Errorf("%q: got %q without a shell", line, got)
		}
	}
}

// FuzzSplitSimple: what is split without a shell is what Quote makes of it, split again; and a real shell agrees on the seeds.
func FuzzSplitSimple(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		f.Fatal("the test needs sh: ", err)
	}
	for _, line := range []string{`python -c 'print("a")' x=1 ''`, `a "b c"d'e'`, "a\tb", `prog "it's" 'a"b'`, "p @%+=:,./-_^"} {
		f.Add(line)
		words, ok := SplitSimple(line)
		if !ok {
			f.Fatalf("%q is not simple", line)
		}
		out, err := exec.Command(sh, "-c", `for w in `+line+`; do printf '<%s>' "$w"; done`).Output()
		if err != nil {
			f.Fatal(err)
		}
		if want := "<" + strings.Join(words, "><") + ">"; string(out) != want {
			f.Errorf("sh makes %s of %s, and we %s", out, line, want)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, ok := SplitSimple(line)
		if !ok {
			return
		}
		var quoted []string
		for i, w := range words {
			if i == 0 && strings.Contains(w, "=") {
				return // Quote leaves '=' as shlex does, and then it would be an assignment
			}
			quoted = append(quoted, Quote(w))
		}
		again, ok := SplitSimple(strings.Join(quoted, " "))
		if strings.Contains(line, "\x00") || !ok || !slices.Equal(words, again) {
			t.Errorf("%q: %q, then %q %v", line, words, again, ok)
		}
	})
}
