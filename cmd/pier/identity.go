package main

import (
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// identityFor reads --node-identity: nil for "all", an empty list for "none", else match patterns.
func identityFor(texts []string) ([]image.Pattern, error) {
	switch {
	case len(texts) == 0, len(texts) == 1 && texts[0] == "all":
		return nil, nil
	case len(texts) == 1 && texts[0] == "none":
		return []image.Pattern{}, nil
	}
	var patterns []image.Pattern
	for _, text := range texts {
		pattern, err := image.ParsePattern(text)
		switch {
		case err != nil:
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, "--node-identity: "+err.Error(), "say all, none, or match patterns such as 123456789012.dkr.ecr.*.amazonaws.com/team/*")
		case !pattern.Vendor().Cloud():
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--node-identity: %q is at no registry of a cloud", text), "a node's identity counts at ECR, Google's and Azure's registries only")
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}
