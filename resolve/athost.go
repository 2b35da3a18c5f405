package resolve

import (
	"cmp"
	"slices"

	"pierhead.dev/pierhead/image"
)

// AtHost lists the enabled registries that the question's caller may use and that have a pattern for its host, each once
// with its most specific one, by name: what a door can choose among that knows the host only.
func (t *Table) AtHost(q Question) []Candidate {
	if q.Personal {
		return nil
	}
	s := search{table: t, question: q, best: none, other: none}
	var found []uint32
	if number := t.findHost(q.Host); number != none {
		found = s.ownersOf(found, number)
	}
	for _, number := range t.globHosts {
		if image.MatchHost(t.hosts[number].name, q.Host) {
			found = s.ownersOf(found, number)
		}
	}
	// The host as written comes before those with wildcards, and is the more specific.
	slices.SortStableFunc(found, func(a, b uint32) int { return cmp.Compare(t.rules[a].registry, t.rules[b].registry) })
	found = slices.CompactFunc(found, func(a, b uint32) bool { return t.rules[a].registry == t.rules[b].registry })
	var list []Candidate
	for _, number := range found {
		list = append(list, t.candidate(number))
	}
	return list
}

func (s *search) ownersOf(list []uint32, host uint32) []uint32 {
	t := s.table
	for _, number := range t.hosts[host].owners.of(t.owners) {
		r := &t.rules[number]
		if _, listed := slices.BinarySearch(s.listing(), r.registry); r.flags.has(ruleOpen) || listed {
			list = append(list, number)
		}
	}
	return list
}

// LiteralHosts are the hosts that patterns of enabled registries write out, sorted.
func (t *Table) LiteralHosts() []string {
	var list []string
	for i := range t.hosts {
		h := &t.hosts[i]
		if !image.HasGlob(h.name) && h.owners.first < h.owners.end {
			list = append(list, h.name)
		}
	}
	return list
}
