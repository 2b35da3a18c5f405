package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

// unexpiringLife is how long a login without an expiry counts as good: it is fetched again after half of that, so that a
// rotated secret is seen without a restart.
const unexpiringLife = 2 * time.Minute

// sameAgain is how long the answer to a refused login holds when it was that same login: whoever else is refused with
// it meanwhile is told so at once, instead of asking the secret store again.
const sameAgain = 10 * time.Second

// A loginKey names one login: a changed registry has another, and so has another host of the same registry.
type loginKey struct {
	organizationID, registryID string
	changed                    time.Time
	host                       string
	repository                 string // only where the secret has logins for parts of a host
	push                       bool
}

func keyOf(d decision, reference image.Reference) loginKey {
	registry := d.lender
	return loginKey{organizationID: registry.OrganizationID, registryID: registry.ID, changed: registry.UpdatedAt, host: reference.Host(), push: d.push}
}

// logins remembers logins until half their life. Whoever asks while one is being fetched waits for that one.
type logins struct {
	mu      sync.Mutex
	now     func() time.Time
	entries map[loginKey]*login
	swept   time.Time // when forget last looked
}

type login struct {
	ready      chan struct{} // closed when the fetch ended; what follows is set by then
	credential credential.Credential
	err        error
	obtained   time.Time
	renewAt    time.Time
	until      time.Time // it is not handed out from then on, even if no other can be had
	after      string    // ID of the refused login that this one was fetched to replace, or ""
	before     *login    // the one that it replaces, until ready is closed

	usedAt time.Time
}

type fetchFunc = func(context.Context) (credential.Credential, error)

// get returns the remembered login, or fetches one. stale is a login that the registry refused: one fetch serves all who
// come back with the same one, and may bring the same again.
func (l *logins) get(ctx context.Context, key loginKey, stale *credential.Credential, fetch fetchFunc) (credential.Credential, error) {
	if ctx.Err() != nil {
		return credential.Credential{}, ctx.Err()
	}
	l.mu.Lock()
	entry := l.entries[key]
	if entry == nil || l.outdated(entry, stale) {
		before := entry
		entry = &login{ready: make(chan struct{}), before: before}
		if stale != nil {
			entry.after = stale.ID()
		}
		l.forget()
		l.entries[key] = entry
		// The fetch belongs to all who wait, so it outlives the one who began it; exchanges bound their own time.
		go l.fetch(context.WithoutCancel(ctx), key, entry, before, fetch)
	}
	entry.usedAt = l.now()
	l.mu.Unlock()
	select {
	case <-entry.ready:
		return entry.credential, entry.err
	case <-ctx.Done():
		return credential.Credential{}, ctx.Err()
	}
}

func (l *logins) outdated(entry *login, stale *credential.Credential) bool {
	if !entry.done() {
		return false // being fetched right now: new enough for everybody
	}
	now := l.now()
	if !now.Before(entry.renewAt) {
		return true
	}
	if stale == nil || stale.ID() != entry.credential.ID() {
		return false
	}
	return entry.after != stale.ID() || now.Sub(entry.obtained) >= sameAgain
}

// fetch fills entry. When nobody answers who could give another login, the one before goes on until its own end, and is
// asked for again meanwhile; not so when it was refused.
func (l *logins) fetch(ctx context.Context, key loginKey, entry, before *login, fetch fetchFunc) {
	began := l.now()
	c, err := fetch(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(entry.ready)
	now := l.now()
	entry.before = nil
	entry.obtained = began // a life counts from when it was asked for: rather too early than too late
	switch {
	case err == nil && c.Expires().IsZero():
		entry.credential, entry.renewAt, entry.until = c, began.Add(unexpiringLife/2), began.Add(unexpiringLife)
	case err == nil:
		entry.credential, entry.renewAt, entry.until = c, c.RenewAt(began, rand.Float64()), c.Expires()
	case before != nil && entry.after == "" && nobodyAnswered(err) && now.Before(before.until):
		entry.credential, entry.until = before.credential, before.until
		entry.renewAt = now.Add(max(before.until.Sub(now)/2, time.Second))
	default:
		entry.err = err
		if l.entries[key] == entry {
			delete(l.entries, key) // an error is the answer for those who waited, not for the next
		}
	}
}

func nobodyAnswered(err error) bool {
	return errors.Is(err, secret.ErrUnreachable) || errors.Is(err, exchange.ErrUnreachable)
}

// maxLogins are remembered; beyond it all that are not being fetched are forgotten, and cost one fetch more each.
const maxLogins = 4096

// forget drops what nobody asked for during an hour, so that changed registries do not add up, and makes room.
func (l *logins) forget() {
	now, full := l.now(), len(l.entries) >= maxLogins
	if !full && now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for key, entry := range l.entries {
		if full && entry.done() || now.Sub(entry.usedAt) > time.Hour {
			delete(l.entries, key)
		}
	}
}

// done tells whether the fetch has ended.
func (e *login) done() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}
