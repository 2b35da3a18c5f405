package leaks

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// The exit codes of a search.
const (
	ExitClean       = 0
	ExitFound       = 1 // the secret is somewhere; there may be failures too
	ExitNotSearched = 2 // it was not found, but not everything could be searched
)

// A Report is what the searches with one needle did and found. The searches add to it; they may run at the same time.
type Report struct {
	Files     int   // regular files, every byte of them
	Names     int   // of files, directories and links
	Bytes     int64 // of files, processes and answers
	Databases int   // of SQLite
	Values    int   // texts and blobs in them
	Processes int   // whose arguments and environment were read
	Answers   int   // of an API

	Findings []Finding
	Failures []error  // what should have been searched and could not be
	Notes    []string // what a reader should know of, and which is no failure

	mu sync.Mutex
}

// Exit is the exit code that the report amounts to.
func (r *Report) Exit() int {
	switch {
	case len(r.Findings) > 0:
		return ExitFound
	case len(r.Failures) > 0:
		return ExitNotSearched
	}
	return ExitClean
}

// Print writes the report for people. The needle keeps out of it names and errors that hold the secret themselves.
func (r *Report) Print(w io.Writer, n *Needle) error {
	var errs []error
	line := func(format string, arguments ...any) {
		_, err := fmt.Fprintln(w, n.hide(fmt.Sprintf(format, arguments...)))
		errs = append(errs, err)
	}
	line("searched %d files and %d names, %d values of %d databases, %d processes, %d answers: %.1f MB",
		r.Files, r.Names, r.Values, r.Databases, r.Processes, r.Answers, float64(r.Bytes)/1e6)
	for _, note := range r.Notes {
		line("note: %s", note)
	}
	for _, err := range r.Failures {
		line("not searched: %v", err)
	}
	for _, f := range r.Findings {
		line("FOUND in %v", f)
	}
	switch r.Exit() {
	case ExitClean:
		line("the secret is in none of them")
	case ExitFound:
		line("the secret was found %d times", len(r.Findings))
	default:
		line("the secret was not found, but not everything could be searched")
	}
	return errors.Join(errs...)
}

func (r *Report) change(how func(r *Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how(r)
}

func (r *Report) fail(format string, arguments ...any) {
	r.change(func(r *Report) { r.Failures = append(r.Failures, fmt.Errorf(format, arguments...)) })
}

func (r *Report) note(format string, arguments ...any) {
	r.change(func(r *Report) { r.Notes = append(r.Notes, fmt.Sprintf(format, arguments...)) })
}

// scan searches a stream and adds what it found; it returns the stream's length.
func (r *Report) scan(n *Needle, stream io.Reader, place string) int64 {
	counted := &counter{r: stream}
	findings, err := n.Scan(counted, place)
	r.add(findings, err)
	r.change(func(r *Report) { r.Bytes += counted.n })
	return counted.n
}

// add takes over what Scan or ScanBytes returned.
func (r *Report) add(findings []Finding, err error) {
	r.change(func(r *Report) {
		r.Findings = append(r.Findings, findings...)
		if err != nil {
			r.Failures = append(r.Failures, err)
		}
	})
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
