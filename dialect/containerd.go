package dialect

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
)

// criPlugin is the plugin of containerd that pulls for the kubelet, by the version of its configuration.
var criPlugin = map[int64]string{2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images"}

// ContainerdImports are the patterns of files that a config.toml has read after itself.
func ContainerdImports(text []byte) []string {
	var top map[string]any
	if readTOML(string(text), &top) != nil {
		return nil // whoever reads the file says so
	}
	var patterns []string
	list, _ := top["imports"].([]any)
	for _, item := range list {
		if pattern, ok := item.(string); ok {
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

// MergeContainerd has containerd read hosts.toml: it puts config_path = path, one directory or several with colons between,
// into config.toml as it was found. Where it or one of its imports, in the order in which they are read, has one already that
// stays; directories are those of the one that holds. Errors are for people, and say what to do by hand.
func MergeContainerd(found ConfFile, imports []ConfFile, path string) (m Merge, directories []string, err error) {
	directories = strings.Split(path, ":")
	c, err := containerdOf(append([]ConfFile{found}, imports...))
	if err != nil {
		return Merge{}, nil, err
	}
	switch {
	case c.path != "":
		return Merge{Text: found.Text}, strings.Split(c.path, ":"), nil
	case c.off != "":
		return Merge{found.Text, []Warning{{"", c.off + " switches the CRI plugin off (disabled_plugins), as Docker's packages do, so no kubelet pulls by this containerd, and the file stays as it is",
			"nerdctl reads the hosts.toml; ctr does with --hosts-dir " + directories[0]}}}, directories, nil
	case c.old != "":
		return Merge{}, nil, pierhead.NewProblem(pierhead.ErrConflict, c.old+", the old way, which containerd refuses beside config_path",
			"say these in hosts.toml ("+directories[0]+"/HOST/hosts.toml), take them out, and run this again")
	case strings.TrimSpace(string(found.Text)) == "":
		return Merge{Text: []byte("version = 2\n" + registryTable(criPlugin[2], path))}, directories, nil
	case criPlugin[c.version] == "":
		return Merge{}, nil, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("its version is %d, and lines can be put into 2 and 3 only", max(c.version, 1)),
			"containerd config migrate prints it in the newest version")
	case c.section != "" && !c.newest:
		return Merge{}, nil, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("%s has a section of the CRI plugin, which containerd 1 takes in place of all that config.toml says of it", c.section),
			fmt.Sprintf("put config_path = %q into that file, under [plugins.%q.registry], and run this again", path, criPlugin[c.version]))
	}
	m.Text, err = mergeConfigPath(string(found.Text), criPlugin[c.version], path)
	return m, directories, err
}

// A containerdConfig is what matters of config.toml and its imports.
type containerdConfig struct {
	version int64  // of config.toml
	newest  bool   // one of them is of version 3, so it is containerd 2, which merges sections
	path    string // config_path that holds
	old     string // which file has registry.mirrors or registry.configs
	off     string // which file switches the plugin off
	section string // which import has a section of the plugin
}

func containerdOf(files []ConfFile) (c containerdConfig, err error) {
	for i, file := range files {
		var top map[string]any
		if err := readTOML(string(file.Text), &top); err != nil {
			if i > 0 {
				err = fmt.Errorf("%s, which it imports: %w", file.Path, err)
			}
			return c, err
		}
		version, _ := top["version"].(int64)
		if i == 0 {
			c.version = version
		}
		c.newest = c.newest || version == 3
		disabled, _ := top["disabled_plugins"].([]any)
		for _, plugin := range []string{"cri", criPlugin[2], criPlugin[3]} {
			if slices.Contains(disabled, any(plugin)) {
				c.off = file.Path
			}
			c.plugin(top, plugin, file.Path, i > 0)
		}
	}
	return c, nil
}

func (c *containerdConfig) plugin(top map[string]any, plugin, file string, imported bool) {
	section, _ := dig(top, "plugins", plugin).(map[string]any)
	if len(section) > 0 && imported {
		c.section = file
	}
	registry, _ := section["registry"].(map[string]any)
	if path, _ := registry["config_path"].(string); path != "" {
		c.path = path
	}
	for _, old := range []string{"mirrors", "configs"} {
		if table, ok := registry[old].(map[string]any); ok && len(table) > 0 {
			c.old = file + " has registry." + old
		}
	}
}

// mergeConfigPath puts the line in and looks whether that changed nothing else.
func mergeConfigPath(text, plugin, path string) ([]byte, error) {
	var before, after map[string]any
	if err := readTOML(text, &before); err != nil {
		return nil, err
	}
	merged, err := withConfigPath(text, plugin, path)
	if err != nil {
		return nil, err
	}
	if err := readTOML(merged, &after); err != nil {
		return nil, errByHand
	}
	if dig(after, "plugins", plugin, "registry", "config_path") != any(path) || !reflect.DeepEqual(withoutPath(before, plugin), withoutPath(after, plugin)) {
		return nil, errByHand
	}
	return []byte(merged), nil
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
