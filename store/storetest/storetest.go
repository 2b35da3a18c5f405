// Package storetest is what every store must keep, whatever database it uses. A test of a store calls Run.
package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/audit"
	"pierhead.dev/pierhead/store"
)

// URL is the server's URL in these tests.
const URL = "http://127.0.0.1:7070"

// Run runs the whole suite. open gives a fresh, empty store each time, with these options, and closes it at the end.
func Run(t *testing.T, open func(t *testing.T, o store.Options) *store.Store) {
	for _, suite := range [][]test{
		personTests, organizationTests, projectTests, tokenTests, registryTests, registryInputTests, checkTests,
		executionTests, workTests, nodeTests, joinTests, eventTests, auditTests,
	} {
		for _, test := range suite {
			t.Run(test.name, func(t *testing.T) {
				clock := &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
				s := open(t, store.Options{URL: URL, Now: clock.Now})
				test.run(t, newWorld(t, s, clock))
			})
		}
	}
}

type test struct {
	name string
	run  func(t *testing.T, w *world)
}

// A Clock is a time that tests move. It goes on by a millisecond with every look, so that times differ.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A world is an installation with two organizations that know nothing of each other.
type world struct {
	*store.Store
	t         *testing.T
	clock     *Clock
	ctx       context.Context
	rootToken string

	root  pierhead.Caller // administrator, member of nothing
	alice pierhead.Caller // admin of acme
	bob   pierhead.Caller // member of acme
	eve   pierhead.Caller // admin of beta
	robot pierhead.Caller // of acme
	node  pierhead.Caller // serves all
	read  pierhead.Caller // alice, read-only
}

func newWorld(t *testing.T, s *store.Store, clock *Clock) *world {
	w := &world{Store: s, t: t, clock: clock, ctx: t.Context()}
	_, text, created, err := s.Bootstrap(w.ctx, "root")
	w.must(err)
	if !created || text == "" {
		t.Fatal("an empty store made no administrator")
	}
	w.rootToken = text
	w.root = w.login(text)
	for _, name := range []string{"alice", "bob", "eve"} {
		_, err := s.CreatePerson(w.ctx, w.root, name, false)
		w.must(err)
	}
	for organization, members := range map[string]map[string]pierhead.Role{
		"acme": {"alice": pierhead.RoleAdmin, "bob": pierhead.RoleMember},
		"beta": {"eve": pierhead.RoleAdmin},
	} {
		_, err := s.CreateOrganization(w.ctx, w.root, organization)
		w.must(err)
		for person, role := range members {
			_, err := s.SetMember(w.ctx, w.root, organization, person, role)
			w.must(err)
		}
		w.must(s.DeleteMember(w.ctx, w.root, organization, "root"))
	}
	w.root = w.login(text)
	w.alice, w.bob, w.eve = w.person("alice"), w.person("bob"), w.person("eve")
	_, text, err = s.CreateToken(w.ctx, w.alice, pierhead.Token{Kind: pierhead.TokenRobot, Name: "ci", Organization: "acme"})
	w.must(err)
	w.robot = w.login(text)
	_, text, err = s.CreateToken(w.ctx, w.alice, pierhead.Token{ReadOnly: true, Name: "looking"})
	w.must(err)
	w.read = w.login(text)
	_, text, err = s.EnsureNode(w.ctx, pierhead.System(), "local")
	w.must(err)
	w.node = w.login(text)
	for _, c := range []struct {
		caller         pierhead.Caller
		owner, project string
	}{{w.alice, "acme", "train"}, {w.alice, "acme", "serve"}, {w.eve, "beta", "train"}, {w.bob, "bob", "play"}} {
		_, err := s.CreateProject(w.ctx, c.caller, c.owner, c.project)
		w.must(err)
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// login makes a caller of a token.
func (w *world) login(text string) pierhead.Caller {
	w.t.Helper()
	c, err := w.Authenticate(w.ctx, text)
	w.must(err)
	return c
}

// person makes a token for a person, as an administrator does, and logs in with it.
func (w *world) person(name string) pierhead.Caller {
	w.t.Helper()
	_, text, err := w.CreateToken(w.ctx, w.root, pierhead.Token{Person: name})
	w.must(err)
	return w.login(text)
}

// wants sees that err is a Problem of a kind, with every one of the words in it or its hint.
func (w *world) wants(err error, kind error, words ...string) {
	w.t.Helper()
	var problem *pierhead.Problem
	if !errors.As(err, &problem) || !errors.Is(err, kind) {
		w.t.Errorf("got %v, want a problem of kind %q", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(problem.Text+"\n"+problem.Hint, word) {
			w.t.Errorf("%q (%q) does not say %q", problem.Text, problem.Hint, word)
		}
	}
}

// lastEntry is the newest entry of an action in the log that c sees.
func (w *world) lastEntry(c pierhead.Caller, organization, action string) audit.Entry {
	w.t.Helper()
	entries, err := w.Audit(w.ctx, c, audit.Filter{Organization: organization, Action: action, Limit: 1})
	w.must(err)
	if len(entries) == 0 {
		w.t.Fatalf("no entry of %s", action)
	}
	return entries[0]
}

func (w *world) organizationID(name string) string {
	w.t.Helper()
	o, err := w.Organization(w.ctx, w.root, name)
	w.must(err)
	return o.ID
}
