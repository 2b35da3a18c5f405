package main

import (
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// mirrorHosts reads --mirror-host. A host may have wildcards as match patterns have them, and as little as they may it be one
// that anybody can have: the mirror is no proxy to everywhere.
func mirrorHosts(texts []string) ([]image.Pattern, error) {
	const hint = "say a host such as docker.io, registry.example.com:5000 or 123456789012.dkr.ecr.*.amazonaws.com"
	var patterns []image.Pattern
	for _, text := range texts {
		pattern, err := image.ParsePattern(text)
		if err == nil {
			err = pattern.CheckSave()
		}
		switch {
		case err != nil:
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, "--mirror-host: "+err.Error(), hint)
		case !pattern.WholeHost() || pattern.Tag() != "":
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--mirror-host: %q is more than a host", text), hint)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}
