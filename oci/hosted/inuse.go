package hosted

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// inUse is what changes and a garbage collection agree upon: a change names the content that it relies on before it
// looks whether that is there, until its record is kept. A collection deletes nothing that was named since it began, and
// what was no longer named by then stands in a record that it reads.
type inUse struct {
	mu      sync.Mutex
	changes map[digest.Digest]int  // how many changes under way name it
	named   map[digest.Digest]bool // since the collection began; nil while none runs
}

// begin begins a change; call what it returns at its end.
func (u *inUse) begin(d digest.Digest) (done func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changes[d]++
	if u.named != nil {
		u.named[d] = true
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.changes[d]--; u.changes[d] == 0 {
			delete(u.changes, d)
		}
	}
}

// collect begins a collection; call what it returns at its end.
func (u *inUse) collect() (done func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.named = map[digest.Digest]bool{}
	for d := range u.changes {
		u.named[d] = true
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.named = nil
	}
}

// unless runs f unless the content was named, and no change begins to name any meanwhile.
func (u *inUse) unless(d digest.Digest, f func() error) (ran bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.named[d] {
		return false, nil
	}
	return true, f()
}
