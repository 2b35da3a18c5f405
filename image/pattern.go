package image

import (
	"slices"
	"strings"
)

// A Pattern says which references a registry covers: host[/path[:tag]], in which
//
//   - the text before the first slash is always the host, folded like a reference's; "*" stands within one label, and
//     host and pattern have equally many labels and the same port;
//   - "*" in the path stands within one segment, and a last segment that is "*" alone stands for one or more segments;
//     no path at all means "/*", and a path without a wildcard is exactly that repository;
//   - no tag means any reference; ":*" means any too, by digest alone included; a narrower tag needs the reference to
//     have a tag.
//
// It is a value, made by ParsePattern.
type Pattern struct {
	written string
	host    string // canonical, perhaps with "*"
	path    string // without the last "/*"
	subtree bool   // there was a last "/*"
	tag     string
}

// Written is the text as it was given.
func (p Pattern) Written() string { return p.written }

// String is the canonical text: two patterns cover the same references by the same rule if it is equal.
func (p Pattern) String() string {
	text := p.host + "/" + p.path
	if p.subtree {
		text = strings.TrimSuffix(text, "/") + "/*"
	}
	if p.tag != "" {
		text += ":" + p.tag
	}
	return text
}

// Host is the canonical host with its wildcards.
func (p Pattern) Host() string { return p.host }

// HostHasGlob tells whether the host has a wildcard.
func (p Pattern) HostHasGlob() bool { return HasGlob(p.host) }

// Literal returns the host if it has no wildcard.
func (p Pattern) Literal() (host string, ok bool) {
	if p.HostHasGlob() {
		return "", false
	}
	return p.host, true
}

// LiteralHosts are the canonical hosts that match patterns write out in full, sorted and each once, never nil: what a login
// that names none may be for, and what a credential is sealed to. all tells whether these are the hosts of every pattern:
// it is false when one has a wildcard in its host, or none that is one. What follows a host is ParsePattern's to judge, and
// not looked at here: agents ask for every login that they lend.
func LiteralHosts(match []string) (hosts []string, all bool) {
	hosts, all = []string{}, true
	before := ""
	for i, text := range match {
		written := writtenHost(text)
		if i > 0 && written == before { // patterns of one host stand together
			continue
		}
		before = written
		p, err := ParsePattern(written)
		if err != nil || p.HostHasGlob() {
			all = false
			continue
		}
		hosts = append(hosts, p.host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), all
}

// Path is the path without the tag and without the last "/*"; "" for the whole host.
func (p Pattern) Path() string { return p.path }

// Subtree tells whether everything below Path is covered (and Path itself is not), rather than Path alone.
func (p Pattern) Subtree() bool { return p.subtree }

// WholeHost tells whether every repository of the host is covered.
func (p Pattern) WholeHost() bool { return p.subtree && p.path == "" }

// Tag is the tag with its wildcards, or "" where the pattern says nothing of tags.
func (p Pattern) Tag() string { return p.tag }

// Repository returns the one repository that the pattern names, if it names one. A registry without such a pattern
// needs a sample image to be checked with.
func (p Pattern) Repository() (repository string, ok bool) {
	if p.subtree || HasGlob(p.path) {
		return "", false
	}
	return p.path, true
}

// A Verdict is what a pattern says of a reference that may be known in part.
type Verdict int

// The verdicts. Maybe: it depends on the tag, and that is not known.
const (
	No Verdict = iota
	Maybe
	Yes
)

// Matches holds one reference against the pattern. To find the best of many patterns use package resolve.
func (p Pattern) Matches(r Reference) Verdict {
	if !p.MatchesHost(r.host) || !p.MatchesRepository(r.repository) {
		return No
	}
	return p.MatchesTag(r.tag, !r.tagUnknown)
}

// MatchesHost holds a canonical host against the pattern.
func (p Pattern) MatchesHost(host string) bool { return MatchHost(p.host, host) }

// MatchHost is MatchesHost for a host known apart from its pattern: label by label, with the same port.
func MatchHost(glob, host string) bool {
	if !HasGlob(glob) {
		return glob == host
	}
	if strings.HasPrefix(host, "[") { // an IPv6 literal is no list of labels
		return false
	}
	glob, globPort, _ := cutByte(glob, ':')
	name, port, _ := cutByte(host, ':')
	return globPort == port && matchParts(glob, name, '.')
}

// MatchesRepository holds a repository against the path.
func (p Pattern) MatchesRepository(repository string) bool {
	return MatchPath(p.path, p.subtree, repository)
}

// MatchPath is MatchesRepository for a path known apart from its pattern.
func MatchPath(path string, subtree bool, repository string) bool {
	if !subtree {
		return matchParts(path, repository, '/')
	}
	if path == "" {
		return repository != ""
	}
	end := 0
	for range strings.Count(path, "/") + 1 {
		next := strings.IndexByte(repository[end:], '/')
		if next < 0 {
			return false // fewer segments than the path, or just as many: the path itself is not below it
		}
		end += next + 1
	}
	return matchParts(path, repository[:end-1], '/')
}

// MatchesTag holds a tag against the pattern; known and "" is a reference by digest alone.
func (p Pattern) MatchesTag(tag string, known bool) Verdict {
	switch {
	case !TagIsNarrow(p.tag):
		return Yes
	case !known:
		return Maybe
	case tag != "" && MatchGlob(p.tag, tag):
		return Yes
	}
	return No
}

// TagIsNarrow tells whether a pattern's tag shuts anything out: neither "" nor "*" does.
func TagIsNarrow(tag string) bool { return tag != "" && tag != "*" }
