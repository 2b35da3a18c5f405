package resolve

import (
	"cmp"
	"slices"
	"strings"

	"pierhead.dev/pierhead/image"
)

// A filing is one pattern, or one host with wildcards, on its way into an index.
type filing struct {
	number uint32
	host   uint32
	shape  shape
	key    uint64 // from the host and what is literal in the shape; the final one has the shape's number and the anchor too
	pieces []piece
	listed bool
}

// fileRules puts every rule of an enabled registry under its key: one without a narrow tag once, one with a narrow tag
// once for questions with a tag and once for questions whose tag is not known.
func (c *compiler) fileRules() {
	t := c.table
	filings := make([]filing, 0, len(t.rules))
	var p parts
	for i := range t.rules {
		r := &t.rules[i]
		if r.flags.has(ruleDisabled) {
			continue
		}
		p.split(t.seed, r.pathText(), '/')
		host := c.drafts[i].hostNumber
		if !r.flags.has(ruleNarrow) {
			filings = append(filings, t.fileRule(i, host, &p, tagAny))
			continue
		}
		class := tagLiteral
		if image.HasGlob(r.tagText()) {
			class = tagGlob
		}
		filings = append(filings, t.fileRule(i, host, &p, class), t.fileRule(i, host, &p, tagOpen))
	}
	numbers := c.number(filings, &t.shapes)
	c.layShapes(filings, numbers)
	var at []span
	t.paths, at = makeIndex(t.entries(filings, numbers), len(t.hosts), t.ruleOrder)
	for i := range t.hosts {
		t.hosts[i].paths = at[i]
	}
	c.layOwners()
}

func (t *Table) fileRule(number int, host uint32, p *parts, class tagClass) filing {
	r := &t.rules[number]
	s := shapeOf(p, r.flags.has(ruleSubtree), class)
	f := filing{number: uint32(number), host: host, shape: s, key: s.fold(0, p), listed: !r.flags.has(ruleOpen)}
	if class == tagLiteral {
		f.key = anchorHash(t.seed, f.key, r.tagText())
	}
	if r.flags.has(rulePathGlob) {
		f.pieces = partPieces(&s, p)
	}
	if class == tagGlob {
		f.pieces = pieces(f.pieces, tagPart, r.tagText())
	}
	return f
}

func partPieces(s *shape, p *parts) []piece {
	var list []piece
	for i := range p.n {
		if s.hasGlob(i) {
			list = pieces(list, i, p.at(i))
		}
	}
	return list
}

// fileHosts puts every host where Match finds it.
func (c *compiler) fileHosts() {
	t := c.table
	var filings []filing
	var p parts
	for i := range t.hosts {
		if !image.HasGlob(t.hosts[i].name) {
			continue
		}
		t.globHosts = append(t.globHosts, uint32(i))
		name, port, _ := strings.Cut(t.hosts[i].name, ":")
		p.split(t.seed, name, '.')
		s := shapeOf(&p, false, tagAny)
		filings = append(filings, filing{number: uint32(i), shape: s, key: s.fold(t.portKey(port), &p), pieces: partPieces(&s, &p)})
	}
	numbers := c.number(filings, &t.globShapes)
	globs, at := makeIndex(t.entries(filings, numbers), 1, func(a, b uint32) int { return cmp.Compare(a, b) })
	t.globs, t.globsAt = globs, at[0]
	c.fileLiteralHosts(len(t.hosts) - len(t.globHosts))
}

func (c *compiler) fileLiteralHosts(count int) {
	t := c.table
	t.literal = make([]hostSlot, count+count/3+1)
	at := span{0, uint32(len(t.literal))}
	for n := range t.hosts {
		name := t.hosts[n].name
		if image.HasGlob(name) {
			continue
		}
		k := t.hostHash(name)
		i := at.home(k)
		for t.literal[i].number != 0 {
			i = at.next(i)
		}
		t.literal[i] = hostSlot{print: uint32(k), number: uint32(n) + 1}
	}
}

// number gives crowded filings their anchors, and every shape its number.
func (c *compiler) number(filings []filing, shapes *[]shape) map[shape]uint32 {
	c.anchor(filings)
	numbers := make(map[shape]uint32)
	for i := range filings {
		s := filings[i].shape
		if _, known := numbers[s]; !known {
			numbers[s] = uint32(len(*shapes))
			*shapes = append(*shapes, s)
		}
	}
	return numbers
}

func (t *Table) entries(filings []filing, numbers map[shape]uint32) []entry {
	entries := make([]entry, len(filings))
	for i := range filings {
		f := &filings[i]
		entries[i] = entry{key: shapeKey(f.key, numbers[f.shape]), number: f.number, table: f.host, listed: f.listed}
	}
	return entries
}

