package hosted

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// errNotDir is what looking below a file gives.
const errNotDir = syscall.ENOTDIR

// repository is one repository in memory.
type repository struct {
	name     string
	registry *Registry
	logFile  string

	writing sync.Mutex // held by the one change under way, until it is synced
	size    int64      // bytes of the log; under writing
	lines   int        // of the log; under writing
	synced  bool       // all of size is, for certain; under writing
	broken  bool       // under writing

	mu        sync.RWMutex // guards what can be seen; held for writing only to make a synced change visible
	there     bool
	links     map[digest.Digest]*link
	manifests map[digest.Digest]*manifest
	tags      map[string]digest.Digest
	sorted    []string                          // the tags in order, or nil when that is to be made anew
	referrers map[digest.Digest][]digest.Digest // by subject, in order

	// of the cache
	users  int
	weight int
	ready  chan struct{}
	err    error
}

// link makes a blob one of the repository.
type link struct {
	size int64
	at   int64        // Unix seconds
	seen atomic.Int64 // Unix seconds: when a client last asked for it. One that finds it there will not push it again
}

// manifest is what is known of a manifest without reading it.
type manifest struct {
	oci.Descriptor
	at           int64         // Unix seconds
	seen         *atomic.Int64 // as a link's
	subject      digest.Digest
	artifactType string
	annotations  map[string]string // of a referrer
	more         bool              // they are to be read from the manifest
}

func newRepository(name string, r *Registry) *repository {
	return &repository{
		name: name, registry: r, logFile: filepath.Join(r.repositories(), filepath.FromSlash(name), logName),
		links: map[digest.Digest]*link{}, manifests: map[digest.Digest]*manifest{}, tags: map[string]digest.Digest{},
		referrers: map[digest.Digest][]digest.Digest{},
	}
}

func (p *repository) exists() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.there
}

// entries is how much there is, for bounds.
func (p *repository) entries() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.links) + len(p.manifests) + len(p.tags)
}

// apply makes a change in memory. The caller holds p.mu, or is the only one who knows p.
func (p *repository) apply(c record) {
	p.lines++
	switch c.Op {
	case opLink:
		l := &link{size: c.Size, at: c.At}
		l.seen.Store(c.At)
		p.links[c.Digest] = l
	case opUnlink:
		delete(p.links, c.Digest)
	case opManifest:
		p.addManifest(c)
		p.setTags(c)
	case opTag:
		p.setTags(c)
	case opDeleteTag:
		for _, tag := range c.Tags {
			delete(p.tags, tag)
		}
		p.sorted = nil
	case opDeleteManifest:
		p.dropManifest(c.Digest)
	}
}

func (p *repository) setTags(c record) {
	for _, tag := range c.Tags {
		if _, known := p.tags[tag]; !known {
			p.sorted = nil
		}
		p.tags[tag] = c.Digest
	}
}

func (p *repository) addManifest(c record) {
	seen := &atomic.Int64{}
	seen.Store(c.At)
	p.manifests[c.Digest] = &manifest{
		Descriptor: oci.Descriptor{MediaType: c.MediaType, Digest: c.Digest, Size: c.Size},
		at:         c.At, seen: seen, subject: c.Subject, artifactType: c.ArtifactType, annotations: c.Annotations, more: c.More,
	}
	if c.Subject == "" {
		return
	}
	list := p.referrers[c.Subject]
	if i, found := slices.BinarySearch(list, c.Digest); !found {
		p.referrers[c.Subject] = slices.Insert(list, i, c.Digest)
	}
}

func (p *repository) dropManifest(d digest.Digest) {
	m, ok := p.manifests[d]
	if !ok {
		return
	}
	delete(p.manifests, d)
	for tag, named := range p.tags {
		if named == d {
			delete(p.tags, tag)
			p.sorted = nil
		}
	}
	if m.subject == "" {
		return
	}
	list := slices.DeleteFunc(p.referrers[m.subject], func(other digest.Digest) bool { return other == d })
	if len(list) == 0 {
		delete(p.referrers, m.subject)
	} else {
		p.referrers[m.subject] = list
	}
}

// live is the shortest log that gives what there is. The caller holds p.writing.
func (p *repository) live() iter.Seq[record] {
	return func(yield func(record) bool) {
		if !yield(record{Op: opLog, Version: 1, At: p.registry.now().Unix()}) {
			return
		}
		for d, l := range p.links {
			if !yield(record{Op: opLink, At: l.at, Digest: d, Size: l.size}) {
				return
			}
		}
		for d, m := range p.manifests {
			if !yield(m.record(d)) {
				return
			}
		}
		for tag, d := range p.tags {
			if !yield(record{Op: opTag, Digest: d, Tags: []string{tag}}) {
				return
			}
		}
	}
}

func (m *manifest) record(d digest.Digest) record {
	return record{
		Op: opManifest, At: m.at, Digest: d, Size: m.Size, MediaType: m.MediaType, Subject: m.subject,
		ArtifactType: m.artifactType, Annotations: m.annotations, More: m.more,
	}
}

// resolve finds a manifest by tag or digest.
func (p *repository) resolve(reference string) (manifest, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	d := digest.Digest(reference)
	if !strings.Contains(reference, ":") {
		d = p.tags[reference]
	}
	if m, ok := p.manifests[d]; ok {
		m.seen.Store(p.registry.now().Unix())
		return *m, nil
	}
	return manifest{}, oci.ErrManifestUnknown.With(reference)
}

// linked finds a blob, and remembers that it was asked for.
func (p *repository) linked(d digest.Digest) (size int64, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	l, ok := p.links[d]
	if !ok {
		return 0, false
	}
	l.seen.Store(p.registry.now().Unix())
	return l.size, true
}

// sortedTags returns the tags in order; the slice is not to be changed.
func (p *repository) sortedTags() []string {
	p.mu.RLock()
	sorted := p.sorted
	p.mu.RUnlock()
	if sorted != nil {
		return sorted
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sorted == nil {
		p.sorted = slices.Sorted(maps.Keys(p.tags))
		if p.sorted == nil {
			p.sorted = []string{}
		}
	}
	return p.sorted
}

// repositoryNames are all of them, in order.
func (r *Registry) repositoryNames(ctx context.Context) ([]string, error) {
	var names []string
	root := r.repositories()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.Name() == logName && !entry.IsDir() {
			rel, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(rel))
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

// removeTemporaries clears away what a crash left of compactions. Nobody makes any meanwhile.
func (r *Registry) removeTemporaries(p *repository) {
	dir := filepath.Dir(p.logFile)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if temporary(entry.Name()) {
			_ = r.layer.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}
