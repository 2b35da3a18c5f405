package resolve

import (
	"cmp"
	"math/bits"
	"slices"
)

// An index maps 64-bit keys to groups of numbers: rules, or hosts. Several keys may share what is kept of them, so
// whoever looks up verifies what he finds.
//
// It is a row of open-addressing tables, one for each host, so that one question touches neighbouring memory. Each is
// three quarters full whatever its size: memory grows with the count and not with the next power of two. A group of
// one has its number in the slot itself.
type index struct {
	slots []slot
	refs  []uint32
}

type slot struct {
	print  uint32 // of the key
	first  uint32 // the number, or for a larger group the first of its numbers in refs
	open   uint32 // how many are open to all; they come first, the most specific at the head
	listed uint32 // how many list projects; ordered by registry
}

func (s *slot) size() uint32 { return s.open + s.listed }

// An entry is a number on its way into an index.
type entry struct {
	key    uint64
	number uint32
	table  uint32 // the host, where each has a table of its own
	listed bool
}

// makeIndex files the entries, in each group in the order that is given, and says where each table is.
func makeIndex(entries []entry, tables int, order func(a, b uint32) int) (x index, at []span) {
	slices.SortFunc(entries, func(a, b entry) int {
		if c := cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.key, b.key)); c != 0 {
			return c
		}
		if a.listed != b.listed {
			if b.listed {
				return -1
			}
			return 1
		}
		return order(a.number, b.number)
	})
	slots, refs := 0, 0
	at = make([]span, tables)
	for n, rest := 0, entries; n < tables; n++ {
		groups := 0
		for len(rest) > 0 && int(rest[0].table) == n {
			size := groupSize(rest)
			if size > 1 {
				refs += size
			}
			rest = rest[size:]
			groups++
		}
		at[n] = span{uint32(slots), uint32(slots + groups + groups/3 + 1)}
		slots = int(at[n].end)
	}
	x = index{slots: make([]slot, slots), refs: make([]uint32, 0, refs)}
	for rest := entries; len(rest) > 0; {
		size := groupSize(rest)
		x.put(at[rest[0].table], rest[:size])
		rest = rest[size:]
	}
	return x, at
}

// groupSize is how many at the head have one key.
func groupSize(entries []entry) int {
	n := 1
	for n < len(entries) && entries[n].key == entries[0].key && entries[n].table == entries[0].table {
		n++
	}
	return n
}

func (x *index) put(at span, entries []entry) {
	s := slot{print: uint32(entries[0].key), first: entries[0].number}
	for _, e := range entries {
		if e.listed {
			s.listed++
		} else {
			s.open++
		}
	}
	if len(entries) > 1 {
		s.first = uint32(len(x.refs))
		for _, e := range entries {
			x.refs = append(x.refs, e.number)
		}
	}
	i := at.home(entries[0].key)
	for x.slots[i].size() > 0 {
		i = at.next(i)
	}
	x.slots[i] = s
}

// home is where the search for a key begins in a table.
func (s span) home(key uint64) uint32 {
	hi, _ := bits.Mul64(key, uint64(s.end-s.first))
	return s.first + uint32(hi)
}

// next is the slot to look at after i; a table has at least one free slot, where every search ends.
func (s span) next(i uint32) uint32 {
	if i++; i == s.end {
		return s.first
	}
	return i
}

// number returns the i-th number of a slot, the open ones first.
func (x *index) number(s *slot, i uint32) uint32 {
	if s.size() == 1 {
		return s.first
	}
	return x.refs[s.first+i]
}
