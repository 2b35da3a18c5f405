package resolve

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"sort"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// A Rule is why a pattern did not win. The texts are stable: programs may depend on them.
type Rule string

// The rules. The first group is of the pattern, the second of who asks, the third of the others that matched.
const (
	RuleHostPort   Rule = "host-port"   // the same host name with another port
	RuleHostLabels Rule = "host-labels" // the image's host lies below or beside the pattern's
	RulePath       Rule = "path"        // another repository
	RulePathBelow  Rule = "path-below"  // the pattern names one repository, and the image lies below it
	RulePathAbove  Rule = "path-above"  // the pattern covers what is below a namespace, and the image is that name itself
	RuleTag        Rule = "tag"         // another tag
	RuleTagMissing Rule = "tag-missing" // the pattern wants a tag, and the image is named by digest alone

	RuleDisabled         Rule = "disabled"           // the registry is disabled
	RulePersonal         Rule = "personal-project"   // personal projects have no registries
	RuleProjectUnknown   Rule = "project-unknown"    // the registry lists projects, and which one asks is not known
	RuleProjectNotListed Rule = "project-not-listed" // the registry lists projects, and not this one

	RuleTagUnknown        Rule = "tag-unknown"        // the tag would decide
	RuleRepositoryUnknown Rule = "repository-unknown" // the repository would decide
	RuleTie               Rule = "tie"                // another registry's pattern is equally specific
	RuleLessSpecific      Rule = "less-specific"      // lost to a more specific pattern
	RuleOpenToAll         Rule = "open-to-all"        // lost to an equal pattern of a registry that lists the project
	RuleDuplicate         Rule = "duplicate"          // lost to an equal pattern of the same registry
)

// A Refusal is why one pattern of one registry did not win.
type Refusal struct {
	Candidate
	Rule Rule
	Text string // one sentence, without a full stop
	Lost bool   // it covers the image and may be used, and merely lost to a better one

	key key
	at  uint32
}

// Refusals says of every pattern of the question's host, but the one that won, why it did not: patterns whose host is
// the question's or covers it, and of hosts that miss it by a port or by labels, those whose path would have matched.
// The most specific come first. It is for explain, and takes as long as the host has patterns.
func (t *Table) Refusals(q Question) []Refusal {
	s := search{table: t, question: q, best: none, other: none}
	s.run()
	e := explainer{search: &s}
	if !wellFormed(q) {
		return nil
	}
	if number := t.findHost(q.Host); number != none {
		e.tellHost(number)
	}
	for _, number := range t.globHosts {
		if image.MatchHost(t.hosts[number].name, q.Host) {
			e.tellHost(number)
		}
	}
	e.tellNear()
	slices.SortFunc(e.refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(t.rules[a.at].registry, t.rules[b.at].registry), cmp.Compare(t.rules[a.at].match, t.rules[b.at].match))
	})
	return e.refusals
}

// wellFormed tells whether host and repository are such as Match looks for.
func wellFormed(q Question) bool {
	var p parts
	p.split(maphash.MakeSeed(), q.Repository, '/')
	if q.Repository != "" && p.n == 0 {
		return false
	}
	host, err := image.CanonicalHost(q.Host)
	return err == nil && host == q.Host && len(host) <= longestText
}

// An explainer collects refusals after the search is done.
type explainer struct {
	*search
	refusals []Refusal
}

func (e *explainer) tellHost(number uint32) {
	h := &e.table.hosts[number]
	for n := h.rules.first; n < h.rules.end; n++ {
		r := &e.table.rules[n]
		k := keyOf(h.rank, r.rank, r.flags.has(ruleOpen))
		if rule, text := e.judge(n, r, k); rule != "" {
			e.add(n, k, rule, text)
		}
	}
}

func (e *explainer) add(number uint32, k key, rule Rule, text string) {
	e.refusals = append(e.refusals, Refusal{
		Candidate: e.table.candidate(number), Rule: rule, Text: text, key: k, at: number,
		Lost: rule == RuleLessSpecific || rule == RuleOpenToAll || rule == RuleDuplicate,
	})
}

// judge finds the rule against a pattern whose host covers the image's; "" for the one that won.
func (e *explainer) judge(number uint32, r *rule, k key) (Rule, string) {
	q := &e.question
	if q.Repository != "" {
		if rule, text := e.judgePath(r); rule != "" {
			return rule, text
		}
		if rule, text := e.judgeTag(r); rule != "" {
			return rule, text
		}
	}
	if rule, text := e.judgeCaller(r); rule != "" {
		return rule, text
	}
	return e.judgeOthers(number, r, k)
}

func (e *explainer) judgePath(r *rule) (Rule, string) {
	repository, path := e.question.Repository, r.pathText()
	if e.table.coversPath(r, repository) {
		return "", ""
	}
	exact := !r.flags.has(rulePathGlob)
	switch {
	case exact && !r.flags.has(ruleSubtree) && strings.HasPrefix(repository, path+"/"):
		return RulePathBelow, fmt.Sprintf("it covers the repository %s alone, and %s lies below that: a pattern that ends in /* covers what is below", path, repository)
	case exact && repository == path:
		return RulePathAbove, fmt.Sprintf("it covers what is below %s, not %s itself: a pattern without /* covers that", path, repository)
	case r.flags.has(ruleSubtree):
		return RulePath, fmt.Sprintf("it covers repositories below %s, and %s is not one", path, repository)
	}
	return RulePath, fmt.Sprintf("it covers the repository %s, not %s", path, repository)
}

