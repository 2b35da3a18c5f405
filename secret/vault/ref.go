package vault

import (
	"strconv"
	"strings"

	"pierhead.dev/pierhead/secret"
)

// Scheme is the scheme of references that this source serves.
const Scheme = "vault"

// A place is what a reference names.
type place struct {
	path    string // mount and what is below it, as in `vault kv get`: "secret/team/registry"
	version int    // of KV 2; 0 is the newest
	field   string // "" is the whole data object
}

// String is the reference that parse reads.
func (p place) String() string {
	text := Scheme + ":" + p.path
	if p.version > 0 {
		text += "?version=" + strconv.Itoa(p.version)
	}
	if p.field != "" {
		text += "#" + p.field
	}
	return text
}

const form = "write vault:MOUNT/PATH, with ?version=N for a version and #FIELD for one field, as in vault:secret/team/registry#password"

// parse reads "vault:MOUNT/PATH[?version=N][#FIELD]". The errors are secret.ErrRef.
func parse(ref secret.Ref) (place, error) {
	refuse := func(text string) (place, error) {
		return place{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: text, Hint: form}
	}
	if ref.Scheme() != Scheme {
		return refuse("not a reference to Vault")
	}
	var p place
	var hasQuery, hasField bool
	rest := ref.Name()
	rest, p.field, hasField = strings.Cut(rest, "#")
	p.path, rest, hasQuery = strings.Cut(rest, "?")
	switch {
	case strings.HasPrefix(p.path, "//"):
		return refuse("a reference to Vault has no address in it: which Vault it is, the agent's operator says")
	case !isPath(p.path):
		return refuse("not the path of a secret in Vault")
	case hasField && (p.field == "" || strings.Contains(p.field, "#")):
		return refuse("not the name of a field after #")
	case !hasQuery:
		return p, nil
	}
	number, found := strings.CutPrefix(rest, "version=")
	version, err := strconv.Atoi(number)
	if !found || err != nil || version < 1 || version > 1<<30 || strconv.Itoa(version) != number {
		return refuse("after ? comes version=N, and nothing else")
	}
	p.version = version
	return p, nil
}

// isPath tells whether a path has a mount and something below it, in segments that Vault and every proxy before it read
// alike: no dots alone, nothing empty, nothing escaped.
func isPath(path string) bool {
	segments := strings.Split(path, "/")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." || strings.ContainsAny(s, `%\*`) {
			return false
		}
	}
	return len(segments) >= 2
}
