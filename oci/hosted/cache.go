package hosted

import (
	"container/list"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/internal/durable"
)

// maxEntries bounds what the repositories in memory hold together: links, manifests and tags. An entry takes about 300
// bytes.
const maxEntries = 500_000

// keptIdle is how many repositories stay in memory whatever they take: one that is larger than all the room there is would
// be read anew for every request, which takes seconds each.
const keptIdle = 4

// cache holds the repositories that were used last. One that is in use is never dropped, so that there is never a
// second one of the same name.
type cache struct {
	load func(name string) (*repository, error)

	mu      sync.Mutex
	all     map[string]*repository
	idle    *list.List // of *repository that nobody uses, the one used last in front
	places  map[*repository]*list.Element
	entries int
	max     int // entries; maxEntries
}

func newCache(load func(string) (*repository, error)) *cache {
	return &cache{load: load, all: map[string]*repository{}, idle: list.New(), places: map[*repository]*list.Element{}, max: maxEntries}
}

// get returns a repository, and what to call when it is done with.
func (c *cache) get(name string) (*repository, func(), error) {
	c.mu.Lock()
	slot, ok := c.all[name]
	if !ok {
		slot = &repository{name: name, ready: make(chan struct{})}
		c.all[name] = slot
		slot.users++
		c.mu.Unlock()
		return c.fill(name, slot)
	}
	slot.users++
	if place := c.places[slot]; place != nil {
		c.idle.Remove(place)
		delete(c.places, slot)
	}
	ready := slot.ready
	c.mu.Unlock()
	if ready == nil {
		return slot, func() { c.release(slot) }, nil
	}
	<-ready
	// What was waited for stands in the map now, under the same name.
	c.release(slot)
	if slot.err != nil {
		return nil, nil, slot.err
	}
	return c.get(name)
}

// fill loads a repository in place of the slot that others wait for.
func (c *cache) fill(name string, slot *repository) (*repository, func(), error) {
	repo, err := c.load(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	slot.err = err
	if err != nil {
		delete(c.all, name)
	} else {
		repo.users = 1
		c.all[name] = repo
		c.weigh(repo)
	}
	close(slot.ready)
	if err != nil {
		return nil, nil, err
	}
	return repo, func() { c.release(repo) }, nil
}

func (c *cache) release(p *repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.users--
	if p.users > 0 || c.all[p.name] != p {
		return
	}
	if !p.exists() {
		delete(c.all, p.name) // asked for, and not there: nothing to remember
		c.entries -= p.weight
		return
	}
	c.places[p] = c.idle.PushFront(p)
	c.shrink()
}

// resized counts a repository anew after a change.
func (c *cache) resized(p *repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.weigh(p)
	c.shrink()
}

func (c *cache) weigh(p *repository) {
	weight := p.entries() + 10
	c.entries += weight - p.weight
	p.weight = weight
}

func (c *cache) shrink() {
	for c.entries > c.max && c.idle.Len() > keptIdle {
		p := c.idle.Remove(c.idle.Back()).(*repository)
		delete(c.places, p)
		delete(c.all, p.name)
		c.entries -= p.weight
	}
}

// The bounds of contentCache, in bytes.
const (
	maxCachedContent  = 64 << 20
	maxCachedManifest = 256 << 10
)

// contentCache holds the bytes of manifests that were asked for last, by digest. Who may see one was decided before.
type contentCache struct {
	mu     sync.Mutex
	places map[digest.Digest]*list.Element
	order  *list.List // of cached, the one used last in front
	size   int        // bytes
}

type cached struct {
	digest  digest.Digest
	content []byte
}

func newContentCache() *contentCache {
	return &contentCache{places: map[digest.Digest]*list.Element{}, order: list.New()}
}

func (c *contentCache) get(d digest.Digest) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, ok := c.places[d]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(place)
	return place.Value.(cached).content, true
}

func (c *contentCache) put(d digest.Digest, content []byte) {
	if len(content) > maxCachedManifest {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.places[d]; there {
		return
	}
	c.places[d] = c.order.PushFront(cached{d, content})
	c.size += len(content)
	for c.size > maxCachedContent {
		last := c.order.Remove(c.order.Back()).(cached)
		delete(c.places, last.digest)
		c.size -= len(last.content)
	}
}

func temporary(name string) bool { return strings.HasPrefix(name, durable.TempPrefix) }
