package resolve

import (
	"slices"
	"strings"

	"pierhead.dev/pierhead/image"
)

// Match answers a question. It allocates nothing, and the same registries in any order give the same answer.
func (t *Table) Match(q Question) Answer {
	s := search{table: t, question: q, best: none, other: none}
	s.run()
	return s.answer()
}

// none is the number of no rule.
const none = ^uint32(0)

// A search is one question on its way through the table. It stays on the stack, which is why it calls no function
// values.
type search struct {
	table    *Table
	question Question
	phase    phase
	path     parts
	host     uint32   // the host being searched
	mine     []uint32 // the registries that list the project
	asked    bool     // mine is filled in

	best, other uint32 // the best rule so far, and one of another registry that is equally good
	key         key    // of both
	open        maybes // what an unknown part could make of it
}

// A phase is what is looked for.
type phase uint8

const (
	certain phase = iota // patterns that match whatever the unknown parts are
	maybeByTag
	maybeByRepository
)

func (s *search) run() {
	q := &s.question
	if q.Personal || q.Host == "" {
		return
	}
	s.searchHosts()
	if s.other != none {
		return
	}
	if q.Repository == "" {
		s.phase = maybeByRepository
	} else if !q.TagKnown {
		s.phase = maybeByTag
	}
	if s.phase != certain {
		s.searchHosts()
		s.settle()
	}
}

// searchHosts searches the host of that very name, and, unless that settled the matter, each host with wildcards that
// covers it: such a one is always less specific.
func (s *search) searchHosts() {
	t := s.table
	if number := t.findHost(s.question.Host); number != none {
		s.host = number
		s.searchHost()
	}
	if s.best != none && s.key >= keyOf(1<<8, 0, true) || len(t.globHosts) == 0 {
		return
	}
	s.searchGlobHosts()
}

func (t *Table) findHost(name string) uint32 {
	k := t.hostHash(name)
	at := span{0, uint32(len(t.literal))}
	for i := at.home(k); ; i = at.next(i) {
		found := &t.literal[i]
		if found.number == 0 {
			return none
		}
		if found.print == uint32(k) && t.hosts[found.number-1].name == name {
			return found.number - 1
		}
	}
}

func (s *search) searchGlobHosts() {
	t, name := s.table, s.question.Host
	if strings.HasPrefix(name, "[") { // an IPv6 literal is no list of labels
		return
	}
	port := ""
	if i := strings.IndexByte(name, ':'); i >= 0 {
		name, port = name[:i], name[i+1:]
	}
	var labels parts
	labels.split(t.seed, name, '.')
	start := t.portKey(port)
	for number := range t.globShapes {
		shape := &t.globShapes[number]
		if !shape.fits(labels.n) {
			continue
		}
		k := shape.fold(start, &labels)
		if shape.anchor == anchorNone {
			s.visitGlobHosts(shapeKey(k, uint32(number)))
			continue
		}
		for a := anchorsIn(shape, labels.at(int(shape.anchorPart))); a.next(); {
			s.visitGlobHosts(shapeKey(anchorHash(t.seed, k, a.text), uint32(number)))
		}
	}
}

func (s *search) visitGlobHosts(k uint64) {
	x, at := &s.table.globs, s.table.globsAt
	for i := at.home(k); x.slots[i].size() > 0; i = at.next(i) {
		found := &x.slots[i]
		if found.print != uint32(k) {
			continue
		}
		for n := range found.open {
			number := x.number(found, n)
			if image.MatchHost(s.table.hosts[number].name, s.question.Host) {
				s.host = number
				s.searchHost()
			}
		}
	}
}

// searchHost goes through the shapes of s.host.
func (s *search) searchHost() {
	if s.phase == maybeByRepository {
		s.searchOwners()
		return
	}
	t := s.table
	h := &t.hosts[s.host]
	if s.path.n == 0 {
		s.path.split(t.seed, s.question.Repository, '/')
	}
	for _, number := range h.shapes.of(t.sets) {
		shape := &t.shapes[number]
		if s.best != none && s.key > mostOf(h.rank, shape) {
			return
		}
		if s.wants(shape) {
			s.searchShape(shape, number)
		}
	}
}

// mostOf is at least the key of every rule of the shape; it falls from shape to shape of a host.
func mostOf(rank hostRank, s *shape) key {
	return keyOf(rank, pathRank(s.plain()+1)<<20-1, false)
}

// wants tells whether rules of the shape could match, and are looked for in this phase.
func (s *search) wants(shape *shape) bool {
	q := &s.question
	if q.Repository == "" {
		return shape.subtree && shape.parts == 0 && shape.tag == tagAny
	}
	if !shape.fits(s.path.n) {
		return false
	}
	switch shape.tag {
	case tagAny:
		return s.phase == certain
	case tagOpen:
		return s.phase == maybeByTag
	}
	return q.TagKnown && q.Tag != ""
}

func (s *search) searchShape(shape *shape, number uint32) {
	seed := s.table.seed
	k := shape.fold(0, &s.path)
	if shape.tag == tagLiteral {
		k = anchorHash(seed, k, s.question.Tag)
	}
	if shape.anchor == anchorNone {
		s.searchGroup(shapeKey(k, number))
		return
	}
	text := s.question.Tag
	if shape.anchorPart != tagPart {
		text = s.path.at(int(shape.anchorPart))
	}
	for a := anchorsIn(shape, text); a.next(); {
		s.searchGroup(shapeKey(anchorHash(seed, k, a.text), number))
	}
}

