package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A Merge is a file with our part in it.
type Merge struct {
	Text     []byte    // what was found, where there is nothing to change
	Findings []Warning // what else is in the file and matters
}

// MergeHelpers puts the helper of an export (config.json, auth.json) into such a file as it was found, nil for none. Logins
// and helpers of others stay, and what of them stands in the way is a finding. Errors: the file is no JSON object.
func MergeHelpers(found []byte, e Export, settings Settings) (Merge, error) {
	if len(e.Files) == 0 {
		return Merge{Text: found}, nil
	}
	if len(bytes.TrimSpace(found)) == 0 {
		return Merge{Text: []byte(e.Files[0].Text)}, nil
	}
	var wanted struct {
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal([]byte(e.Files[0].Text), &wanted); err != nil {
		return Merge{}, err
	}
	text, helpers, err := ensure(found, "credHelpers", "{}", '{')
	if err != nil {
		return Merge{}, err
	}
	m := Merge{}
	var add []setting
	value, _ := json.Marshal(settings.Helper) // a string always is
	for _, key := range slices.Sorted(maps.Keys(wanted.CredHelpers)) {
		switch other, ok := stringMember(text, helpers, key); {
		case !ok:
			add = append(add, setting{key, string(value)})
		case other != settings.Helper:
			m.Findings = append(m.Findings, Warning{"", fmt.Sprintf("%s is answered by docker-credential-%s, which stays", key, other),
				"to have this node's agent answer, take that line out of credHelpers and run this again"})
		}
	}
	m.Text = insert(text, helpers, add)
	if len(add) == 0 {
		m.Text = found
	}
	m.Findings = append(m.Findings, logins(found, slices.Sorted(maps.Keys(wanted.CredHelpers)))...)
	return m, nil
}

// ensure makes the member of the top object, where it is not there, and finds its value.
func ensure(text []byte, key, empty string, kind byte) ([]byte, jsonValue, error) {
	for {
		top, err := readJSON(text)
		if err != nil {
			return nil, jsonValue{}, err
		}
		member, err := top.member(key)
		switch {
		case err != nil:
			return nil, jsonValue{}, err
		case member == nil:
			text = insert(text, top, []setting{{key, empty}})
		case text[member.value.start] != kind:
			return nil, jsonValue{}, fmt.Errorf("its %s is not what it should be", key)
		default:
			return text, member.value, nil
		}
	}
}

// stringMember is the string that an object has under exactly this key.
func stringMember(text []byte, object jsonValue, key string) (value string, ok bool) {
	for _, m := range object.members {
		if m.key == key {
			_ = json.Unmarshal(text[m.value.start:m.value.end], &value) // what is no string is nobody's helper
			return value, true
		}
	}
	return "", false
}

// logins finds what docker login and its like left for our hosts: it is not asked any more, or it comes first.
func logins(text []byte, hosts []string) []Warning {
	var file struct {
		Auths      map[string]json.RawMessage `json:"auths"`
		CredsStore string                     `json:"credsStore"`
	}
	if json.Unmarshal(text, &file) != nil {
		return nil
	}
	var found []Warning
	for _, key := range slices.Sorted(maps.Keys(file.Auths)) {
		host := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://"), "/")
		name, _, _ := strings.Cut(host, "/")
		if slices.Contains(hosts, key) || slices.Contains(hosts, name) {
			found = append(found, Warning{"", fmt.Sprintf("there is a login for %s from before; Docker uses the helper now, and the login only where the helper is not", key),
				"take it out when the helper answers: docker logout " + key})
		}
	}
	if file.CredsStore != "" {
		found = append(found, Warning{"", fmt.Sprintf("credsStore %s goes on serving all other hosts; for those of the helper it is not asked any more", file.CredsStore), ""})
	}
	return found
}

// Shadows finds logins for the hosts of an export in a file that its readers look into first.
func Shadows(path string, text []byte, e Export) []Warning {
	var wanted, file struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredHelpers map[string]string          `json:"credHelpers"`
	}
	if len(e.Files) == 0 || json.Unmarshal([]byte(e.Files[0].Text), &wanted) != nil || json.Unmarshal(text, &file) != nil {
		return nil
	}
	var found []Warning
	for _, key := range append(slices.Sorted(maps.Keys(file.Auths)), slices.Sorted(maps.Keys(file.CredHelpers))...) {
		host, _, _ := strings.Cut(key, "/")
		if _, ours := wanted.CredHelpers[host]; ours {
			found = append(found, Warning{"", fmt.Sprintf("%s has a login for %s, which is used before the helper is asked", path, key), "take it out: podman logout " + key})
		}
	}
	return found
}

