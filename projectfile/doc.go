// Package projectfile reads valohai.yaml (or pier.yaml), which says what a project runs, as Valohai's own library reads
// it (github.com/valohai/valohai-yaml; its behaviour is the reference, and testdata/render.json was made by running it).
//
// Parse gives the steps; keys that Valohai knows and that have no use here come back as notes, and keys that nobody
// knows are errors with their line. Step.Render fills parameters into the command and collects the environment.
// SplitSimple tells whether a line of a command needs a shell at all.
//
// # Where it departs from the library
//
//   - {parameter-value:NAME} of a parameter with several values joins them with its separator; the library prints a
//     Python list.
//   - pass-as knows {name}, {value}, {v}, {{ and }}; format specifications of Python ({value:.3f}) are refused when the
//     file is read.
//   - A parameter that is not optional and has neither default nor value is an error, as in Valohai's command line.
//   - A repeated key in one mapping is an error; the library takes the last.
//   - Dates are texts.
//   - Choices of a parameter of type string are compared as texts, so that `choices: [1, 2]` can be met.
//   - A duration must be more than zero also where it is a bare number, and may have no minus sign.
package projectfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pierhead.dev/pierhead/internal/suggest"
)

// Names are the project file's names; in one directory the first that exists counts.
var names = []string{"valohai.yaml", "pier.yaml"}

// MaxSize is the largest project file, in bytes.
const MaxSize = 1 << 20

// What can be wrong. Find them with errors.Is; the error itself is an *Error.
var (
	ErrNoFile = errors.New("no project file")     // none in the directory or above
	ErrNoStep = errors.New("no such step")        // the file has no step of that name
	ErrFile   = errors.New("bad project file")    // the file does not say what it must
	ErrValue  = errors.New("bad parameter value") // what was given for parameters or variables does not fit the step
)

// An Error is what is wrong, for people.
type Error struct {
	Kind error  // one of the errors above
	Path string // of the file; empty where Parse was given bytes
	Line int    // in the file, from 1; 0 where it is about no line
	Text string // one sentence, without a trailing full stop
	Hint string // what to do, or empty
}

// Error is "path:line: text", as far as they are known; faces print Hint on a line of its own.
func (e *Error) Error() string {
	switch {
	case e.Line == 0 && e.Path == "":
		return e.Text
	case e.Line == 0:
		return e.Path + ": " + e.Text
	case e.Path == "":
		return fmt.Sprintf("line %d: %s", e.Line, e.Text)
	}
	return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Text)
}

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

// HintOf returns the hint of the first Error in err's tree, or "".
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// A Note is something in the file that Valohai knows and that has no use here, or that is probably a mistake.
type Note struct {
	Line int    // from 1
	Step string // the step's name; empty outside of steps
	Key  string // "inputs", "endpoint", …
	Text string // one sentence, without a trailing full stop
}

// String is "line 12: …".
func (n Note) String() string { return fmt.Sprintf("line %d: %s", n.Line, n.Text) }

// A File is what a project runs.
type File struct {
	Steps []Step // in the file's order, each name once
}

// A Step is one thing to run.
type Step struct {
	Name        string
	Line        int    // where it begins, from 1
	Image       string // the reference as written
	Command     []string
	Parameters  []Parameter // in the file's order, each name once
	Variables   []Variable  // environment-variables, likewise
	Mounts      []Mount
	TimeLimit   time.Duration // zero: none
	SourcePath  string        // what {source-path} stands for; empty: it stands for itself
	Description string
}

// A Variable is one of a step's environment-variables.
type Variable struct {
	Name        string
	Default     *string // nil: none
	Optional    bool    // false: it must have a value; true is the default
	Description string
}

// A Mount is a directory of the machine seen in the container. Whether it may be mounted is the agent's affair.
type Mount struct {
	Source      string
	Destination string // absolute
	ReadOnly    bool
	Type        string // lower case; empty is a directory of the machine
}

// Step finds a step by its name; an empty name finds the only step of a file with one step. Error: ErrNoStep, with the
// names that there are.
func (f File) Step(name string) (Step, error) {
	var have []string
	for _, s := range f.Steps {
		if s.Name == name || name == "" && len(f.Steps) == 1 {
			return s, nil
		}
		have = append(have, s.Name)
	}
	e := &Error{Kind: ErrNoStep, Text: fmt.Sprintf("there is no step %q", name)}
	switch near := suggest.Nearest(name, have); {
	case len(have) == 0:
		e.Hint = "the project file has no steps"
	case name == "":
		e.Text, e.Hint = "the step is not named, and there are several", "the steps are "+quoteList(have)
	case near != "":
		e.Hint = fmt.Sprintf("did you mean %q? The steps are %s", near, quoteList(have))
	default:
		e.Hint = "the steps are " + quoteList(have)
	}
	return Step{}, e
}

// Find returns the path of the project file in dir or in the nearest directory above it. Error: ErrNoFile.
func Find(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("looking for a project file: %w", err)
	}
	for at := start; ; at = filepath.Dir(at) {
		for _, name := range names {
			path := filepath.Join(at, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
		if at == filepath.Dir(at) {
			return "", &Error{Kind: ErrNoFile, Text: fmt.Sprintf("there is no %s in %s or above it", strings.Join(names, " or "), start),
				Hint: "go to the project's directory, or write one: a list of steps, each with name, image and command"}
		}
	}
}

// Read is Parse of the file at path, which the errors then name. Errors: Parse's, and the file system's.
func Read(path string) (File, []Note, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, nil, fmt.Errorf("reading the project file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return File{}, nil, fmt.Errorf("reading the project file: %w", err)
	}
	file, notes, err := Parse(text)
	var e *Error
	if errors.As(err, &e) {
		e.Path = path
	}
	return file, notes, err
}

func fileError(line int, hint, format string, args ...any) error {
	return &Error{Kind: ErrFile, Line: line, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// quoteList is `"a", "b"`, cut where it would be long.
func quoteList(words []string) string {
	const most = 20
	var quoted []string
	for i, w := range words {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("… (%d more)", len(words)-most))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", clip(w)))
	}
	return strings.Join(quoted, ", ")
}

// clip shortens what is quoted in an error.
func clip(s string) string {
	const most = 60
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most]) + "…"
}
