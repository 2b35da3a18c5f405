package access

import (
	"fmt"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
)

// MayName returns nil when a secret reference lies under one of the prefixes that were allowed to the owner of a project:
// whole segments count, so "vault:secret/team-a" covers "vault:secret/team-a/hub" and not "vault:secret/team-ab". Otherwise
// it is a *pierhead.Problem of kind ErrNotAllowed that says which prefix to ask for, and whom.
func MayName(c pierhead.Caller, reference string, prefixes []string, owner string, personal bool) error {
	name := NameOfSecret(reference)
	for _, prefix := range prefixes {
		if under := NameOfSecret(prefix); name != nil && len(under) > 0 && len(under) <= len(name) && slices.Equal(under, name[:len(under)]) {
			return nil
		}
	}
	whom := "an admin of the organization allows it"
	command := "pier secret allow " + askFor(reference) + " --org " + owner
	if personal {
		whom, command = "an administrator of the installation allows it", "pier secret allow "+askFor(reference)+" --person "+owner
	}
	text := fmt.Sprintf("%s may not name the secret %s", c.Name, reference)
	if name == nil {
		text, command = fmt.Sprintf("%s may not name a secret by a reference with %%, . or .. in its path", c.Name), ""
		whom = "write the reference in full and plainly"
	}
	if command != "" {
		whom += ": " + command
	}
	return pierhead.NewProblem(pierhead.ErrNotAllowed, text, whom)
}

// NameOfSecret splits a reference into the segments that count for MayName: its scheme, and what lies between colons and
// slashes; a query and a fragment choose within a secret and do not count. It is nil for a reference that means another
// place than it seems to: with an empty segment inside, "." or "..", or an escaped character.
func NameOfSecret(reference string) []string {
	name, _, _ := strings.Cut(reference, "#")
	name, _, _ = strings.Cut(name, "?")
	name = strings.Replace(name, "://", ":", 1)
	segments := strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == ':' })
	if strings.ContainsAny(name, `%\`) || strings.Contains(name, "//") || strings.Contains(name, "/:") || slices.Contains(segments, ".") || slices.Contains(segments, "..") || len(segments) == 0 {
		return nil
	}
	return segments
}

// askFor is the reference without its last segment where there is a path, else the reference.
func askFor(reference string) string {
	name, _, _ := strings.Cut(reference, "#")
	name, _, _ = strings.Cut(name, "?")
	if i := strings.LastIndexByte(name, '/'); i > 0 && !strings.HasSuffix(name[:i], "/") {
		return name[:i]
	}
	return name
}