// MergeMirrors puts dockerd's mirror into daemon.json, before others of its kind.
func MergeMirrors(found []byte, e Export, settings Settings) (Merge, error) {
	if len(e.Files) == 0 {
		return Merge{Text: found}, nil
	}
	if len(bytes.TrimSpace(found)) == 0 {
		return Merge{Text: []byte(e.Files[0].Text)}, nil
	}
	text, mirrors, err := ensure(found, "registry-mirrors", "[]", '[')
	if err != nil {
		return Merge{}, err
	}
	ours := "http://" + settings.Mirror
	for _, item := range mirrors.items {
		var url string
		if json.Unmarshal(text[item.start:item.end], &url) == nil && strings.TrimSuffix(url, "/") == ours {
			return Merge{Text: found}, nil
		}
	}
	quoted, _ := json.Marshal(ours) // a string always is
	return Merge{Text: prepend(text, mirrors, quoted)}, nil
}

// prepend puts an item before those that an array has, in the manner of the first.
func prepend(text []byte, array jsonValue, item []byte) []byte {
	at := array.start + 1
	if len(array.items) == 0 {
		return slices.Concat(text[:at], item, text[array.end-1:])
	}
	lead := text[at:array.items[0].start]
	follow := lead
	if len(lead) == 0 {
		follow = []byte(" ")
	}
	return slices.Concat(text[:at], lead, item, []byte(","), follow, text[array.items[0].start:])
}

// MergeProviders puts our provider into a CredentialProviderConfig, JSON or YAML, which the kubelet reads one of only. One of
// the same name stays as it is. Errors: it is neither, or its list of providers is nowhere that text can be put in.
func MergeProviders(found []byte, e Export, settings Settings) (Merge, error) {
	if len(e.Files) == 0 {
		return Merge{Text: found}, nil
	}
	text := bytes.TrimSpace(found)
	if len(text) == 0 {
		return Merge{Text: []byte(e.Files[0].Text)}, nil
	}
	if text[0] == '{' {
		return mergeProvidersJSON(found, e, settings)
	}
	return mergeProvidersYAML(found, e, settings)
}

// errOtherKind is for files that the kubelet would not take either.
var errOtherKind = errors.New("it is no CredentialProviderConfig")

// secretKey is a key in JSON, TOML or YAML whose value is nobody's to see.
var secretKey = regexp.MustCompile(`(?i)^(\s*-?\s*"?[a-z0-9_.-]*(?:auth|token|secret|password|passwd|header|authorization|value|key)[a-z0-9_.-]*"?\s*[:=]\s*)(\S.*?)(,?)$`)

// userinfo is a login in a URL.
var userinfo = regexp.MustCompile(`(://)[^/@\s"]+@`)

// Mask takes out of a configuration file what a screen should not show: logins, tokens, headers, values of environment
// variables. It is for showing differences, and what it returns is no configuration any more.
func Mask(text []byte) []byte {
	if top, err := readJSON(text); err == nil {
		text = maskJSON(text, top, false)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		line = userinfo.ReplaceAllString(line, "$1…@")
		if m := secretKey.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[2], "{") && !strings.HasPrefix(m[2], "[") || m != nil && strings.HasSuffix(line, "]") {
			line = m[1] + "…" + m[3]
		}
		lines[i] = line
	}
	return []byte(strings.Join(lines, "\n"))
}

// secretName is a key of JSON below which every value is masked.
var secretName = regexp.MustCompile(`(?i)auth|token|secret|password|header|prox|env`)

// maskJSON masks what stands below such keys.
func maskJSON(text []byte, v jsonValue, masked bool) []byte {
	if len(v.members) == 0 && len(v.items) == 0 {
		if masked && v.end-v.start > 2 && text[v.start] != '{' && text[v.start] != '[' {
			return slices.Concat(text[:v.start], []byte(`"…"`), text[v.end:])
		}
		return text
	}
	for _, m := range slices.Backward(v.members) { // from the end, so that places stay where they are
		text = maskJSON(text, m.value, masked || secretName.MatchString(m.key))
	}
	for _, item := range slices.Backward(v.items) {
		text = maskJSON(text, item, masked)
	}
	return text
}
