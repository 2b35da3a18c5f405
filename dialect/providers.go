package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// providersFile is what matters of a CredentialProviderConfig.
type providersFile struct {
	Kind      string           `json:"kind" yaml:"kind"`
	Providers []map[string]any `json:"providers" yaml:"providers"`
}

func (f providersFile) has(name string) bool {
	return slices.ContainsFunc(f.Providers, func(p map[string]any) bool { return p["name"] == name })
}

func stays(found []byte, settings Settings) Merge {
	return Merge{found, []Warning{{"", settings.Plugin + " is in the list of providers already, and stays as it is", "take it out to have it made anew"}}}
}

func mergeProvidersJSON(found []byte, e Export, settings Settings) (Merge, error) {
	var file providersFile
	if err := json.Unmarshal(found, &file); err != nil {
		return Merge{}, fmt.Errorf("it is not JSON: %w", err)
	}
	if file.Kind != "CredentialProviderConfig" {
		return Merge{}, errOtherKind
	}
	if file.has(settings.Plugin) {
		return stays(found, settings), nil
	}
	var ours providersFile
	if err := yaml.Unmarshal([]byte(e.Files[0].Text), &ours); err != nil {
		return Merge{}, err
	}
	text, list, err := ensure(found, "providers", "[]", '[')
	if err != nil {
		return Merge{}, err
	}
	item, err := json.MarshalIndent(ours.Providers[0], lineIndent(text, list.start)+"  ", "  ")
	if err != nil {
		return Merge{}, err
	}
	at, lead := list.start+1, ""
	if n := len(list.items); n > 0 {
		at, lead = list.items[n-1].end, ", "
	}
	return Merge{Text: slices.Concat(text[:at], []byte(lead), item, text[at:])}, nil
}

// errNoPlace is for YAML that is written in a way in which a list cannot be made longer by a few lines.
var errNoPlace = errors.New("its list of providers is not written one below the other at the end of the file")

// mergeProvidersYAML adds lines at the end, and looks whether that made the list longer by one and changed nothing else.
func mergeProvidersYAML(found []byte, e Export, settings Settings) (Merge, error) {
	var file, ours providersFile
	var before, after map[string]any
	if err := yaml.Unmarshal(found, &file); err != nil {
		return Merge{}, fmt.Errorf("it is not YAML: %w", errors.New(firstLine(err.Error())))
	}
	if err := errors.Join(yaml.Unmarshal(found, &before), yaml.Unmarshal([]byte(e.Files[0].Text), &ours)); err != nil {
		return Merge{}, err
	}
	switch {
	case file.Kind != "CredentialProviderConfig":
		return Merge{}, errOtherKind
	case file.has(settings.Plugin):
		return stays(found, settings), nil
	}
	_, item, _ := strings.Cut(e.Files[0].Text, "\nproviders:\n")
	indent, ok := listIndent(found)
	if !ok {
		return Merge{}, errNoPlace
	}
	var text bytes.Buffer
	text.Write(bytes.TrimRight(found, "\n"))
	text.WriteByte('\n')
	for line := range strings.Lines(item) {
		text.WriteString(indent + strings.TrimPrefix(line, "  "))
	}
	if err := yaml.Unmarshal(text.Bytes(), &after); err != nil {
		return Merge{}, errNoPlace
	}
	list, _ := after["providers"].([]any)
	old, _ := before["providers"].([]any)
	if len(list) != len(old)+1 || !reflect.DeepEqual(list[:len(old)], old) {
		return Merge{}, errNoPlace
	}
	delete(before, "providers")
	delete(after, "providers")
	if !reflect.DeepEqual(before, after) {
		return Merge{}, errNoPlace
	}
	return Merge{Text: text.Bytes()}, nil
}

// listIndent is how far the items of providers are from the margin.
func listIndent(text []byte) (indent string, ok bool) {
	inside := false
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimLeft(line, " ")
		if inside && strings.HasPrefix(bare, "- ") {
			return line[:len(line)-len(bare)], true
		}
		inside = inside || strings.HasPrefix(line, "providers:")
	}
	return "", false
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
