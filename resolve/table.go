package resolve

import (
	"hash/maphash"

	"pierhead.dev/pierhead"
)

// A Table answers which registry an image belongs to. Compile makes it; it never changes and may be used by many at
// once.
type Table struct {
	seed       maphash.Seed
	registries []pierhead.Registry // by name, then id: the order that breaks every tie in what is told
	hosts      []host              // by name

	literal    []hostSlot // hosts without wildcard: open addressing, three quarters full
	globs      index      // hosts with, in one table
	globsAt    span
	globShapes []shape  // that globs are filed under
	globHosts  []uint32 // all hosts with wildcards, for explain

	rules  []rule // by host
	paths  index  // rules of enabled registries, in one table for each host
	shapes []shape
	sets   []uint32 // numbers of shapes, one run per set of shapes that some host has
	owners []uint32 // rules, one run per host: the most specific of each enabled registry

	projects map[string]span // which registries list it
	listed   []uint32        // numbers of registries, ascending in each run
}

// A span is a run in some slice.
type span struct{ first, end uint32 }

func (s span) of(numbers []uint32) []uint32 { return numbers[s.first:s.end] }

// A hostSlot is empty, or the number of a host, plus one.
type hostSlot struct {
	print  uint32 // of the name's hash
	number uint32
}

// A host is a host of a pattern, with its wildcards. It fills one line of the processor's cache.
type host struct {
	name   string
	paths  span // in Table.paths
	shapes span // in Table.sets, those with the most plain segments first
	rank   hostRank
	rules  span // in Table.rules
	owners span // in Table.owners
	_      [12]byte
}

// A rule is one pattern of one registry. There may be millions, so it is small, and its text is the registry's own
// string wherever that has the canonical path in it.
type rule struct {
	text     string // path and tag are in it
	rank     pathRank
	registry uint32 // in Table.registries
	match    uint32 // in Registry.Match
	pathAt   uint16
	path     uint16 // length of the path without its last "/*"
	tag      uint16 // length of the tag, which is at the end
	flags    ruleFlags
}

type ruleFlags uint8

const (
	ruleSubtree   ruleFlags = 1 << iota // there was a last "/*"
	rulePathGlob                        // the path has a wildcard besides
	ruleNarrow                          // the tag shuts something out
	ruleOpen                            // the registry is open to all projects
	ruleDisabled                        // the registry is disabled; kept for explain
	ruleRewritten                       // the text is not the pattern as written
)

func (f ruleFlags) has(flag ruleFlags) bool { return f&flag != 0 }

func (r *rule) pathText() string { return r.text[r.pathAt:][:r.path] }
func (r *rule) tagText() string  { return r.text[len(r.text)-int(r.tag):] }

func (t *Table) candidate(number uint32) Candidate {
	r := &t.rules[number]
	registry := &t.registries[r.registry]
	if r.flags.has(ruleRewritten) {
		return Candidate{Registry: registry, Pattern: registry.Match[r.match]}
	}
	return Candidate{Registry: registry, Pattern: r.text} // the same string, without two detours through memory
}

// Size is how many patterns the table has.
func (t *Table) Size() int { return len(t.rules) }