func shapeKey(key uint64, number uint32) uint64 { return mix(key, uint64(number)) }

// ruleOrder orders the rules of one group. Of the open ones the most specific come first; those that list projects
// stand together by registry, so that a project's own few can be found among very many.
func (t *Table) ruleOrder(a, b uint32) int {
	x, y := &t.rules[a], &t.rules[b]
	byRank := cmp.Compare(y.rank, x.rank)
	byRegistry := cmp.Compare(x.registry, y.registry)
	if x.flags.has(ruleOpen) {
		return cmp.Or(byRank, byRegistry, cmp.Compare(x.match, y.match))
	}
	return cmp.Or(byRegistry, byRank, cmp.Compare(x.match, y.match))
}

// A crowdKey is what patterns with the same literal parts share, and with a piece, those that have that piece too.
type crowdKey struct {
	host  uint32
	key   uint64
	shape shape
}

// anchor finds the filings of which too many share a key, and makes the rarest piece of each its anchor.
func (c *compiler) anchor(filings []filing) {
	t := c.table
	crowds := make(map[crowdKey]int)
	for i := range filings {
		if f := &filings[i]; len(f.pieces) > 0 {
			crowds[crowdKey{f.host, f.key, f.shape}]++
		}
	}
	counts := make(map[crowdKey]int)
	for i := range filings {
		f := &filings[i]
		if len(f.pieces) == 0 || crowds[crowdKey{f.host, f.key, f.shape}] <= c.crowd {
			f.pieces = nil
			continue
		}
		for _, p := range f.pieces {
			counts[t.pieceKey(f, p)]++
		}
	}
	for i := range filings {
		f := &filings[i]
		if f.pieces == nil {
			continue
		}
		rarest := f.pieces[0]
		for _, p := range f.pieces[1:] {
			if t.cost(f, p, counts) < t.cost(f, rarest, counts) {
				rarest = p
			}
		}
		f.key, f.shape, f.pieces = t.pieceKey(f, rarest).key, f.shape.anchored(rarest), nil
	}
}

func (t *Table) pieceKey(f *filing, p piece) crowdKey {
	return crowdKey{f.host, anchorHash(t.seed, f.key, p.text), f.shape.anchored(p)}
}

// cost weighs how many share the piece; one in the middle is looked for at every place, so it must be much rarer.
func (t *Table) cost(f *filing, p piece, counts map[crowdKey]int) int {
	n := counts[t.pieceKey(f, p)]
	if p.kind == anchorMiddle {
		return n*8 + 8
	}
	return n
}

// layShapes notes which shapes each host has. Most hosts have the same few sets.
func (c *compiler) layShapes(filings []filing, numbers map[shape]uint32) {
	t := c.table
	known := make(map[string]span)
	var set []uint32
	var text []byte
	for start := 0; start < len(filings); {
		end, at := start, filings[start].host
		set = set[:0]
		for ; end < len(filings) && filings[end].host == at; end++ {
			set = append(set, numbers[filings[end].shape])
		}
		slices.SortFunc(set, func(a, b uint32) int {
			return cmp.Or(cmp.Compare(t.shapes[b].plain(), t.shapes[a].plain()), cmp.Compare(a, b))
		})
		set = slices.Compact(set)
		text = text[:0]
		for _, n := range set {
			text = append(text, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		}
		s, ok := known[string(text)]
		if !ok {
			s = span{uint32(len(t.sets)), uint32(len(t.sets) + len(set))}
			t.sets = append(t.sets, set...)
			known[string(text)] = s
		}
		t.hosts[at].shapes = s
		start = end
	}
	t.sets = slices.Clip(t.sets)
}

// layOwners notes for each host the most specific rule of each enabled registry that is there.
func (c *compiler) layOwners() {
	t := c.table
	for i := range t.hosts {
		h := &t.hosts[i]
		first := uint32(len(t.owners))
		for n := h.rules.first; n < h.rules.end; n++ {
			r := &t.rules[n]
			if r.flags.has(ruleDisabled) {
				continue
			}
			last := len(t.owners) - 1
			switch { // the rules of a host are in the order of their registries
			case uint32(len(t.owners)) == first || t.rules[t.owners[last]].registry != r.registry:
				t.owners = append(t.owners, n)
			case r.rank > t.rules[t.owners[last]].rank:
				t.owners[last] = n
			}
		}
		h.owners = span{first, uint32(len(t.owners))}
	}
	t.owners = slices.Clip(t.owners)
}

func (t *Table) hostHash(name string) uint64 { return anchorHash(t.seed, 0, name) }

func (t *Table) portKey(port string) uint64 { return anchorHash(t.seed, 1, port) }
