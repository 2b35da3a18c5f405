package dialect

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"pierhead.dev/pierhead"
)

// K3s is registries.yaml, of which K3s and RKE2 make their containerd's configuration at every start.
func K3s(registries []pierhead.Registry, settings Settings) (Export, error) {
	s, err := mirrored(registries, settings)
	if err != nil {
		return Export{}, err
	}
	s.warnWild("registries.yaml names whole hosts and")
	var text strings.Builder
	text.WriteString(comment(
		"Written by pier. Images of these hosts are pulled through the mirror of the node's agent, which has the logins;",
		"there are none here. Where the mirror is not there, the host itself is asked. Read when K3s or RKE2 starts."))
	text.WriteString("mirrors:\n")
	for _, host := range s.hosts {
		s.warnWider(host, "containerd")
		fmt.Fprintf(&text, "  %q:\n    endpoint:\n      - %q\n", host, "http://"+settings.Mirror)
		if s.plain(host) {
			fmt.Fprintf(&text, "      - %q\n", "http://"+host)
		}
	}
	return s.export(len(s.hosts) > 0, File{"registries.yaml", text.String()}), nil
}

// MergeK3s puts the mirrors into a registries.yaml as it was found, nil for none: at the end, where it has none. Errors are
// for people: it has mirrors, which are somebody's, and what to put into them.
func MergeK3s(found []byte, e Export) (Merge, error) {
	if len(e.Files) == 0 {
		return Merge{Text: found}, nil
	}
	fresh := e.Files[0].Text
	if len(bytes.TrimSpace(found)) == 0 {
		return Merge{Text: []byte(fresh)}, nil
	}
	var before, ours, after map[string]any
	if err := yaml.Unmarshal(found, &before); err != nil {
		return Merge{}, fmt.Errorf("it is not YAML: %s", firstLine(err.Error()))
	}
	if err := yaml.Unmarshal([]byte(fresh), &ours); err != nil {
		return Merge{}, err
	}
	if theirs, ok := before["mirrors"].(map[string]any); ok && len(theirs) > 0 {
		return Merge{Text: found}, mirrorsByHand(theirs, ours["mirrors"].(map[string]any))
	}
	_, lines, _ := strings.Cut(fresh, "\nmirrors:\n")
	text := string(bytes.TrimRight(found, "\n")) + "\n" + blockBegin + "mirrors:\n" + lines + blockEnd
	if err := yaml.Unmarshal([]byte(text), &after); err != nil || !reflect.DeepEqual(after["mirrors"], ours["mirrors"]) {
		return Merge{}, errByHand
	}
	delete(before, "mirrors")
	delete(after, "mirrors")
	if len(before)+len(after) > 0 && !reflect.DeepEqual(before, after) {
		return Merge{}, errByHand
	}
	return Merge{Text: []byte(text)}, nil
}

// mirrorsByHand says which of ours are missing; nil for none.
func mirrorsByHand(theirs, ours map[string]any) error {
	var missing []string
	for _, host := range slices.Sorted(maps.Keys(ours)) {
		endpoints, _ := dig(ours, host, "endpoint").([]any)
		there, _ := dig(theirs, host, "endpoint").([]any)
		if len(there) == 0 || !reflect.DeepEqual(there[0], endpoints[0]) {
			missing = append(missing, fmt.Sprintf("%q: {endpoint: [%q]}", host, endpoints[0]))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return pierhead.NewProblem(pierhead.ErrConflict, "it has mirrors of somebody's", "put these into its mirrors, each before other end-points of the host, and restart K3s or RKE2: "+strings.Join(missing, ", "))
}
