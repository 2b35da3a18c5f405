package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

// unexpiringLife is how long a login without an expiry counts as good: it is fetched again after half of that, so that a
// rotated secret is seen without a restart.
const unexpiringLife = 2 * time.Minute

// A loginKey names one login: a changed registry has another, and so has another host of the same registry.
type loginKey struct {
	registryID string
	changed    time.Time
	host       string
	repository string // only where a secret may hold a login for each part of a host
}

func keyOf(registry pierhead.Registry, reference image.Reference) loginKey {
	key := loginKey{registryID: registry.ID, changed: registry.UpdatedAt, host: reference.Host()}
	if registry.Type == pierhead.RegistryGeneric {
		key.repository = reference.Repository()
	}
	return key
}

// logins remembers logins until half their life. Whoever asks while one is being fetched waits for that one.
type logins struct {
	mu      sync.Mutex
	now     func() time.Time
	entries map[loginKey]*login
}

type login struct {
	ready      chan struct{} // closed when the fetch ended
	credential credential.Credential
	err        error
	renewAt    time.Time
	usedAt     time.Time
}

// get returns the remembered login, or fetches one. stale is a login that the registry refused: it is not handed out
// again, and one fetch serves all who come back with the same one.
func (l *logins) get(ctx context.Context, key loginKey, stale *credential.Credential, fetch func(context.Context) (credential.Credential, error)) (credential.Credential, error) {
	for {
		l.mu.Lock()
		entry := l.entries[key]
		if entry == nil || l.outdated(entry, stale) {
			entry = &login{ready: make(chan struct{}), usedAt: l.now()}
			l.entries[key] = entry
			l.forget()
			// The fetch belongs to all who wait, so it outlives the one who began it; exchanges bound their own time.
			go l.fetch(context.WithoutCancel(ctx), key, entry, fetch)
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
}

func (l *logins) outdated(entry *login, stale *credential.Credential) bool {
	select {
	case <-entry.ready:
	default:
		return false // being fetched right now: new enough for everybody
	}
	if entry.err != nil || !l.now().Before(entry.renewAt) {
		return true
	}
	return stale != nil && stale.ID() == entry.credential.ID()
}

func (l *logins) fetch(ctx context.Context, key loginKey, entry *login, fetch func(context.Context) (credential.Credential, error)) {
	obtained := l.now()
	c, err := fetch(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.credential, entry.err = c, err
	if c.Expires().IsZero() {
		entry.renewAt = obtained.Add(unexpiringLife / 2)
	} else {
		entry.renewAt = c.RenewAt(obtained, rand.Float64())
	}
	if err != nil && l.entries[key] == entry {
		delete(l.entries, key) // an error is the answer for those who waited, not for the next
	}
	close(entry.ready)
}

// forget drops what nobody asked for during an hour, so that changed registries do not add up.
func (l *logins) forget() {
	for key, entry := range l.entries {
		if l.now().Sub(entry.usedAt) > time.Hour {
			delete(l.entries, key)
		}
	}
}

// credential returns the login for a decided registry and an image. An empty credential means that the registry has none:
// it is read anonymously, which is no falling back.
func (b *Broker) credential(ctx context.Context, registry pierhead.Registry, reference image.Reference, stale *credential.Credential) (credential.Credential, error) {
	return b.logins.get(ctx, keyOf(registry, reference), stale, func(ctx context.Context) (credential.Credential, error) {
		return b.exchange(ctx, registry, reference)
	})
}

func (b *Broker) exchange(ctx context.Context, registry pierhead.Registry, reference image.Reference) (credential.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	exchanger := b.Exchangers[registry.Type]
	if exchanger == nil {
		return credential.Credential{}, pierhead.NewProblem(pierhead.ErrPull,
			fmt.Sprintf("registry %s is of type %s, which this node does not know", registry.Name, registry.Type), "upgrade the agent of this node")
	}
	request := exchange.Request{Host: reference.Host(), Repository: reference.Repository(), Hosts: literalHosts(registry)}
	var err error
	switch {
	case registry.Credential.Secret != "":
		request.Secret, err = b.secret(ctx, registry)
	case registry.Credential.Sealed != "":
		request.Sealed = true
		request.Secret, err = b.Sealed.Unseal(registry, request.Hosts)
	case registry.Type == pierhead.RegistryGeneric:
		return credential.Credential{}, nil
	}
	if err != nil {
		return credential.Credential{}, err
	}
	c, err := exchanger.Exchange(ctx, request)
	if err != nil {
		return credential.Credential{}, fmt.Errorf("login for registry %s: %w", registry.Name, err)
	}
	return c, nil
}

func (b *Broker) secret(ctx context.Context, registry pierhead.Registry) (secret.Value, error) {
	ref, err := secret.Parse(registry.Credential.Secret)
	if err == nil {
		var value secret.Value
		if value, err = b.Secrets.Get(ctx, ref); err == nil {
			return value, nil
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w within a minute", secret.ErrUnreachable)
	}
	return secret.Value{}, &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err,
		Text: fmt.Sprintf("the secret of registry %s cannot be read on this node: %v", registry.Name, err), Hint: secret.HintOf(err)}
}

func sortedUnique(hosts []string) []string {
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
