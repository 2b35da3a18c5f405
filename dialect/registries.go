package dialect

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A ConfFile is one of the files that together are registries.conf(5) for containers/image, as it was found.
type ConfFile struct {
	Path  string
	Text  []byte // nil: there is none
	After bool   // it is read after our drop-in
}

// MergeRegistries makes the drop-in of an export, or puts what is missing of it into the one that was found.
//
// Of all [[registry]] whose prefix covers an image containers/image takes the longest, alone, and of equal ones the one that
// is read last: nothing of another's holds any more for what ours covers. So ours is left out, with a finding, where that
// would lose what somebody wrote, and first of all blocked = true. Each of others is all the other files, in the order in
// which one generation of containers/image reads them. Errors: a file that is not TOML, with its path where it is another.
func MergeRegistries(found ConfFile, e Export, others [][]ConfFile) (Merge, error) {
	if len(e.Files) == 0 {
		return Merge{Text: found.Text}, nil
	}
	theirs := string(found.Text)
	if stripped := withoutBlock(theirs); stripped != theirs {
		theirs = strings.TrimSuffix(stripped, "\n") // the empty line before it
	}
	own := ConfFile{Path: found.Path, Text: []byte(theirs)}
	var before map[string]any
	if err := readTOML(theirs, &before); err != nil {
		return Merge{}, err
	}
	kept, err := readRegistries(own)
	if err != nil {
		return Merge{}, err
	}
	head, ours, err := splitRegistries(e.Files[0].Text)
	if err != nil {
		return Merge{}, err
	}
	views := make([]registriesView, len(others))
	for i, files := range others {
		later := slices.IndexFunc(files, func(f ConfFile) bool { return f.After })
		if later < 0 {
			later = len(files)
		}
		if views[i], err = registriesOf(slices.Insert(slices.Clone(files), later, own)); err != nil {
			return Merge{}, err
		}
	}
	var m Merge
	var added strings.Builder
	for _, r := range ours {
		findings, out := against(r, views)
		if m.Findings = append(m.Findings, findings...); !out && kept[r.prefix].prefix == "" {
			added.WriteString(r.text())
		}
	}
	if strings.TrimSpace(theirs) != "" {
		m.Findings = append(m.Findings, Warning{"", found.Path + " is not as pier wrote it, so what is in it stays, and only registries that it does not name are added",
			"to have it made anew, take it away and run this again"})
	}
	m.Text = joinRegistries(theirs, head, added.String())
	return m, keptTables(before, m.Text, "registry")
}

// keptTables looks whether lines at the end of a TOML file added to a list of tables and changed nothing else.
func keptTables(before map[string]any, merged []byte, key string) error {
	var after map[string]any
	if readTOML(string(merged), &after) != nil {
		return errByHand
	}
	was, is := tables(before[key]), tables(after[key])
	if len(is) < len(was) || len(was) > 0 && !reflect.DeepEqual(was, is[:len(was)]) {
		return errByHand
	}
	before, after = maps.Clone(before), maps.Clone(after)
	delete(before, key)
	delete(after, key)
	if !reflect.DeepEqual(before, after) {
		return errByHand
	}
	return nil
}

func joinRegistries(theirs, head, added string) []byte {
	switch {
	case strings.TrimSpace(theirs) == "" && added == "":
		return nil
	case strings.TrimSpace(theirs) == "":
		return []byte(head + added)
	case added == "":
		return []byte(theirs)
	}
	if !strings.HasSuffix(theirs, "\n") {
		theirs += "\n"
	}
	return []byte(theirs + "\n" + blockBegin + strings.TrimPrefix(added, "\n") + blockEnd)
}

// A confRegistry is one [[registry]].
type confRegistry struct {
	prefix, location string
	insecure         bool
	mirrors          []string       // their locations
	more             map[string]any // all else that is set to something
	file             ConfFile
}

// text is a [[registry]] of ours: one mirror, which is on loopback.
func (r confRegistry) text() string {
	text := fmt.Sprintf("\n[[registry]]\nprefix = %q\nlocation = %q\n", r.prefix, r.location)
	if r.insecure {
		text += "insecure = true\n"
	}
	return text + fmt.Sprintf("\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", r.mirrors[0])
}