func (s *search) searchGroup(k uint64) {
	x, at := &s.table.paths, s.table.hosts[s.host].paths
	for i := at.home(k); x.slots[i].size() > 0; i = at.next(i) {
		found := &x.slots[i]
		if found.print != uint32(k) {
			continue
		}
		if found.open > 0 {
			s.searchOpen(x, found)
		}
		if found.listed > 0 {
			s.searchListed(x, found)
		}
	}
}

// searchOpen goes through the rules of registries that are open to all, from the most specific down.
func (s *search) searchOpen(x *index, found *slot) {
	t := s.table
	rank := t.hosts[s.host].rank
	for n := range found.open {
		number := x.number(found, n)
		r := &t.rules[number]
		if !s.consider(number, keyOf(rank, r.rank, true)) {
			return
		}
	}
}

// searchListed goes through the rules of registries that list projects. Where there are many, it is the project's own
// registries that are looked for among them, not the other way round.
func (s *search) searchListed(x *index, found *slot) {
	mine := s.listing()
	if len(mine) == 0 {
		return
	}
	if int(found.listed) <= 4*len(mine) {
		for n := found.open; n < found.open+found.listed; n++ {
			number := x.number(found, n)
			if _, ok := slices.BinarySearch(mine, s.table.rules[number].registry); ok {
				s.considerListed(number)
			}
		}
		return
	}
	for _, registry := range mine {
		n := s.firstOf(registry, x, found)
		for ; n < found.open+found.listed; n++ {
			number := x.number(found, n)
			if s.table.rules[number].registry != registry || !s.considerListed(number) {
				break
			}
		}
	}
}

// firstOf finds where the rules of a registry begin among the listed ones of a group.
func (s *search) firstOf(registry uint32, x *index, found *slot) uint32 {
	low, high := found.open, found.open+found.listed
	for low < high {
		middle := low + (high-low)/2
		if s.table.rules[x.number(found, middle)].registry < registry {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// listing is the registries that list the question's project.
func (s *search) listing() []uint32 {
	if !s.asked {
		s.asked = true
		if s.question.Project != "" {
			s.mine = s.table.projects[s.question.Project].of(s.table.listed)
		}
	}
	return s.mine
}

func (s *search) considerListed(number uint32) bool {
	return s.consider(number, keyOf(s.table.hosts[s.host].rank, s.table.rules[number].rank, false))
}

// consider holds one rule against the question, and says whether one that comes later in its order could still matter.
func (s *search) consider(number uint32, k key) bool {
	if s.best != none && k < s.key {
		return false
	}
	if s.phase == maybeByTag {
		return s.considerMaybe(number, k)
	}
	t := s.table
	r := &t.rules[number]
	if s.best != none && k == s.key && s.other != none && r.registry > t.rules[s.other].registry {
		return false
	}
	if s.covers(r) {
		s.take(number, k)
	}
	return true
}

// take notes a rule that matches and is at least as good as the best. Of equals, it keeps the first of all and the
// first of another registry.
func (s *search) take(number uint32, k key) {
	if s.best == none || k > s.key {
		s.best, s.other, s.key = number, none, k
		return
	}
	rules := s.table.rules
	r, best := &rules[number], &rules[s.best]
	switch {
	case r.registry == best.registry:
		if r.match < best.match {
			s.best = number
		}
	case r.registry < best.registry:
		s.best, s.other = number, s.best
	case s.other == none || before(r, &rules[s.other]):
		s.other = number
	}
}

// before is the order in which equally specific rules are told.
func before(a, b *rule) bool {
	return a.registry < b.registry || a.registry == b.registry && a.match < b.match
}

// covers verifies what the index found: the path, and the tag unless that is unknown.
func (s *search) covers(r *rule) bool {
	if !s.table.coversPath(r, s.question.Repository) {
		return false
	}
	return !r.flags.has(ruleNarrow) || s.question.TagKnown && s.table.coversTag(r, s.question.Tag)
}

// coversPath holds a repository against a rule; "", unknown, is covered by the whole host only.
func (t *Table) coversPath(r *rule, repository string) bool {
	path, subtree := r.pathText(), r.flags.has(ruleSubtree)
	switch {
	case path == "" && subtree:
		return true
	case r.flags.has(rulePathGlob):
		return repository != "" && image.MatchPath(path, subtree, repository)
	case subtree:
		return len(repository) > len(path) && repository[len(path)] == '/' && repository[:len(path)] == path
	}
	return repository == path
}

// coversTag holds a known tag against a rule with a narrow tag; "" is none.
func (t *Table) coversTag(r *rule, tag string) bool {
	return tag != "" && image.MatchGlob(r.tagText(), tag)
}

func (s *search) answer() Answer {
	t := s.table
	switch {
	case s.open.changes:
		a := Answer{Outcome: Ambiguous, Reason: ReasonTagUnknown}
		if s.question.Repository == "" {
			a.Reason = ReasonRepositoryUnknown
		}
		a.Either[0] = t.candidate(s.open.first)
		if s.best != none {
			a.Either[1] = t.candidate(s.best)
		}
		return a
	case s.best == none:
		return Answer{}
	case s.other != none:
		return Answer{Outcome: Ambiguous, Reason: ReasonTie, Either: [2]Candidate{t.candidate(s.best), t.candidate(s.other)}}
	}
	return Answer{Outcome: Matched, Candidate: t.candidate(s.best)}
}
