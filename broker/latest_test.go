package broker

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
)

// latestIs asks for the login that is to be lent.
func (i *issuer) latestIs(t *testing.T, l *logins, want string, made int) {
	t.Helper()
	c, err := l.latest(t.Context(), oneKey, i.fetch)
	if c.Password() != want || (err != nil) != (want == "") || i.made != made {
		t.Errorf("login %q after %d made, want %q after %d: %v", c.Password(), i.made, want, made, err)
	}
}

// A lent login is read anew where it has no end of its own, and kept where it has one.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		i.latestIs(t, l, "1", 1)
		i.latestIs(t, l, "2", 2)
		i.takes(t, l, nil, "2", 2) // who can come back does not ask anew
	})
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{life: time.Hour}
		i.latestIs(t, l, "1", 1)
		i.latestIs(t, l, "1", 1)
	})
}

// A store that is away or slow stops nobody until the login from before is too old; one that says no does.
func TestLatestWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		i.latestIs(t, l, "1", 1)
		i.set(exchange.ErrUnreachable)
		for made := 2; made <= 5; made++ {
			time.Sleep(unexpiringLife / 5)
			i.latestIs(t, l, "1", made)
		}
		time.Sleep(unexpiringLife / 5)
		i.latestIs(t, l, "", 6)
		i.set(nil)
		i.latestIs(t, l, "7", 7)
		i.set(exchange.ErrRefused)
		i.latestIs(t, l, "", 8)
	})
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		i.latestIs(t, l, "1", 1)
		slow := func(ctx context.Context) (credential.Credential, error) {
			time.Sleep(10 * time.Second)
			return i.fetch(ctx)
		}
		for range 3 { // the first begins the reading, and the others wait for the same
			begun := time.Now()
			if c, err := l.latest(t.Context(), oneKey, slow); err != nil || c.Password() != "1" || time.Since(begun) != latestWithin {
				t.Errorf("%v after %v", err, time.Since(begun))
			}
		}
		time.Sleep(10 * time.Second)
		i.takes(t, l, nil, "2", 2)
	})
}

// A login that somebody was refused with is not lent while another is fetched.
func TestLatestIsNotTheRefusedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		stale := i.takes(t, l, nil, "1", 1)
		slow := func(ctx context.Context) (credential.Credential, error) {
			time.Sleep(10 * time.Second)
			return i.fetch(ctx)
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = l.get(t.Context(), oneKey, &stale, slow) })
		synctest.Wait()
		i.latestIs(t, l, "2", 2)
		all.Wait()
	})
}

// Those who ask at once share one reading.
func TestLatestOfManyIsOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		i.latestIs(t, l, "1", 1)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if c, err := l.latest(t.Context(), oneKey, i.fetch); err != nil || c.Password() != "2" {
					t.Errorf("login %q: %v", c.Password(), err)
				}
			})
		}
		all.Wait()
		if i.made != 2 {
			t.Errorf("%d readings", i.made)
		}
	})
}
