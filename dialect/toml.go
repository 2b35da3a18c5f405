package dialect

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
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

// criPlugin is the plugin of containerd that pulls for the kubelet, by the version of its configuration.
var criPlugin = map[int64]string{2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images"}

// MergeContainerd has containerd read hosts.toml below dir: it puts config_path into config.toml as it was found, nil for
// none. Where it has one already it stays, and is what is returned as dir. Errors say what to do by hand.
func MergeContainerd(found []byte, dir string) (m Merge, path string, err error) {
	text := string(found)
	if strings.TrimSpace(text) == "" {
		return Merge{Text: []byte("version = 2\n" + registryTable(criPlugin[2], dir))}, dir, nil
	}
	var before map[string]any
	if err := readTOML(text, &before); err != nil {
		return Merge{}, "", err
	}
	version, _ := before["version"].(int64)
	plugin := criPlugin[version]
	if plugin == "" {
		return Merge{}, "", fmt.Errorf("its version is %d, and lines can be put into 2 and 3 only", version)
	}
	registry, _ := dig(before, "plugins", plugin, "registry").(map[string]any)
	if there, _ := registry["config_path"].(string); there != "" {
		first, _, _ := strings.Cut(there, ":")
		return Merge{Text: found}, first, nil
	}
	for _, old := range []string{"mirrors", "configs"} {
		if table, ok := registry[old].(map[string]any); ok && len(table) > 0 {
			return Merge{}, "", fmt.Errorf("it has registry.%s, which containerd refuses beside config_path", old)
		}
	}
	merged, err := withConfigPath(text, plugin, dir)
	if err != nil {
		return Merge{}, "", err
	}
	var after map[string]any
	if err := readTOML(merged, &after); err != nil {
		return Merge{}, "", errByHand
	}
	if dig(after, "plugins", plugin, "registry", "config_path") != any(dir) || !reflect.DeepEqual(withoutPath(before, plugin), withoutPath(after, plugin)) {
		return Merge{}, "", errByHand
	}
	return Merge{Text: []byte(merged)}, dir, nil
}

func registryTable(plugin, dir string) string {
	return fmt.Sprintf("\n%s[plugins.%q.registry]\n  config_path = %q\n%s", blockBegin, plugin, dir, blockEnd)
}

// withConfigPath puts the line into the table where there is one, in place of an empty one, else the table at the end.
func withConfigPath(text, plugin, dir string) (string, error) {
	inside, after := false, -1
	for at, line := range tomlLines(text) {
		bare := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(bare, "["):
			inside = slices.Equal(tableName(bare), []string{"plugins", plugin, "registry"})
			if inside {
				after = at + len(line)
			}
		case inside && strings.HasPrefix(bare, "config_path"):
			return text[:at] + fmt.Sprintf("%sconfig_path = %q\n", lineIndent([]byte(text), at+len(line)-len(strings.TrimLeft(line, " \t"))), dir) + text[at+len(line):], nil
		}
	}
	if after < 0 {
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + registryTable(plugin, dir), nil
	}
	if !strings.HasSuffix(text[:after], "\n") {
		return "", errByHand
	}
	return text[:after] + fmt.Sprintf("%s  config_path = %q\n%s", blockBegin, dir, blockEnd) + text[after:], nil
}

// tableName reads a line that begins a table.
func tableName(line string) []string {
	var name []string
	var table map[string]any
	if readTOML(line, &table) != nil {
		return nil
	}
	for len(table) == 1 {
		var key string
		for key = range table {
		}
		name = append(name, key)
		table, _ = table[key].(map[string]any)
	}
	return name
}

func dig(table map[string]any, names ...string) any {
	var v any = table
	for _, name := range names {
		t, _ := v.(map[string]any)
		v = t[name]
	}
	return v
}

// withoutPath is the configuration without our line and the tables that it made.
func withoutPath(table map[string]any, plugin string) map[string]any {
	plugins, _ := table["plugins"].(map[string]any)
	cri, _ := plugins[plugin].(map[string]any)
	registry, _ := cri["registry"].(map[string]any)
	registry, cri, plugins, table = maps.Clone(registry), maps.Clone(cri), maps.Clone(plugins), maps.Clone(table)
	delete(registry, "config_path")
	for _, up := range []struct {
		in   map[string]any
		name string
		is   map[string]any
	}{{cri, "registry", registry}, {plugins, plugin, cri}, {table, "plugins", plugins}} {
		if len(up.is) == 0 {
			delete(up.in, up.name)
		} else {
			up.in[up.name] = up.is
		}
	}
	return table
}