// splitRegistries takes an export's text apart: its comment, and what it says.
func splitRegistries(text string) (head string, ours []confRegistry, err error) {
	head, _, _ = strings.Cut(text, "\n[[registry]]\n")
	table, err := readRegistries(ConfFile{Text: []byte(text)})
	for _, prefix := range slices.Sorted(maps.Keys(table)) {
		ours = append(ours, table[prefix])
	}
	return head, ours, err
}

// readRegistries is what a file says, by prefix: of two with one prefix the first counts.
func readRegistries(file ConfFile) (map[string]confRegistry, error) {
	var top map[string]any
	if err := readTOML(string(file.Text), &top); err != nil {
		if file.Path != "" {
			err = fmt.Errorf("%s, which is read beside it: %w", file.Path, err)
		}
		return nil, err
	}
	read := make(map[string]confRegistry)
	add := func(r confRegistry) {
		if _, twice := read[r.prefix]; !twice && r.prefix != "" {
			r.file = file
			read[r.prefix] = r
		}
	}
	for _, keys := range tables(top["registry"]) {
		add(confRegistryOf(keys))
	}
	old, _ := top["registries"].(map[string]any) // version 1, which the newest refuse
	for list, key := range map[string]string{"block": "blocked", "insecure": "insecure"} {
		table, _ := old[list].(map[string]any)
		hosts, _ := table["registries"].([]any)
		for _, host := range hosts {
			add(confRegistryOf(map[string]any{"location": host, key: true}))
		}
	}
	return read, nil
}

func confRegistryOf(keys map[string]any) confRegistry {
	text := func(keys map[string]any, key string) string {
		value, _ := keys[key].(string)
		return strings.TrimRight(value, "/")
	}
	r := confRegistry{prefix: text(keys, "prefix"), location: text(keys, "location"), more: make(map[string]any)}
	r.prefix = cmp.Or(r.prefix, r.location)
	r.insecure, _ = keys["insecure"].(bool)
	for _, mirror := range tables(keys["mirror"]) {
		r.mirrors = append(r.mirrors, text(mirror, "location"))
	}
	for key, value := range keys {
		if !slices.Contains([]string{"prefix", "location", "insecure", "mirror"}, key) && value != false && value != "" {
			r.more[key] = value
		}
	}
	return r
}

// tables are a list of tables, in either of the two ways in which TOML writes them.
func tables(value any) []map[string]any {
	if list, ok := value.([]map[string]any); ok {
		return list
	}
	var all []map[string]any
	list, _ := value.([]any)
	for _, item := range list {
		if table, ok := item.(map[string]any); ok {
			all = append(all, table)
		}
	}
	return all
}

// lost is what of it would not hold any more, were ours in its place; "" for nothing.
func (r confRegistry) lost(ours confRegistry) string {
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(r.more)) {
		lost = append(lost, fmt.Sprintf("%s = %v", key, r.more[key]))
	}
	if r.insecure != ours.insecure {
		lost = append(lost, fmt.Sprintf("insecure = %v", r.insecure))
	}
	if r.location != r.prefix && r.location != "" {
		lost = append(lost, fmt.Sprintf("location = %q", r.location))
	}
	for _, mirror := range r.mirrors {
		lost = append(lost, "its mirror "+mirror)
	}
	return strings.Join(lost, ", ")
}

// blocked tells whether nothing is to be pulled from there.
func (r confRegistry) blocked() bool { return r.more["blocked"] == true }

// A registriesView is what one generation of containers/image makes of its files.
type registriesView map[string]confRegistry

func registriesOf(files []ConfFile) (registriesView, error) {
	view := make(registriesView)
	for _, file := range files {
		read, err := readRegistries(file)
		if err != nil {
			return nil, err
		}
		maps.Copy(view, read)
	}
	return view, nil
}

