package image

import (
	"fmt"
	"strings"
)

// longestPatternHost is above what DNS and a port need.
const longestPatternHost = 255

// ParsePattern reads a match pattern. What it accepts may still be too wide to be saved: see CheckSave. Errors:
// ErrEmpty, ErrSpace, ErrScheme, ErrUserinfo, ErrHost, ErrUppercase, ErrRepository, ErrTooLong, ErrTag, ErrPattern.
func ParsePattern(s string) (Pattern, error) {
	bad := func(kind error, instead string) (Pattern, error) {
		return Pattern{}, fault("match pattern", s, kind, instead)
	}
	text, instead, kind := patternText(s)
	if kind != nil {
		return bad(kind, instead)
	}
	host, path, hasPath := strings.Cut(text, "/")
	if err := checkHost(host, true); err != nil {
		return bad(ErrHost, patternHostAdvice(host, hasPath, err))
	}
	host, err := foldHost(host)
	if err != nil {
		return bad(ErrHost, err.Error())
	}
	if len(host)-strings.Count(host, "*") > longestPatternHost {
		return bad(ErrTooLong, "a host has at most 255 characters")
	}
	p := Pattern{written: s, host: host}
	if path == "" {
		p.subtree = true
		return p, nil
	}
	if colon := strings.LastIndexByte(path, ':'); colon > strings.LastIndexByte(path, '/') {
		path, p.tag = path[:colon], path[colon+1:]
		if err := checkTag(p.tag, true); err != nil {
			return bad(ErrTag, err.Error())
		}
	}
	p.path, p.subtree = splitSubtree(path)
	if instead, kind := checkPatternPath(p.path, path); kind != nil {
		return bad(kind, instead)
	}
	if p.host == Hub && !p.subtree && !strings.Contains(p.path, "/") {
		p.path = "library/" + p.path
	}
	if shortestInstance(p.path) > longestRepository {
		return bad(ErrTooLong, tooLongAdvice)
	}
	return p, nil
}

// writtenHost is a pattern as far as its host: a pattern for all of it.
func writtenHost(s string) string {
	begin := len(schemeOf(s))
	if slash := strings.IndexByte(s[begin:], '/'); slash >= 0 {
		return s[:begin+slash]
	}
	return s
}

// patternText takes the scheme off and refuses what no pattern has.
func patternText(s string) (text, instead string, kind error) {
	text = s
	if scheme := schemeOf(s); strings.EqualFold(scheme, "https://") || strings.EqualFold(scheme, "http://") {
		text = s[len(scheme):]
	} else if scheme != "" {
		return "", "write it without " + scheme, ErrScheme
	}
	before, after, hasAt := strings.Cut(text, "@")
	switch {
	case text == "":
		return "", "write host/path/*, as in registry.example.com/team/*", ErrEmpty
	case hasSpace(text):
		return "", "write it without; one pattern per line or list item", ErrSpace
	case hasAt && strings.Contains(before, "/") && !strings.Contains(after, "/"):
		return "", "a pattern names no digest; write it without what follows the @", ErrPattern
	case hasAt:
		return "", "write only host, path and tag; the login belongs in the registry's credential", ErrUserinfo
	case strings.ContainsAny(text, "?#[") && !strings.HasPrefix(text, "["), strings.Contains(text, "?"):
		return "", `the only wildcard is "*"; there are no queries and no "?", "#" or "[…]"`, ErrPattern
	case strings.Contains(text, "**"):
		return "", `write "*" once; at the end of a path it stands for any number of segments`, ErrPattern
	}
	return text, "", nil
}

func patternHostAdvice(host string, hasPath bool, err error) string {
	name, tag, hasColon := strings.Cut(host, ":")
	if !hasPath && hasColon && !strings.Contains(tag, ":") && !allDigits(tag) && !strings.Contains(name, ".") {
		return fmt.Sprintf("patterns have no short names; for an image on Docker Hub write docker.io/library/%s", host)
	}
	return err.Error()
}

func splitSubtree(path string) (prefix string, subtree bool) {
	if path == "*" {
		return "", true
	}
	return strings.CutSuffix(path, "/*")
}

// checkPatternPath checks each segment; whole is the path before its last "/*" was taken off.
func checkPatternPath(path, whole string) (instead string, kind error) {
	if path == "" {
		if whole == "*" {
			return "", nil
		}
		return "there is nothing between two slashes, or before the tag", ErrRepository
	}
	if lower := strings.ToLower(path); lower != path {
		return fmt.Sprintf("write %q", lower), ErrUppercase
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" && strings.HasSuffix(whole, "/") {
			return fmt.Sprintf("write %q for everything below it", strings.TrimRight(whole, "/")+"/*"), ErrRepository
		}
		if err := checkPatternSegment(segment); err != nil {
			return err.Error(), ErrRepository
		}
	}
	return "", nil
}

func checkPatternSegment(segment string) error {
	if strings.ContainsAny(segment, "<>{}$") {
		return fmt.Errorf("%q is a placeholder: write what it stands for", segment)
	}
	if !HasGlob(segment) {
		return checkComponent(segment)
	}
	// What stands around a "*" is a piece of a component. With a letter for each "*", it must be a component itself,
	// else no repository could match.
	if !isComponent(strings.ReplaceAll(segment, "*", "x")) {
		return fmt.Errorf("%q can match nothing: %s", segment, repositoryForm)
	}
	return nil
}

// shortestInstance is the length of the shortest repository that could match.
func shortestInstance(path string) int {
	n := len(path) - strings.Count(path, "*")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "*" {
			n++
		}
	}
	return n
}
