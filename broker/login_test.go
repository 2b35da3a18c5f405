package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/secret"
)

// An issuer makes logins, one a second, and counts them.
type issuer struct {
	mu    sync.Mutex
	made  int
	life  time.Duration // 0: without expiry
	same  bool          // the same login every time
	fails error
}

func (i *issuer) fetch(ctx context.Context) (credential.Credential, error) {
	select {
	case <-time.After(time.Second): // of the bubble's time
	case <-ctx.Done():
		return credential.Credential{}, ctx.Err()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	if i.fails != nil {
		return credential.Credential{}, i.fails
	}
	password, expires := fmt.Sprint(i.made), time.Time{}
	if i.same {
		password = "same"
	}
	if i.life > 0 {
		expires = time.Now().Add(i.life)
	}
	return credential.New("ci", password, expires, []string{"registry.example.com"}), nil
}

func (i *issuer) set(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = err
}

func newLogins() *logins { return &logins{now: time.Now, entries: map[loginKey]*login{}} }

var oneKey = loginKey{registryID: "reg_1"}

// takes asks and checks which login comes ("" for an error), and how many were made by then.
func (i *issuer) takes(t *testing.T, l *logins, stale *credential.Credential, want string, made int) credential.Credential {
	t.Helper()
	c, err := l.get(t.Context(), oneKey, stale, i.fetch)
	if c.Password() != want || (err != nil) != (want == "") || i.made != made {
		t.Errorf("login %q after %d made, want %q after %d: %v", c.Password(), i.made, want, made, err)
	}
	return c
}

// All who ask at once get the one login that is fetched, whoever of them goes away meanwhile.
func TestThousandAskersOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := l.get(first, oneKey, nil, i.fetch); !errors.Is(err, context.Canceled) {
				t.Errorf("who went away got %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			all.Go(func() {
				if c, err := l.get(t.Context(), oneKey, nil, i.fetch); err != nil || c.Password() != "1" {
					t.Errorf("login %q: %v", c.Password(), err)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		i.takes(t, l, nil, "1", 1)
	})
}

func TestManyWithOneRefusedLoginOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{life: time.Hour}
		stale := i.takes(t, l, nil, "1", 1)
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 50 * time.Millisecond) // some while it is fetched, some after
				if c, err := l.get(t.Context(), oneKey, &stale, i.fetch); err != nil || c.Password() != "2" {
					t.Errorf("login %q: %v", c.Password(), err)
				}
			})
		}
		all.Wait()
		i.takes(t, l, nil, "2", 2)
	})
}

// A dead secret is not read for every request that it fails, and a new content is seen soon.
func TestRefusedLoginThatComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{same: true}
		stale := i.takes(t, l, nil, "same", 1)
		for range 5 {
			i.takes(t, l, &stale, "same", 2)
		}
		time.Sleep(sameAgain)
		i.same = false
		i.takes(t, l, &stale, "3", 3)
	})
}

func TestErrorsAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{fails: secret.ErrUnreachable}
		i.takes(t, l, nil, "", 1)
		i.takes(t, l, nil, "", 2)
		i.set(nil)
		i.takes(t, l, nil, "3", 3)
	})
}

// P3: a login with an expiry is renewed at half its life, a little earlier by jitter; one without is read again after a
// minute.
func TestP3HalfLife(t *testing.T) {
	for _, c := range []struct{ life, fresh, old time.Duration }{
		{12 * time.Hour, 4 * time.Hour, 6 * time.Hour},
		{5 * time.Minute, 90 * time.Second, 150 * time.Second},
		{0, 50 * time.Second, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, i := newLogins(), &issuer{life: c.life}
			i.takes(t, l, nil, "1", 1)
			time.Sleep(c.fresh)
			i.takes(t, l, nil, "1", 1)
			time.Sleep(c.old - c.fresh)
			i.takes(t, l, nil, "2", 2)
		})
	}
}

// P3: when nobody answers who could renew it, a login serves until its own end; a no is an answer at once, and a login
// that the registry refused does not come back.
func TestP3LoginSurvivesAnIssuerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{life: time.Hour}
		stale := i.takes(t, l, nil, "1", 1)
		i.set(fmt.Errorf("%w: no answer", exchange.ErrUnreachable))
		time.Sleep(31 * time.Minute)
		i.takes(t, l, nil, "1", 2)
		i.takes(t, l, nil, "1", 2) // and is not asked for every time
		time.Sleep(20 * time.Minute)
		i.takes(t, l, nil, "1", 3)
		i.takes(t, l, &stale, "", 4)
	})
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{life: time.Hour}
		i.takes(t, l, nil, "1", 1)
		i.set(exchange.ErrUnreachable)
		time.Sleep(time.Hour)
		i.takes(t, l, nil, "", 2)
	})
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		i.takes(t, l, nil, "1", 1)
		i.set(secret.ErrNotFound)
		time.Sleep(time.Minute)
		i.takes(t, l, nil, "", 2)
	})
}

