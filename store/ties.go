package store

import (
	"slices"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// checkTies refuses a registry with a pattern that another enabled one of the organization has too, for some of the
// same projects: no rule could choose between them.
func (k *call) checkTies(o owner, r pierhead.Registry) error {
	if !r.Enabled {
		return nil // it is looked at when somebody enables it
	}
	others, err := k.registries(o)
	if err != nil {
		return err
	}
	mine := patternsOf(r)
	for _, other := range others {
		if other.ID == r.ID || !other.Enabled || !overlap(r.Projects, other.Projects) {
			continue
		}
		for pattern, written := range patternsOf(other) {
			if _, tie := mine[pattern]; tie {
				return conflict("match: %q is registry %s's too", "change one of them, or limit them to different projects", written, other.Name)
			}
		}
	}
	return nil
}

// patternsOf is the canonical patterns, each with the text as written.
func patternsOf(r pierhead.Registry) map[string]string {
	patterns := map[string]string{}
	for _, text := range r.Match {
		if pattern, err := image.ParsePattern(text); err == nil {
			patterns[pattern.String()] = text
		}
	}
	return patterns
}

// overlap tells whether neither scope is preferred and a project is in both: one that lists the project wins over all.
func overlap(x, y pierhead.ProjectScope) bool {
	if x.All || y.All {
		return x.All == y.All
	}
	return slices.ContainsFunc(x.Names, func(name string) bool { return slices.Contains(y.Names, name) })
}