// judgeTag is for known tags.
func (e *explainer) judgeTag(r *rule) (Rule, string) {
	q := &e.question
	switch {
	case !r.flags.has(ruleNarrow) || !q.TagKnown || e.table.coversTag(r, q.Tag):
		return "", ""
	case q.Tag == "":
		return RuleTagMissing, fmt.Sprintf("it wants the tag %s, and the image is named by digest alone", r.tagText())
	}
	return RuleTag, fmt.Sprintf("it wants the tag %s, and the image has %s", r.tagText(), q.Tag)
}

func (e *explainer) judgeCaller(r *rule) (Rule, string) {
	q := &e.question
	switch {
	case r.flags.has(ruleDisabled):
		return RuleDisabled, "the registry is disabled"
	case q.Personal:
		return RulePersonal, "the project is personal, and an organization's registries serve only its own projects"
	case r.flags.has(ruleOpen):
		return "", ""
	case q.Project == "":
		return RuleProjectUnknown, "the registry serves only the projects that it lists, and which project asks is not known here"
	}
	if _, ok := slices.BinarySearch(e.listing(), r.registry); !ok {
		return RuleProjectNotListed, fmt.Sprintf("the registry serves only the projects that it lists, and %s is not among them", q.Project)
	}
	return "", ""
}

// judgeOthers is for patterns that cover the image as far as it is known, and may be used.
func (e *explainer) judgeOthers(number uint32, r *rule, k key) (Rule, string) {
	t, q := e.table, &e.question
	if e.best != none && k < e.key {
		better := t.candidate(e.best)
		if k|1 == e.key {
			return RuleOpenToAll, fmt.Sprintf("%v has an equally specific pattern and lists the project", better)
		}
		return RuleLessSpecific, fmt.Sprintf("%v is more specific", better)
	}
	switch {
	case q.Repository == "" && !e.covers(r):
		return RuleRepositoryUnknown, "only the host is known here, and whether it covers the image depends on the repository"
	case r.flags.has(ruleNarrow) && !q.TagKnown:
		return RuleTagUnknown, fmt.Sprintf("it wants the tag %s, and the image's is not known here", r.tagText())
	case number == e.best && e.open.changes && q.Repository == "":
		return RuleRepositoryUnknown, fmt.Sprintf("only the host is known here, and for some repositories %v is more specific", t.candidate(e.open.first))
	case number == e.best && e.open.changes:
		return RuleTagUnknown, fmt.Sprintf("the image's tag is not known here, and for some %v is more specific", t.candidate(e.open.first))
	case e.other != none:
		return RuleTie, fmt.Sprintf("%v is equally specific, and nothing decides between them", e.rival(r))
	case number == e.best:
		return "", ""
	}
	return RuleDuplicate, fmt.Sprintf("the registry's own pattern %s says the same", t.candidate(e.best).Pattern)
}

// rival is the one of the two equals that is of another registry.
func (e *explainer) rival(r *rule) Candidate {
	if e.table.rules[e.best].registry == r.registry {
		return e.table.candidate(e.other)
	}
	return e.table.candidate(e.best)
}

// tellNear tells of hosts that miss the question's narrowly.
func (e *explainer) tellNear() {
	t, host := e.table, e.question.Host
	name, port := splitPort(host)
	from := sort.Search(len(t.hosts), func(i int) bool { return t.hosts[i].name >= name })
	for n := from; n < len(t.hosts) && strings.HasPrefix(t.hosts[n].name, name); n++ {
		if other, _ := splitPort(t.hosts[n].name); other == name && t.hosts[n].name != host {
			e.tellNearHost(uint32(n), RuleHostPort)
		}
	}
	for rest := name; !strings.HasPrefix(name, "["); {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		if number := t.findHost(parent + port); number != none {
			e.tellNearHost(number, RuleHostLabels)
		}
		rest = parent
	}
	for _, number := range t.globHosts {
		glob, globPort := splitPort(t.hosts[number].name)
		switch {
		case globPort != port && image.MatchHost(glob, name):
			e.tellNearHost(number, RuleHostPort)
		case globPort == port && strings.Count(glob, ".") != strings.Count(name, ".") && sameEnd(glob, name):
			e.tellNearHost(number, RuleHostLabels)
		}
	}
}

// splitPort cuts ":5000" off, colon included.
func splitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i], host[i:]
	}
	return host, ""
}

// sameEnd tells whether a host ends with the labels behind the pattern's last wildcard, at least two of them.
func sameEnd(glob, name string) bool {
	end := glob[strings.LastIndexByte(glob, '*')+1:]
	dot := strings.IndexByte(end, '.')
	return dot >= 0 && strings.Count(end[dot:], ".") >= 2 && strings.HasSuffix(name, end[dot:])
}

func (e *explainer) tellNearHost(number uint32, rule Rule) {
	h := &e.table.hosts[number]
	text := fmt.Sprintf("it is for the host %s, and the image is on %s: every label and the port must match", h.name, e.question.Host)
	for n := h.rules.first; n < h.rules.end; n++ {
		r := &e.table.rules[n]
		if e.table.coversPath(r, e.question.Repository) {
			e.add(n, keyOf(h.rank, r.rank, r.flags.has(ruleOpen)), rule, text)
		}
	}
}

// Registry finds a registry of the table by name, for those who have only that; nil if there is none.
func (t *Table) Registry(name string) *pierhead.Registry {
	i, ok := sort.Find(len(t.registries), func(i int) int { return cmp.Compare(name, t.registries[i].Name) })
	if !ok {
		return nil
	}
	return &t.registries[i]
}
