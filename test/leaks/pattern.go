package leaks

import (
	"slices"
	"strings"
)

// A manner says in which way a match was written; several may come together.
type manner uint16

const (
	asJSON  manner = 1 << iota // backslashes: JSON, and the string literals of programming languages
	asURL                      // percent signs, and + for a space
	asHTML                     // character references
	asShell                    // quotes in quotes
	url64                      // the alphabet of base64url
	broken                     // over several lines, or with separators between bytes
)

var mannerNames = []struct {
	manner manner
	name   string
}{
	{asJSON, "JSON-escaped"}, {asURL, "URL-escaped"}, {asHTML, "HTML-escaped"}, {asShell, "shell-quoted"},
	{url64, "with the alphabet of base64url"}, {broken, "with breaks in it"},
}

// A spelling is one way to write the next one or more units of a text.
type spelling struct {
	text  string
	units int
	how   manner
}

// A pattern is one form of the secret: a row of units, each with its spellings. An escaped text may mix escaped and
// plain characters at will, so the row is walked, not compared.
type pattern struct {
	form  string
	units [][]spelling // by unit, the spellings that begin there
	gap   *gap         // what may stand between units; nil for nothing
	layer *layer       // for the first bytes of something packed; else nil
}

// A gap is what may stand between units of a pattern without belonging to them.
type gap struct {
	every  int                // it may stand before each unit whose number is a multiple of this, but the first
	starts string             // the bytes that it may begin with
	length func(b []byte) int // how many bytes of b it takes, at most maxGap; 0 for none
}

const maxGap = 24

// literal is a pattern with one spelling for all.
func literal(form, text string) *pattern {
	return &pattern{form: form, units: [][]spelling{{{text: text, units: 1}}}}
}

// name is what a finding calls the form.
func (p *pattern) name(how manner) string {
	name := p.form
	for _, m := range mannerNames {
		if how&m.manner != 0 {
			name += ", " + m.name
		}
	}
	return name
}

// match tells whether the pattern is at a position of b, and how it is written there.
func (p *pattern) match(b []byte, at int) (manner, bool) {
	w := walk{pattern: p, b: b}
	return w.from(at, 0)
}

// A walk is one attempt at a match. It goes back where it chose the wrong spelling: a secret may itself hold "%25".
type walk struct {
	*pattern
	b    []byte
	dead map[[2]int]bool // position and unit from which there is no way on, where there was a choice
}

func (w *walk) from(at, unit int) (manner, bool) {
	if unit == len(w.units) {
		return 0, true
	}
	if w.dead[[2]int{at, unit}] {
		return 0, false
	}
	how, ok, ways := w.spelled(at, unit)
	if !ok && w.gap != nil && unit > 0 && unit%w.gap.every == 0 {
		if length := w.gap.length(w.b[at:]); length > 0 {
			var beyond int
			how, ok, beyond = w.spelled(at+length, unit)
			how |= broken
			ways += beyond
		}
	}
	if !ok && ways > 1 { // without this note, a row of backslashes would take time that doubles with each of them
		if w.dead == nil {
			w.dead = map[[2]int]bool{}
		}
		w.dead[[2]int{at, unit}] = true
	}
	return how, ok
}

// spelled tries the spellings of a unit, and tells how many of them led further.
func (w *walk) spelled(at, unit int) (how manner, ok bool, ways int) {
	for i := range w.units[unit] {
		s := &w.units[unit][i]
		end := at + len(s.text)
		if end > len(w.b) || w.b[at] != s.text[0] || string(w.b[at:end]) != s.text {
			continue
		}
		ways++
		if how, ok := w.from(end, unit+s.units); ok {
			return how | s.how, true, ways
		}
	}
	return 0, false, ways
}

// longest is more than or equal to the bytes of the longest match.
func (p *pattern) longest() int {
	sum := 0
	for i, spellings := range p.units {
		most := 0
		for _, s := range spellings {
			most = max(most, len(s.text))
		}
		sum += most
		if p.gap != nil && i%p.gap.every == 0 {
			sum += maxGap
		}
	}
	return sum
}

// prefixes are the first two bytes, big-endian, of all matches.
func (p *pattern) prefixes() []uint16 {
	var prefixes []uint16
	for _, s := range p.units[0] {
		if len(s.text) > 1 {
			prefixes = append(prefixes, uint16(s.text[0])<<8|uint16(s.text[1]))
			continue
		}
		for _, second := range p.starts(s.units) {
			prefixes = append(prefixes, uint16(s.text[0])<<8|uint16(second))
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes)
}

// starts are the bytes that a unit, or the gap before it, may begin with.
func (p *pattern) starts(unit int) []byte {
	var starts []byte
	for _, s := range p.units[unit] {
		starts = append(starts, s.text[0])
	}
	if p.gap != nil && unit%p.gap.every == 0 {
		starts = append(starts, p.gap.starts...)
	}
	return starts
}

// blanks counts the bytes of b that are in set, at most most.
func blanks(b []byte, set string, most int) int {
	n := 0
	for n < len(b) && n < most && strings.IndexByte(set, b[n]) >= 0 {
		n++
	}
	return n
}