// covering is the [[registry]] that holds for a namespace: the longest.
func (v registriesView) covering(name string) (found confRegistry, ok bool) {
	for _, prefix := range slices.Sorted(maps.Keys(v)) {
		if covers(prefix, name) && (!ok || len(prefix) > len(found.prefix)) {
			found, ok = v[prefix], true
		}
	}
	return found, ok
}

// covers tells whether a prefix of registries.conf covers a namespace, in the manner of containers/image: a host covers
// itself with a port, and "*.example.com" hosts below example.com.
func covers(prefix, name string) bool {
	end := len(prefix)
	if suffix, wild := strings.CutPrefix(prefix, "*"); wild && strings.HasPrefix(suffix, ".") {
		at := strings.Index(name, suffix)
		if at < 0 || strings.Contains(name[:at], "/") {
			return false
		}
		end = at + len(suffix)
	} else if !strings.HasPrefix(name, prefix) {
		return false
	}
	return end == len(name) || strings.IndexByte(":/@", name[end]) >= 0
}

// against looks at one of ours beside what others wrote; out tells that it has to be left out.
func against(ours confRegistry, views []registriesView) (findings []Warning, out bool) {
	for _, view := range views {
		if theirs, ok := view.covering(ours.prefix); ok {
			if w, stays := theirs.clash(ours); stays {
				return w, true
			}
		}
	}
	for _, view := range views {
		for _, prefix := range slices.Sorted(maps.Keys(view)) {
			if theirs := view[prefix]; prefix != ours.prefix && covers(ours.prefix, prefix) && !theirs.blocked() && !slices.Contains(theirs.mirrors, within(ours, prefix)) {
				w := Warning{"", fmt.Sprintf("%s has a [[registry]] for %s of its own, which goes on holding, so these images are not pulled through the mirror", theirs.file.Path, prefix),
					byHand(theirs.file.Path, prefix, within(ours, prefix))}
				if !slices.Contains(findings, w) {
					findings = append(findings, w)
				}
			}
		}
	}
	return findings, false
}

// within is the mirror of a namespace that is below the prefix of ours.
func within(ours confRegistry, name string) string {
	rest, ok := strings.CutPrefix(name, ours.prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return ""
	}
	return ours.mirrors[0] + rest
}

// clash tells what is in the way of ours; stays, that ours has to be left out.
func (r confRegistry) clash(ours confRegistry) (findings []Warning, stays bool) {
	lost := r.lost(ours)
	where := fmt.Sprintf("%s has a [[registry]] for %s", r.file.Path, r.prefix)
	switch {
	case r.blocked():
		return []Warning{{"", fmt.Sprintf("%s, which blocks it; that stays so, and %s is left out", where, ours.prefix),
			fmt.Sprintf("if its images shall be pulled, take the block away, or say in %s that %s is not blocked (a [[registry]] with that prefix and location), and run this again", r.file.Path, ours.prefix)}}, true
	case r.prefix == ours.prefix && slices.Contains(r.mirrors, ours.mirrors[0]):
		return nil, true // somebody did what the hint says
	case lost != "":
		hint := byHand(r.file.Path, r.prefix, ours.mirrors[0])
		if r.prefix != ours.prefix {
			hint = fmt.Sprintf("write a [[registry]] for %s that says what shall hold for it into %s, and the mirror into that: [[registry.mirror]], location = %q, insecure = true, a line each", ours.prefix, r.file.Path, ours.mirrors[0])
		}
		return []Warning{{"", fmt.Sprintf("%s, and beside one of ours what it says would be lost (%s), so %s is left out", where, lost, ours.prefix), hint}}, true
	case r.prefix == ours.prefix && r.file.After:
		return []Warning{{"", fmt.Sprintf("%s, which is read after pier's and holds instead", where), byHand(r.file.Path, r.prefix, ours.mirrors[0])}}, true
	}
	return nil, false
}

// byHand says how the mirror gets into somebody's own [[registry]].
func byHand(path, prefix, mirror string) string {
	if mirror == "" {
		return ""
	}
	return fmt.Sprintf("to have the mirror asked first, put into %s, under the [[registry]] for %s and before its other mirrors: [[registry.mirror]], location = %q, insecure = true, a line each", path, prefix, mirror)
}
