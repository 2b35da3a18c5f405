package scripts

import (
	"os"
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

func firstGroup(ts *testscript.TestScript, expression, text string) string {
	compiled, err := regexp.Compile(expression)
	ts.Check(err)
	match := compiled.FindStringSubmatch(text)
	if len(match) < 2 {
		ts.Fatalf("%s matches nothing in:\n%s", expression, text)
	}
	return match[1]
}

// substitute replaces ${NAME} in files by the script's variables.
func substitute(ts *testscript.TestScript, _ bool, files []string) {
	for _, file := range files {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}
