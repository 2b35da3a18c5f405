package agent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/resolve"
)

// How long requests are one pull: the same question again, a manifest that an answer named, and other content that one
// named. A pull of many large layers takes its time.
const (
	onePull    = 10 * time.Second
	pullBegins = time.Minute
	pullLife   = time.Hour
)

// Bounds of what is remembered of pulls; beyond them those that were used longest ago are forgotten.
const (
	maxPulls       = 512
	maxPullDigests = 1 << 16 // of all of them
)

// pulls are the mirror's pulls: requests come one by one and say nothing of each other, but one pull is one question to the
// broker, one login, one client and one event. The tag decides once: what a manifest names is read with the same access,
// also where the digest alone would not tell which registry it belongs to.
type pulls struct {
	open func(ctx context.Context, organizationID string, reference image.Reference) (*broker.Access, error)
	now  func() time.Time

	mu      sync.Mutex
	named   map[string][]*pull // by host and repository, the newest last
	count   int
	digests int
}

// A pull is an access with what it turned out to be for. It serves as long as the organization's registries are what they
// were.
type pull struct {
	organizationID string
	table          *resolve.Table
	reference      image.Reference // as it was asked for: with a tag, a digest or neither

	ready  chan struct{} // closed once access or err is set
	access *broker.Access
	err    error

	began, usedAt time.Time
	failed        bool // who asks again begins another one
	forgotten     bool
	learned       map[digest.Digest]time.Time
}

// A wanted is a request for content: of whose registries, which image, and whether a pull can begin with it.
type wanted struct {
	organizationID string
	table          *resolve.Table
	reference      image.Reference
	manifest       bool
}

// of finds the pull that a request belongs to, or begins one. Errors: as broker.Open's.
func (p *pulls) of(ctx context.Context, w wanted) (*pull, error) {
	if w.reference.Digest() == "" {
		return p.await(ctx, p.begin(w))
	}
	if known := p.knowing(w, w.manifest); known != nil {
		return p.await(ctx, known)
	}
	found, err := p.await(ctx, p.begin(w))
	if !errors.Is(err, pierhead.ErrConflict) {
		return found, err
	}
	// The digest alone does not say which registry; what it was found by may.
	if known := p.knowing(w, false); known != nil {
		w.reference = known.reference
		return p.await(ctx, p.begin(w))
	}
	return nil, err
}

func (p *pulls) await(ctx context.Context, one *pull) (*pull, error) {
	select {
	case <-one.ready:
		return one, one.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// knowing is the last pull of the repository whose answers named the digest; with recently, not so long ago that whoever
// asks now pulls again.
func (p *pulls) knowing(w wanted, recently bool) *pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range slices.Backward(p.named[w.reference.Name()]) {
		at, known := one.learned[digest.Digest(w.reference.Digest())]
		if known && one.serves(w) && !(recently && p.now().Sub(at) > pullBegins) {
			one.usedAt = p.now()
			return one
		}
	}
	return nil
}

func (one *pull) serves(w wanted) bool {
	return one.table == w.table && one.organizationID == w.organizationID && one.err == nil
}

// begin finds the pull of that very reference, or begins it. The access is opened for all who ask for it meanwhile, so it
// outlives the one who asked first.
func (p *pulls) begin(w wanted) *pull {
	if !w.manifest && w.reference.Digest() != "" { // a blob that nobody knows of: all of them are one pull
		w.reference = bare(w.reference)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, one := range slices.Backward(p.named[w.reference.Name()]) {
		if one.reference == w.reference && one.serves(w) && !one.failed && now.Sub(one.began) < one.lasts() {
			one.usedAt = now
			return one
		}
	}
	one := &pull{organizationID: w.organizationID, table: w.table, reference: w.reference, ready: make(chan struct{}), began: now, usedAt: now,
		learned: make(map[digest.Digest]time.Time)}
	p.forget()
	if p.named == nil {
		p.named = make(map[string][]*pull)
	}
	p.named[w.reference.Name()] = append(p.named[w.reference.Name()], one)
	p.count++
	go p.fill(one)
	return one
}

// lasts is how long the same question belongs to the same pull.
func (one *pull) lasts() time.Duration {
	if one.reference.Tag() == "" && one.reference.Digest() == "" {
		return pullLife
	}
	return onePull
}

func (p *pulls) fill(one *pull) {
	ctx, cancel := context.WithTimeout(context.Background(), openWithin)
	defer cancel()
	access, err := p.open(ctx, one.organizationID, one.reference)
	p.mu.Lock()
	defer p.mu.Unlock()
	one.access, one.err = access, err
	close(one.ready)
	if err != nil {
		p.drop(one) // an error is the answer for those who waited, not for the next
	}
}

// openWithin bounds what a broker's answer may take, secret store and issuer included.
const openWithin = 90 * time.Second

// bare is a reference of which neither tag nor digest is known.
func bare(r image.Reference) image.Reference {
	plain, err := image.New(r.Host(), r.Repository())
	if err != nil {
		return r
	}
	return plain
}

// learn notes what a manifest's answer says of further content: its own digest, and those in it.
func (p *pulls) learn(one *pull, d digest.Digest, content []byte) {
	found := append(digestsIn(content), d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.forgotten {
		return
	}
	for _, d := range found {
		if _, known := one.learned[d]; !known {
			p.digests++
		}
		one.learned[d] = p.now()
	}
	p.forget()
}

// failing is told of an answer that was an error: who asks again asks the broker again too. What is being read goes on.
func (p *pulls) failing(one *pull) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.failed = true; len(one.learned) == 0 {
		p.drop(one)
	}
}

// forget drops what nobody used for long or what cannot serve any more, and then the oldest beyond the bounds.
func (p *pulls) forget() {
	now := p.now()
	for p.count >= maxPulls || p.digests > maxPullDigests {
		var oldest *pull
		for _, all := range p.named {
			for _, one := range all {
				if oldest == nil || one.usedAt.Before(oldest.usedAt) {
					oldest = one
				}
			}
		}
		p.drop(oldest)
	}
	for _, all := range p.named {
		for _, one := range slices.Clone(all) {
			if now.Sub(one.usedAt) > pullLife {
				p.drop(one)
			}
		}
	}
}

func (p *pulls) drop(one *pull) {
	name := one.reference.Name()
	left := slices.DeleteFunc(p.named[name], func(other *pull) bool { return other == one })
	if len(left) == len(p.named[name]) {
		return
	}
	if p.named[name] = left; len(left) == 0 {
		delete(p.named, name)
	}
	one.forgotten = true
	p.count--
	p.digests -= len(one.learned)
	if one.access != nil {
		one.access.Close()
	}
}

// digestsIn are the digests that a manifest or an index names: configuration, layers, manifests. Other content has none.
func digestsIn(content []byte) []digest.Digest {
	type descriptor struct {
		Digest string `json:"digest"`
	}
	var manifest struct {
		Config    descriptor   `json:"config"`
		Layers    []descriptor `json:"layers"`
		Manifests []descriptor `json:"manifests"`
		Blobs     []descriptor `json:"blobs"`
	}
	if json.Unmarshal(content, &manifest) != nil {
		return nil
	}
	var all []digest.Digest
	for _, told := range slices.Concat([]descriptor{manifest.Config}, manifest.Layers, manifest.Manifests, manifest.Blobs) {
		if d, err := oci.ParseDigest(told.Digest); err == nil && len(all) < maxPullDigests/16 {
			all = append(all, d)
		}
	}
	return all
}
