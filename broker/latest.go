package broker

import (
	"context"
	"errors"
	"time"

	"pierhead.dev/pierhead/credential"
)

// latestWithin is how long a lent login is waited for where there is one from a moment ago.
const latestWithin = 1500 * time.Millisecond

// latest is get for a login that leaves the agent. Whoever is lent one does not come back when it is refused, so one without
// an end of its own, whose secret somebody may have rotated, is read anew for every pull. Those who ask meanwhile share that
// one reading; and where it takes long, the login from before goes on until its end.
func (l *logins) latest(ctx context.Context, key loginKey, fetch fetchFunc) (credential.Credential, error) {
	before := l.reread(key)
	if before == nil {
		return l.get(ctx, key, nil, fetch)
	}
	soon, cancel := context.WithTimeout(ctx, latestWithin)
	defer cancel()
	c, err := l.get(soon, key, nil, fetch)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return before.credential, nil
	}
	return c, err
}

// reread has the next get ask for a login again that has no end, and returns the one that is good until then; nil where
// there is none.
func (l *logins) reread(key loginKey) *login {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, now := l.entries[key], l.now()
	if entry == nil {
		return nil
	}
	if !entry.done() {
		if entry.after != "" {
			return nil // somebody was refused with the one before
		}
		entry = entry.before
	}
	if entry == nil || entry.err != nil || !entry.credential.Expires().IsZero() || !now.Before(entry.until) {
		return nil
	}
	entry.renewAt = now
	return entry
}
