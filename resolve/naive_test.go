package resolve

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

var seeds = flag.Uint64("seeds", 600, "how many random sets of registries the property tests try")

// naive answers as the design says it, one pattern after the other, with nothing of the table: the words are
// image.Pattern's, the order is written out once more. For an unknown tag it tries tags.
type naive struct {
	registries []pierhead.Registry
}

type naiveHit struct {
	registry *pierhead.Registry
	written  string
	pattern  image.Pattern
	tuple    []int
}

func (n naive) hits(q Question, matches func(image.Pattern) bool) []naiveHit {
	var hits []naiveHit
	for i := range n.registries {
		r := &n.registries[i]
		lists := slices.Contains(r.Projects.Names, q.Project) && q.Project != "" && !r.Projects.All
		if !r.Enabled || q.Personal || !r.Projects.All && !lists {
			continue
		}
		for _, text := range r.Match {
			p, err := image.ParsePattern(text)
			if err != nil {
				panic(err)
			}
			if matches(p) {
				hits = append(hits, naiveHit{r, text, p, naiveTuple(p, lists)})
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b naiveHit) int {
		return cmp.Or(-slices.Compare(a.tuple, b.tuple), cmp.Compare(a.registry.Name, b.registry.Name))
	})
	return hits
}

// naiveTuple is FACTS A8's tuple, and whether the project is listed.
func naiveTuple(p image.Pattern, lists bool) []int {
	literal := func(s string) int { return len(strings.ReplaceAll(s, "*", "")) }
	flag := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	path := p.Path()
	if p.Subtree() && path != "" {
		path += "/"
	}
	plain := 0
	for _, segment := range strings.Split(p.Path(), "/") {
		plain += flag(segment != "" && !strings.Contains(segment, "*"))
	}
	kind := 2
	if p.Subtree() {
		kind = 0
	} else if strings.Contains(p.Path(), "*") {
		kind = 1
	}
	tag := 0
	if p.Tag() != "" {
		tag = 2 - flag(strings.Contains(p.Tag(), "*"))
	}
	return []int{flag(!p.HostHasGlob()), literal(p.Host()), plain, literal(path), kind, tag, literal(p.Tag()), flag(lists)}
}

// first is the answer that hits in their order make.
func first(hits []naiveHit) (outcome Outcome, names [2]string) {
	if len(hits) == 0 {
		return None, names
	}
	names[0] = hits[0].registry.Name
	for _, h := range hits[1:] {
		if slices.Equal(h.tuple, hits[0].tuple) && h.registry.Name != names[0] {
			names[1] = h.registry.Name
			return Ambiguous, names
		}
	}
	return Matched, names
}

func (n naive) match(q Question) (outcome Outcome, name string) {
	covers := func(p image.Pattern, tag string) bool {
		return p.MatchesHost(q.Host) && p.MatchesRepository(q.Repository) && p.MatchesTag(tag, true) == image.Yes
	}
	switch {
	case q.Repository == "":
		return n.matchHost(q)
	case q.TagKnown:
		o, names := first(n.hits(q, func(p image.Pattern) bool { return covers(p, q.Tag) }))
		return o, names[0]
	}
	outcome, names := first(n.hits(q, func(p image.Pattern) bool { return covers(p, "") }))
	for _, tag := range n.tags() {
		o, more := first(n.hits(q, func(p image.Pattern) bool { return covers(p, tag) }))
		if o != outcome || more[0] != names[0] {
			return Ambiguous, ""
		}
	}
	return outcome, names[0]
}

// tags are enough to tell any two tag patterns apart: each with its wildcards filled by a text that no pattern has.
func (n naive) tags() []string {
	var tags []string
	for _, r := range n.registries {
		for _, text := range r.Match {
			if p, _ := image.ParsePattern(text); image.TagIsNarrow(p.Tag()) {
				tags = append(tags, strings.ReplaceAll(p.Tag(), "*", "Q7Q"))
			}
		}
	}
	return tags
}

// matchHost: one registry covers the whole host, and no other has anything more specific on it.
func (n naive) matchHost(q Question) (outcome Outcome, name string) {
	outcome, names := first(n.hits(q, func(p image.Pattern) bool {
		return p.MatchesHost(q.Host) && p.WholeHost() && p.MatchesTag("", false) == image.Yes
	}))
	if outcome == Ambiguous {
		return outcome, names[0]
	}
	all := n.hits(q, func(p image.Pattern) bool { return p.MatchesHost(q.Host) })
	for _, h := range all {
		if h.registry.Name == names[0] && h.pattern.WholeHost() && h.pattern.MatchesTag("", false) == image.Yes {
			break
		}
		if h.registry.Name != names[0] {
			return Ambiguous, ""
		}
	}
	return outcome, names[0]
}

// A vocabulary is small, so that patterns and questions meet often.
type vocabulary struct {
	*rand.Rand
	crowded bool // many patterns on few hosts, so that anchors are needed
}

func (v vocabulary) of(words ...string) string { return words[v.IntN(len(words))] }

func (v vocabulary) host() string {
	return v.of("gcr.io", "gcr.io:8443", "a.azurecr.io", "b.azurecr.io", "a.b.azurecr.io", "docker.io", "localhost:5000", "ab-ba.example.com", "abba.example.com", "[::1]")
}

func (v vocabulary) hostPattern() string {
	if v.crowded && v.IntN(3) > 0 {
		return v.of("gcr.io", "*.azurecr.io", v.word()+"*.example.com", "*"+v.word()+".example.com", v.of("a", "b")+"*"+v.word()+".example.com")
	}
	return v.of(v.host(), "*.azurecr.io", "*.*.azurecr.io", "a*.azurecr.io", "*a.azurecr.io", "*-*.example.com", "ab*.example.com", "*ba.example.com", "*.io", "*.io:8443", "*")
}

func (v vocabulary) word() string {
	text := ""
	for range 1 + v.IntN(4) {
		text += v.of("a", "b", "c")
	}
	return text
}

func (v vocabulary) segmentPattern() string {
	switch v.IntN(8) {
	case 0:
		return "*"
	case 1:
		return v.word() + "*"
	case 2:
		return "*" + v.word()
	case 3:
		return v.of("a", "b") + "*" + v.of("a", "b")
	case 4:
		return "*" + v.word() + "*"
	}
	return v.of("a", "b", "ab", "ba", v.word())
}

func (v vocabulary) pattern() string {
	text := v.hostPattern()
	segments := v.IntN(4) + 16*(v.IntN(40)/39)
	for range segments {
		text += "/" + v.segmentPattern()
	}
	if v.IntN(2) == 0 && !strings.HasSuffix(text, "/*") {
		text += "/*"
	}
	if strings.Contains(text, "/") && v.IntN(3) == 0 {
		text += ":" + v.of("*", "v*", "v1*", "*1", "v1", "v2", "latest", v.of("a", "b")+"*", "*"+v.word()+"*")
	}
	return text
}

func (v vocabulary) registries() []pierhead.Registry {
	registries := make([]pierhead.Registry, 1+v.IntN(6))
	for i := range registries {
		r := &registries[i]
		r.Name = string(rune('A' + i))
		r.ID = "reg_" + r.Name
		r.Enabled = v.IntN(10) > 0
		if r.Projects.All = v.IntN(3) > 0; !r.Projects.All {
			for _, name := range []string{"p", "q", "r"} {
				if v.IntN(2) == 0 {
					r.Projects.Names = append(r.Projects.Names, name)
				}
			}
		}
		n := 1 + v.IntN(5)
		if v.crowded {
			n = v.IntN(60)
		}
		for range n {
			r.Match = append(r.Match, v.pattern())
		}
	}
	return registries
}

func (v vocabulary) question() Question {
	q := Question{Personal: v.IntN(30) == 0, Project: v.of("", "p", "q", "r", "s"), Host: v.host(), DigestKnown: true}
	if v.IntN(6) > 0 {
		var segments []string
		for range 1 + v.IntN(4) + 16*(v.IntN(40)/39) { // now and then deeper than hashes are kept
			segments = append(segments, v.of("a", "b", "ab", "ba", v.word()))
		}
		q.Repository = strings.Join(segments, "/")
		if q.TagKnown = v.IntN(4) > 0; q.TagKnown {
			q.Tag = v.of("", "v1", "v2", "v1.1", "latest", v.word())
		}
	}
	return q
}

// Match gives what the naive reading gives, whatever the order of the registries.
func TestMatchEqualsNaive(t *testing.T) {
	outcomes := map[Outcome]int{}
	for seed := range *seeds {
		v := vocabulary{Rand: rand.New(rand.NewPCG(2, seed)), crowded: seed%10 == 0}
		registries := v.registries()
		table, err := Compile(registries)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := slices.Clone(registries)
		v.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again, err := compile(shuffled, int(seed%3)) // with anchors for nearly everything
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			q := v.question()
			answer := table.Match(q)
			outcomes[answer.Outcome]++
			wantOutcome, wantName := naive{registries}.match(q)
			if answer.Outcome != wantOutcome || answer.Outcome == Matched && answer.Registry.Name != wantName {
				t.Fatalf("seed %d, %+v:\n got %v (%v), want %v %s, among %s", seed, q, answer.Outcome, answer.Explain(), wantOutcome, wantName, told(registries))
			}
			if other := again.Match(q); other.Explain() != answer.Explain() {
				t.Fatalf("seed %d, %+v:\n%s, in another order %s", seed, q, answer.Explain(), other.Explain())
			}
		}
	}
	for _, o := range []Outcome{None, Matched, Ambiguous} {
		if uint64(outcomes[o]) < *seeds {
			t.Errorf("only %d questions were answered %v", outcomes[o], o)
		}
	}
}

func told(registries []pierhead.Registry) string {
	var text strings.Builder
	for _, r := range registries {
		text.WriteString("\n  " + r.Name + " ")
		switch {
		case !r.Enabled:
			text.WriteString("disabled")
		case r.Projects.All:
			text.WriteString("all")
		default:
			text.WriteString(strings.Join(r.Projects.Names, ","))
		}
		text.WriteString(": " + strings.Join(r.Match, "  "))
	}
	return text.String()
}
