package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// ErrTooMany is the error of a table that would not fit its 32-bit numbers.
var ErrTooMany = errors.New("too many patterns")

// Compile makes a table of one organization's registries. It keeps the registries' slices, which must not change
// afterwards. A pattern that does not parse is an error that names its registry: a table without it might give a less
// specific answer. Errors: those of image.ParsePattern, all of them joined; ErrTooMany.
func Compile(registries []pierhead.Registry) (*Table, error) {
	return compile(registries, 8)
}

// compile leaves it to tests how many patterns may share a key before an anchor sets them apart: so many are compared
// one by one.
func compile(registries []pierhead.Registry, crowd int) (*Table, error) {
	c := compiler{table: &Table{seed: maphash.MakeSeed(), registries: sortedRegistries(registries)}, crowd: crowd}
	if err := c.parse(); err != nil {
		return nil, err
	}
	c.layHosts()
	c.layRules()
	c.fileRules()
	c.fileHosts()
	c.listProjects()
	return c.table, nil
}

func sortedRegistries(registries []pierhead.Registry) []pierhead.Registry {
	sorted := slices.Clone(registries)
	slices.SortStableFunc(sorted, func(a, b pierhead.Registry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return sorted
}

// A compiler is what is needed only while a table is made.
type compiler struct {
	table  *Table
	crowd  int
	drafts []draft // by registry, then, from layHosts on, by host
}

// A draft is a rule before its text has a place.
type draft struct {
	host, path, tag string
	registry, match uint32
	hostNumber      uint32
	subtree         bool
}

func (c *compiler) parse() error {
	count := 0
	for i := range c.table.registries {
		count += len(c.table.registries[i].Match)
	}
	if count > math.MaxUint32/8 {
		return fmt.Errorf("%w: %d", ErrTooMany, count)
	}
	c.drafts = make([]draft, 0, count)
	var faults []error
	for i := range c.table.registries {
		r := &c.table.registries[i]
		for j, text := range r.Match {
			p, err := image.ParsePattern(text)
			if err != nil {
				faults = append(faults, fmt.Errorf("registry %s: %w", r.Name, err))
				continue
			}
			c.drafts = append(c.drafts, draft{
				host: p.Host(), path: p.Path(), tag: p.Tag(), subtree: p.Subtree(), registry: uint32(i), match: uint32(j),
			})
		}
	}
	return errors.Join(faults...)
}

// layHosts numbers the hosts by name, and puts the drafts in the hosts' order.
func (c *compiler) layHosts() {
	names := make(map[string]uint32)
	for i := range c.drafts {
		names[c.drafts[i].host]++
	}
	t := c.table
	t.hosts = make([]host, 0, len(names))
	for name := range names {
		t.hosts = append(t.hosts, host{name: name, rank: hostRankOf(name)})
	}
	slices.SortFunc(t.hosts, func(a, b host) int { return strings.Compare(a.name, b.name) })
	first := uint32(0)
	places := make([]uint32, len(t.hosts))
	for i := range t.hosts {
		h := &t.hosts[i]
		h.rules = span{first, first + names[h.name]}
		places[i] = first
		first = h.rules.end
		names[h.name] = uint32(i)
	}
	sorted := make([]draft, len(c.drafts))
	for _, d := range c.drafts {
		d.hostNumber = names[d.host]
		sorted[places[d.hostNumber]] = d
		places[d.hostNumber]++
	}
	c.drafts = sorted
}

func (c *compiler) layRules() {
	t := c.table
	t.rules = make([]rule, len(c.drafts))
	for i := range c.drafts {
		d := &c.drafts[i]
		registry := &t.registries[d.registry]
		r := &t.rules[i]
		*r = rule{
			text: registry.Match[d.match], rank: pathRankOf(d.path, d.subtree, d.tag), registry: d.registry, match: d.match,
			path: uint16(len(d.path)), tag: uint16(len(d.tag)), flags: flagsOf(d, registry),
		}
		at := strings.LastIndex(r.text, d.path)
		if d.path == "" {
			at = 0
		}
		if at < 0 || at > math.MaxUint16 || !strings.HasSuffix(r.text, d.tag) { // library/ was added
			r.text, at = d.path+d.tag, 0
			r.flags |= ruleRewritten
		}
		r.pathAt = uint16(at)
	}
}

func flagsOf(d *draft, r *pierhead.Registry) ruleFlags {
	var flags ruleFlags
	for _, f := range []struct {
		set  bool
		flag ruleFlags
	}{
		{d.subtree, ruleSubtree}, {image.HasGlob(d.path), rulePathGlob}, {image.TagIsNarrow(d.tag), ruleNarrow},
		{r.Projects.All, ruleOpen}, {!r.Enabled, ruleDisabled},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// listProjects makes the lists of registries by project, and each host's owners.
func (c *compiler) listProjects() {
	t := c.table
	byProject := make(map[string][]uint32)
	for i := range t.registries {
		r := &t.registries[i]
		if r.Projects.All {
			continue
		}
		for _, name := range r.Projects.Names {
			if list := byProject[name]; len(list) == 0 || list[len(list)-1] != uint32(i) {
				byProject[name] = append(list, uint32(i))
			}
		}
	}
	t.projects = make(map[string]span, len(byProject))
	for name, list := range byProject {
		first := uint32(len(t.listed))
		t.listed = append(t.listed, list...)
		t.projects[name] = span{first, uint32(len(t.listed))}
	}
	t.listed = slices.Clip(t.listed)
}
