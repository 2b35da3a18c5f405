package main

// Rules of output: stdout is for programs, stderr for people. Lists and objects are a table or `field: value` lines in
// text and the API's own JSON with --output json. Errors are one line, then a hint. Progress bars only on a terminal.

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

func isTerminal(descriptor int) bool { return term.IsTerminal(descriptor) }

// print writes value as JSON, or what text returns.
func (p *program) print(value any, text func() string) error {
	if p.format == "json" {
		encoder := json.NewEncoder(p.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	}
	_, err := fmt.Fprint(p.out, text())
	return err
}

// table is aligned columns under a heading.
func table(heading []string, rows [][]string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, strings.Join(heading, "\t"))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	return text.String()
}

// fields is `name: value` lines; pairs with an empty value are left out.
func fields(pairs ...string) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s:\t%s\n", pairs[i], pairs[i+1])
		}
	}
	w.Flush()
	return text.String()
}

// when is a time as people read it, in their own zone; "" for never.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// note tells people something that is no error.
func (p *program) note(format string, arguments ...any) {
	fmt.Fprintf(p.err, format+"\n", arguments...)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
