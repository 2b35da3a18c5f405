package agent

import (
	"strings"

	"pierhead.dev/pierhead/projectfile"
)

// shellArguments is how a command that needs a shell is run: stop at the first line that fails.
var shellArguments = []string{"sh", "-ec"}

// argv turns an execution's command lines into what the container starts. One line without shell characters needs no
// shell, so that images without one (FROM scratch, distroless) work; everything else is one script for `sh -ec`.
func argv(lines []string) (arguments []string, needsShell bool) {
	var script []string // the lines that are not blank
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			script = append(script, line)
		}
	}
	if len(script) == 1 && !strings.Contains(script[0], "\n") {
		if words, ok := projectfile.SplitSimple(script[0]); ok && len(words) > 0 {
			return words, false
		}
	}
	return append(append([]string(nil), shellArguments...), projectfile.Join(script)), true
}
