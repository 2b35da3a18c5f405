package resolve

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
)

// A Conflict is two enabled registries between which nothing decides for some image: equally specific patterns that
// both cover it, and a project that may use both in the same way. Match would answer Ambiguous, so saving refuses it.
type Conflict struct {
	A, B    Candidate
	Project string // one that may use both; "" where both are open to all
	Image   string // an image that both cover, for people
}

// String says the conflict in one sentence, without a full stop.
func (c Conflict) String() string {
	whom := "every project"
	if c.Project != "" {
		whom = "project " + c.Project
	}
	return fmt.Sprintf("%v and %v would both cover %s for %s, and nothing decides between them", c.A, c.B, c.Image, whom)
}

// Conflicts finds the pairs of registries that must not be saved together, each pair once, in a fixed order. Of many
// with the same pattern it names each with the first. Errors: as Compile.
func Conflicts(registries []pierhead.Registry) ([]Conflict, error) {
	c := compiler{table: &Table{registries: sortedRegistries(registries)}}
	if err := c.parse(); err != nil {
		return nil, err
	}
	f := conflictFinder{registries: c.table.registries, told: make(map[[2]uint32]bool)}
	for _, d := range c.drafts {
		if r := &f.registries[d.registry]; r.Enabled && (r.Projects.All || len(r.Projects.Names) > 0) {
			f.claims = append(f.claims, claimOf(d, r))
		}
	}
	slices.SortFunc(f.claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.key, b.key), strings.Compare(a.head, b.head), strings.Compare(a.text, b.text), cmp.Compare(a.registry, b.registry))
	})
	for rest := f.claims; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].key == rest[0].key {
			n++
		}
		f.equal(rest[:n])
		f.overlapping(rest[:n])
		rest = rest[n:]
	}
	slices.SortFunc(f.found, func(a, b Conflict) int {
		return cmp.Or(strings.Compare(a.A.Registry.Name, b.A.Registry.Name), strings.Compare(a.B.Registry.Name, b.B.Registry.Name))
	})
	return f.found, nil
}

// A claim is a pattern with what comparing it needs.
type claim struct {
	draft
	key  key    // scope included
	text string // canonical
	head string // text up to the first wildcard
	tail string // text behind the last one, backwards
	glob bool   // a wildcard other than a last "/*"
}

func claimOf(d draft, r *pierhead.Registry) claim {
	text := d.host + "/" + d.path
	glob := strings.Contains(text, "*") || strings.Contains(d.tag, "*")
	if d.subtree {
		text = strings.TrimSuffix(text, "/") + "/*"
	}
	if d.tag != "" {
		text += ":" + d.tag
	}
	head, _, _ := strings.Cut(text, "*")
	tail := []byte(text[strings.LastIndexByte(text, '*')+1:])
	slices.Reverse(tail)
	rank := keyOf(hostRankOf(d.host), pathRankOf(d.path, d.subtree, d.tag), r.Projects.All)
	return claim{draft: d, key: rank, text: text, head: head, tail: string(tail), glob: glob}
}

type conflictFinder struct {
	registries []pierhead.Registry
	claims     []claim
	told       map[[2]uint32]bool
	found      []Conflict
}

// equal looks at claims of one key for the same text; they are sorted by text.
func (f *conflictFinder) equal(claims []claim) {
	for len(claims) > 0 {
		n := 1
		for n < len(claims) && claims[n].text == claims[0].text {
			n++
		}
		first := make(map[string]*claim) // by project, "" for all
		for i := range claims[:n] {
			c := &claims[i]
			projects := f.registries[c.registry].Projects.Names
			if f.registries[c.registry].Projects.All {
				projects = []string{""}
			}
			for _, project := range projects {
				if a := first[project]; a == nil {
					first[project] = c
				} else if a.registry != c.registry {
					f.tell(a, c, project)
				}
			}
		}
		claims = claims[n:]
	}
}

// overlapping looks at claims of one key for different texts that some image is covered by. Two meet only if the text
// before the first wildcard of one begins with that of the other, and the text behind the last ends likewise. So they
// are gone through in the order of the one, or, where that makes too many pairs, of the other.
func (f *conflictFinder) overlapping(claims []claim) {
	if !slices.ContainsFunc(claims, func(c claim) bool { return c.glob }) {
		return
	}
	head := func(c *claim) string { return c.head }
	tail := func(c *claim) string { return c.tail }
	few := 64 * len(claims)
	if !f.sweep(claims, head, few) {
		slices.SortStableFunc(claims, func(a, b claim) int { return strings.Compare(a.tail, b.tail) })
		f.sweep(claims, tail, math.MaxInt)
	}
}

// sweep goes through the pairs of which one's text begins with the other's; claims are sorted by that text. It gives up
// after so many pairs.
func (f *conflictFinder) sweep(claims []claim, text func(*claim) string, most int) bool {
	for i := range claims {
		a := &claims[i]
		for j := i + 1; j < len(claims) && strings.HasPrefix(text(&claims[j]), text(a)); j++ {
			b := &claims[j]
			if most--; most < 0 {
				return false
			}
			if a.registry == b.registry || !a.glob && !b.glob || a.text == b.text || f.told[pair(a, b)] || !endsMeet(a.text, b.text) {
				continue
			}
			if project, ok := f.common(a, b); ok {
				f.tell(a, b, project)
			}
		}
	}
	return true
}

// common finds a project that may use both registries in the same way; the key says whether they are open.
func (f *conflictFinder) common(a, b *claim) (project string, ok bool) {
	x, y := &f.registries[a.registry].Projects, &f.registries[b.registry].Projects
	if x.All {
		return "", true
	}
	listed := make(map[string]bool, len(x.Names))
	for _, name := range x.Names {
		listed[name] = true
	}
	for _, name := range y.Names {
		if listed[name] {
			return name, true
		}
	}
	return "", false
}

func pair(a, b *claim) [2]uint32 {
	return [2]uint32{min(a.registry, b.registry), max(a.registry, b.registry)}
}

func (f *conflictFinder) tell(a, b *claim, project string) {
	if f.told[pair(a, b)] {
		return
	}
	example, ok := meet(&a.draft, &b.draft)
	if !ok {
		return
	}
	f.told[pair(a, b)] = true
	if b.registry < a.registry {
		a, b = b, a
	}
	f.found = append(f.found, Conflict{A: f.candidate(a), B: f.candidate(b), Project: project, Image: example})
}

func (f *conflictFinder) candidate(c *claim) Candidate {
	r := &f.registries[c.registry]
	return Candidate{Registry: r, Pattern: r.Match[c.match]}
}
