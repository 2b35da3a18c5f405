package image

import "strings"

// MatchGlob tells whether s is an instance of glob, in which each "*" stands for any characters, or none. It knows no
// separators: callers hand it one label, one path segment or one tag. It allocates nothing.
func MatchGlob(glob, s string) bool {
	star, resume := -1, 0 // where the last "*" was, and where in s to try again after it
	g, i := 0, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, i
			g++
		case g < len(glob) && glob[g] == s[i]:
			g++
			i++
		case star >= 0:
			resume++
			g, i = star+1, resume
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}

// HasGlob tells whether a text of a pattern has a wildcard in it.
func HasGlob(s string) bool { return strings.IndexByte(s, '*') >= 0 }

// matchParts matches texts part by part between separators: a "*" never crosses one, and there must be as many parts.
func matchParts(glob, s string, separator byte) bool {
	for {
		g, gRest, gMore := cutByte(glob, separator)
		p, pRest, pMore := cutByte(s, separator)
		if !MatchGlob(g, p) || gMore != pMore {
			return false
		}
		if !gMore {
			return true
		}
		glob, s = gRest, pRest
	}
}

func cutByte(s string, c byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