// What nobody asks for is forgotten, so that changed registries do not add up.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, i := newLogins(), &issuer{}
		for n := range 10 {
			if _, err := l.get(t.Context(), loginKey{changed: time.Unix(int64(n), 0)}, nil, i.fetch); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Hour)
		i.takes(t, l, nil, "11", 11)
		if len(l.entries) != 1 {
			t.Errorf("%d are kept", len(l.entries))
		}
	})
}

// Somebody who asks for ever more repositories does not fill the memory, nor take a fetch from those who wait for it.
func TestManyRepositoriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, slow, quick := newLogins(), &issuer{}, func(context.Context) (credential.Credential, error) {
			return credential.New("ci", "x", time.Time{}, []string{"registry.example.com"}), nil
		}
		waits := make(chan error)
		wait := func() { _, err := l.get(t.Context(), oneKey, nil, slow.fetch); waits <- err }
		go wait()
		synctest.Wait()
		for n := range 3 * maxLogins {
			if _, err := l.get(t.Context(), loginKey{registryID: "reg_1", repository: fmt.Sprint(n)}, nil, quick); err != nil {
				t.Fatal(err)
			}
			if len(l.entries) > maxLogins+1 {
				t.Fatalf("%d are kept", len(l.entries))
			}
		}
		go wait()
		for range 2 {
			if err := <-waits; err != nil {
				t.Error(err)
			}
		}
		if slow.made != 1 {
			t.Errorf("%d were made for two who waited", slow.made)
		}
	})
}

// A changed registry is asked for its login anew, at once.
func TestChangedRegistryHasAnotherLogin(t *testing.T) {
	r := newRemote(t, false)
	entry := r.registry()
	registries := tables{"org_acme": {entry}}
	n := newNode(t)
	n.Registries = registries
	n.write("team", "old", "")
	n.write("next", r.password, "")
	entry.Credential.Secret, entry.UpdatedAt = "file:next", time.Now()
	if _, _, err := n.resolve(r.host + "/team/app:v1"); err == nil {
		t.Fatal("the old login was taken")
	}
	registries["org_acme"] = []pierhead.Registry{entry}
	if _, access, err := n.resolve(r.host + "/team/app:v1"); err != nil || access.Registry() != "team" {
		t.Fatal(err)
	}
}

// A secret store that does not answer at all is unreachable after a minute, not a pull that hangs.
func TestSilentSecretStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, generic("team", nil, "registry.example.com/*"))
		n.Secrets = silent{}
		begin := time.Now()
		_, err := n.Open(t.Context(), alice, ask(t, "registry.example.com/app:v1"))
		if !errors.Is(err, secret.ErrUnreachable) || time.Since(begin) != exchangeWithin {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		readsWell(t, err, "registry.example.com/app:v1")
	})
}

type silent struct{}

func (silent) Get(ctx context.Context, _ secret.Ref) (secret.Value, error) {
	<-ctx.Done()
	return secret.Value{}, ctx.Err()
}

// P3: three days of pulls, with an issuer that is away for a third of each life in turn: no login is ever handed out after
// its end, nobody is left without one, and no more are made than half-lives went by.
func TestP3DaysOfPulls(t *testing.T) {
	for _, life := range []time.Duration{12 * time.Hour, time.Hour, 5 * time.Minute} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, i := newLogins(), &issuer{life: life}
				began, step := time.Now(), life/40
				for time.Since(began) < 72*time.Hour {
					away := time.Since(began) > life && time.Since(began)/(life/3)%3 == 2
					if i.set(nil); away {
						i.set(exchange.ErrUnreachable)
					}
					c, err := l.get(t.Context(), oneKey, nil, i.fetch)
					if err != nil || c.Expired(time.Now()) {
						t.Fatalf("after %v: %v, %v", time.Since(began), c, err)
					}
					time.Sleep(step)
				}
				lives := int(72 * time.Hour / life)
				if i.made < 2*lives-2 || i.made > 4*lives {
					t.Errorf("%d were asked for in %d lives", i.made, lives)
				}
			})
		})
	}
}
