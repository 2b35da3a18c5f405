package resolve

import (
	"slices"

	"pierhead.dev/pierhead/image"
)

// maybes are the rules that would match better than the best one, were an unknown part what they want it to be.
type maybes struct {
	kept   [16]maybe
	n      int
	missed bool // there are more than are kept

	first   uint32 // the best of those whose registry is not the best's own
	key     key    // of first
	any     bool   // first is set
	changes bool   // settled: first could really be the answer
}

type maybe struct {
	number uint32
	key    key
}

// considerMaybe notes a rule that depends on the unknown tag. Only rules above the best matter, and of those below the
// 16th only one of another registry. It says whether a later one could matter.
func (s *search) considerMaybe(number uint32, k key) bool {
	if !s.table.coversPath(&s.table.rules[number], s.question.Repository) {
		return true
	}
	m := &s.open
	for i := range m.n {
		if m.kept[i].number == number { // found by two of its anchors
			return true
		}
	}
	if m.n < len(m.kept) {
		m.kept[m.n] = maybe{number, k}
		m.n++
	} else {
		m.missed = true
	}
	s.noteForeign(number, k)
	return !m.missed || !m.any
}

// noteForeign keeps the best rule of another registry than the best's own.
func (s *search) noteForeign(number uint32, k key) {
	rules, m := s.table.rules, &s.open
	if s.best != none && rules[number].registry == rules[s.best].registry {
		return
	}
	if !m.any || k > m.key || k == m.key && before(&rules[number], &rules[m.first]) {
		m.first, m.key, m.any = number, k, true
	}
}

// settle decides whether what is unknown could change the answer. A rule whose every tag is taken by a more specific
// one never gets its turn. One among more than 16 is given the benefit of the doubt.
func (s *search) settle() {
	m := &s.open
	if !m.any || s.phase != maybeByTag || m.missed {
		m.changes = m.any
		return
	}
	kept := m.kept
	m.any = false
	for i := range m.n {
		if !s.shadowed(kept[i], kept[:m.n]) {
			s.noteForeign(kept[i].number, kept[i].key)
		}
	}
	m.changes = m.any
}

// shadowed tells whether a more specific rule takes every tag of this one. A union of several never does so where none
// alone does: each "*" of the tag can stand for a text that none of them has.
func (s *search) shadowed(one maybe, all []maybe) bool {
	t := s.table
	tag := t.rules[one.number].tagText()
	for _, other := range all {
		if other.key > one.key && image.MatchGlob(t.rules[other.number].tagText(), tag) {
			return true
		}
	}
	return false
}

// searchOwners goes through the registries of s.host instead of its patterns: for a question whose repository is
// unknown, any pattern that is more specific than the whole host could change the answer.
func (s *search) searchOwners() {
	t := s.table
	h := &t.hosts[s.host]
	for _, number := range h.owners.of(t.owners) {
		r := &t.rules[number]
		open := r.flags.has(ruleOpen)
		if !open {
			if _, ok := slices.BinarySearch(s.listing(), r.registry); !ok {
				continue
			}
		}
		if k := keyOf(h.rank, r.rank, open); s.best == none || k > s.key {
			s.noteForeign(number, k)
		}
	}
}

// anchors yields the places of a text where a shape's anchor could be.
type anchors struct {
	whole  string
	length int
	at     int // of the next place
	last   int // the last place
	text   string
}

func anchorsIn(s *shape, whole string) anchors {
	a := anchors{whole: whole, length: int(s.anchorLength)}
	a.last = len(whole) - a.length
	switch s.anchor {
	case anchorPrefix:
		a.last = min(a.last, 0)
	case anchorSuffix:
		a.at = max(a.last, 0)
	}
	return a
}

func (a *anchors) next() bool {
	if a.at > a.last {
		return false
	}
	a.text = a.whole[a.at:][:a.length]
	a.at++
	return true
}
