package resolve

import (
	"hash/maphash"
	"math/bits"
	"strings"
)

// A tagClass is what a shape says of tags.
type tagClass uint8

const (
	tagAny     tagClass = iota // the patterns say nothing of tags, or ":*"
	tagLiteral                 // one tag, which is in the key
	tagGlob                    // a tag with a wildcard
	tagOpen                    // the patterns of the two classes above, filed without their tags: for an unknown tag
)

// An anchorKind says where in a part an anchor is.
type anchorKind uint8

const (
	anchorNone anchorKind = iota
	anchorPrefix
	anchorSuffix
	anchorMiddle
)

// tagPart is the number of the tag among the parts of a path.
const tagPart = 255

// A shape is what patterns with comparable keys have in common. It is comparable itself.
type shape struct {
	parts   uint8 // segments without the last "/*", or labels
	subtree bool
	tag     tagClass
	globs   [2]uint64 // bit i: part i has a wildcard

	anchor       anchorKind // a literal piece of a part with a wildcard
	anchorPart   uint8
	anchorLength uint8
}

func (s *shape) hasGlob(i int) bool { return s.globs[i>>6]>>(i&63)&1 == 1 }

// plain is the number of parts without a wildcard: no pattern of the shape ranks higher in specificity 3.
func (s *shape) plain() int {
	return int(s.parts) - bits.OnesCount64(s.globs[0]) - bits.OnesCount64(s.globs[1])
}

// fits tells whether a text of n parts could match at all.
func (s *shape) fits(n int) bool {
	if s.subtree {
		return n > int(s.parts)
	}
	return n == int(s.parts)
}

// fold hashes what is literal in the shape: the same for a pattern and for every text that it matches, but for the
// anchor.
func (s *shape) fold(start uint64, p *parts) uint64 {
	h := start
	for i := range int(s.parts) {
		if !s.hasGlob(i) {
			h = mix(h, p.hash(i))
		}
	}
	return h
}

// shapeOf is the shape of a pattern's path or host, without anchor.
func shapeOf(p *parts, subtree bool, tag tagClass) shape {
	s := shape{parts: uint8(p.n), subtree: subtree, tag: tag}
	for i := range p.n {
		if strings.Contains(p.at(i), "*") {
			s.globs[i>>6] |= 1 << (i & 63)
		}
	}
	return s
}

// A piece is a literal run of a part with a wildcard: what an anchor can be made of.
type piece struct {
	part uint8
	kind anchorKind
	text string
}

// pieces lists the literal runs of glob, one part of a pattern.
func pieces(to []piece, part int, glob string) []piece {
	runs := strings.Split(glob, "*")
	for i, run := range runs {
		if run == "" {
			continue
		}
		kind := anchorMiddle
		if i == 0 {
			kind = anchorPrefix
		} else if i == len(runs)-1 {
			kind = anchorSuffix
		}
		to = append(to, piece{part: uint8(part), kind: kind, text: run})
	}
	return to
}

// anchored is the shape with a piece as its anchor.
func (s shape) anchored(p piece) shape {
	s.anchor, s.anchorPart, s.anchorLength = p.kind, p.part, uint8(min(len(p.text), 255))
	return s
}

func anchorHash(seed maphash.Seed, h uint64, text string) uint64 {
	return mix(h, maphash.String(seed, text))
}
