package dialect

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// The lines around what is ours in somebody's TOML.
const (
	blockBegin = "# BEGIN pier: written by pier node setup\n"
	blockEnd   = "# END pier\n"
)

// errByHand is for TOML into which text cannot be put without changing what is there.
var errByHand = errors.New("it is written in a way that lines cannot be put into")

// MergeHosts puts the mirror into a hosts.toml as it was found, nil for none, before all other hosts: they are asked in the
// order of the file. fresh is what an export has for the same host.
func MergeHosts(found []byte, fresh string, settings Settings) (Merge, error) {
	text := withoutBlock(string(found))
	if strings.TrimSpace(text) == "" {
		return Merge{Text: []byte(fresh)}, nil
	}
	var before map[string]any
	if err := readTOML(text, &before); err != nil {
		return Merge{}, err
	}
	if hosts, ok := before["host"].(map[string]any); ok && hosts["http://"+settings.Mirror] != nil {
		return Merge{Text: found, Findings: []Warning{{"", "the mirror is one of its hosts already, and stays as it is", ""}}}, nil
	}
	at := firstTable(text)
	head := text[:at]
	if head != "" && !strings.HasSuffix(head, "\n") {
		head += "\n"
	}
	merged := head + blockBegin + MirrorBlock(settings.Mirror) + blockEnd + text[at:]
	var after map[string]any
	if err := readTOML(merged, &after); err != nil {
		return Merge{}, errByHand
	}
	hosts, _ := after["host"].(map[string]any)
	delete(hosts, "http://"+settings.Mirror)
	if len(hosts) == 0 {
		delete(after, "host")
	}
	if !reflect.DeepEqual(before, after) {
		return Merge{}, errByHand
	}
	return Merge{Text: []byte(merged)}, nil
}

// withoutBlock takes out what an earlier run put in.
func withoutBlock(text string) string {
	before, rest, ok := strings.Cut(text, blockBegin)
	if !ok {
		return text
	}
	_, after, ok := strings.Cut(rest, blockEnd)
	if !ok {
		return text
	}
	return before + after
}

func readTOML(text string, into *map[string]any) error {
	*into = make(map[string]any)
	if _, err := toml.Decode(text, into); err != nil {
		return fmt.Errorf("it is not TOML: %w", err)
	}
	return nil
}

// firstTable is where the first table begins, or the end: the top level ends there.
func firstTable(text string) int {
	for at, line := range tomlLines(text) {
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), "[") {
			return at
		}
	}
	return len(text)
}

// tomlLines are the lines on which something begins, with where they do: not those within a text or a list.
func tomlLines(text string) func(func(int, string) bool) {
	return func(yield func(int, string) bool) {
		var s tomlScan
		at := 0
		for line := range strings.Lines(text) {
			if s.outside() && !yield(at, line) {
				return
			}
			s.line(line)
			at += len(line)
		}
	}
}

// A tomlScan knows whether the next line is within a text of several lines (quote is its quotes) or a list.
type tomlScan struct {
	quote string
	depth int
}

func (s *tomlScan) outside() bool { return s.quote == "" && s.depth == 0 }

func (s *tomlScan) line(line string) {
	for i := 0; i < len(line); {
		rest := line[i:]
		switch {
		case s.quote != "":
			i += s.within(rest)
		case strings.HasPrefix(rest, `"""`), strings.HasPrefix(rest, "'''"):
			s.quote = rest[:3]
			i += 3
		case rest[0] == '"', rest[0] == '\'':
			s.quote = rest[:1]
			i++
		case rest[0] == '#':
			return
		default:
			switch rest[0] {
			case '[', '{':
				s.depth++
			case ']', '}':
				s.depth--
			}
			i++
		}
	}
	if len(s.quote) == 1 {
		s.quote = "" // such a text ends with its line
	}
}

// within steps over a part of a text, and perhaps its end.
func (s *tomlScan) within(rest string) int {
	switch {
	case rest[0] == '\\' && s.quote[0] == '"' && len(rest) > 1:
		return 2
	case strings.HasPrefix(rest, s.quote):
		n := len(s.quote)
		for n == 3 && len(rest) > n && rest[n] == s.quote[0] && n < 5 { // quotes before the end are the text's own
			n++
		}
		s.quote = ""
		return n
	}
	return 1
}
