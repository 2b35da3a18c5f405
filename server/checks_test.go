package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/server"
)

// patient lets a save wait for a node that is being started.
func patient(c *server.Config) { c.CheckWait = 20 * time.Second }

// answering is an agent that answers every check with what look says, until the test ends. It returns what it was asked.
func (k *kit) answering(look func(q api.Question) api.Check) <-chan api.Question {
	asked := make(chan api.Question, 100)
	node := k.client("node")
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, questions, err := node.TakeWork(ctx, 0, time.Second)
			if err != nil {
				continue
			}
			for _, q := range questions {
				asked <- q
				check := look(q)
				_ = node.Answer(ctx, q.ID, api.Answer{Check: &check}) // who asked may be gone
			}
		}
	}()
	k.t.Cleanup(func() { cancel(); <-done })
	return asked
}

func always(result pierhead.CheckResult) func(api.Question) api.Check {
	return func(q api.Question) api.Check {
		return api.Check{Result: string(result), Image: q.Image, Reason: "so it is", Hint: "do this", Node: "somebody-else"}
	}
}

func ghcr(secret string) api.Registry {
	return api.Registry{Name: "ghcr", Match: []string{"ghcr.io/acme/*"}, Credential: api.Credential{Secret: secret}, Sample: "acme/app:1"}
}

func TestSavedWithoutANode(t *testing.T) {
	k := newKit(t)
	r, err := k.client("alice").CreateRegistry(t.Context(), "acme", ghcr("file:ghcr"))
	if err != nil || r.Check != nil {
		t.Errorf("got %+v, %v", r, err)
	}
	_, err = k.client("alice").TestRegistry(t.Context(), "acme", "ghcr", "")
	if !errors.Is(err, pierhead.ErrUnreachable) || pierhead.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestAProvedRegistryIsSavedWithItsCheck(t *testing.T) {
	k := newKit(t, patient)
	asked := k.answering(always(pierhead.CheckProved))
	r, err := k.client("alice").CreateRegistry(t.Context(), "acme", ghcr("file:ghcr"))
	if err != nil || r.Check == nil || r.Check.Result != "proved" || r.Check.Node != "local" || r.Check.Image != "ghcr.io/acme/app:1" {
		t.Fatalf("got %+v, %v", r.Check, err)
	}
	if q := <-asked; q.Check == nil || q.Check.ID != r.ID || q.Check.Credential.Secret != "file:ghcr" {
		t.Errorf("asked %+v", q)
	}
	if r, err = k.client("alice").Registry(t.Context(), "acme", "ghcr"); err != nil || r.Check == nil || r.Check.Result != "proved" {
		t.Errorf("kept %+v, %v", r.Check, err)
	}
}

// A refusal saves nothing on add, and leaves the old credential on update.
func TestARefusedCredentialIsNotSaved(t *testing.T) {
	k := newKit(t, patient)
	results := map[string]pierhead.CheckResult{"file:bad": pierhead.CheckRefused, "file:away": pierhead.CheckFailed, "file:open": pierhead.CheckUnproved, "file:good": pierhead.CheckProved}
	k.answering(func(q api.Question) api.Check { return always(results[q.Check.Credential.Secret])(q) })
	alice := k.client("alice")
	for _, secret := range []string{"file:bad", "file:away"} {
		_, err := alice.CreateRegistry(t.Context(), "acme", ghcr(secret))
		if !errors.Is(err, pierhead.ErrPull) || !strings.Contains(err.Error(), "registry acme/ghcr was not saved: so it is") || !strings.Contains(pierhead.HintOf(err), "--no-test") {
			t.Errorf("%s: %v (%s)", secret, err, pierhead.HintOf(err))
		}
	}
	if _, err := alice.Registry(t.Context(), "acme", "ghcr"); !errors.Is(err, pierhead.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if r, err := alice.CreateRegistry(t.Context(), "acme", ghcr("file:open")); err != nil || r.Check.Result != "unproved" {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := alice.UpdateRegistry(t.Context(), "acme", ghcr("file:bad")); !errors.Is(err, pierhead.ErrPull) {
		t.Errorf("got %v", err)
	}
	if r, err := alice.Registry(t.Context(), "acme", "ghcr"); err != nil || r.Credential.Secret != "file:open" {
		t.Errorf("the old credential gave way: %+v, %v", r, err)
	}
	if r, err := alice.UpdateRegistry(t.Context(), "acme", ghcr("file:good")); err != nil || r.Check.Result != "proved" {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err := alice.Untested().UpdateRegistry(t.Context(), "acme", ghcr("file:bad")); err != nil || r.Check != nil || r.Credential.Secret != "file:bad" {
		t.Errorf("got %+v, %v", r, err)
	}
	if c, err := alice.TestRegistry(t.Context(), "acme", "ghcr", ""); err != nil || c.Result != "refused" {
		t.Errorf("got %+v, %v", c, err)
	}
	if r, err := alice.Registry(t.Context(), "acme", "ghcr"); err != nil || r.Check == nil || r.Check.Result != "refused" || r.Enabled == nil || !*r.Enabled {
		t.Errorf("a bad check is not kept, or disabled the registry: %+v, %v", r, err)
	}
}

// A registry is asked at most once a minute for the same, however many people ask.
func TestOneLookAMinute(t *testing.T) {
	k := newKit(t, patient)
	asked := k.answering(always(pierhead.CheckRefused))
	alice := k.client("alice")
	_, err := alice.Untested().CreateRegistry(t.Context(), "acme", ghcr("file:bad"))
	k.must(err)
	for range 5 {
		if c, err := alice.TestRegistry(t.Context(), "acme", "ghcr", ""); err != nil || c.Result != "refused" {
			t.Fatalf("got %+v, %v", c, err)
		}
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times", len(asked))
	}
	if _, err := alice.TestRegistry(t.Context(), "acme", "ghcr", "ghcr.io/acme/other:2"); err != nil || len(asked) != 2 {
		t.Errorf("another image: %v, asked %d times", err, len(asked))
	}
	if _, err := alice.TestRegistry(t.Context(), "acme", "ghcr", "quay.io/acme/app:1"); !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("got %v", err)
	}
	if _, err := k.client("bob").TestRegistry(t.Context(), "acme", "ghcr", ""); !errors.Is(err, pierhead.ErrNotAllowed) {
		t.Errorf("a member: %v", err)
	}
}

// What is to be asked for: what somebody names, the sample, the newest image, what a pattern names, nothing.
func TestTheImageOfACheck(t *testing.T) {
	k := newKit(t, patient)
	k.projects()
	asked := k.answering(always(pierhead.CheckUnproved))
	alice := k.client("alice")
	for i, test := range []struct {
		match, sample, want string
	}{
		{"quay.io/acme/*", "acme/app:1", "quay.io/acme/app:1"},
		{"quay.io/acme/app", "", "quay.io/acme/app"},
		{"quay.io/acme/tagged:v1", "", "quay.io/acme/tagged:v1"},
		{"quay.io/acme/any:*", "", "quay.io/acme/any"},
		{"quay.io/other/*", "", ""},
	} {
		r := api.Registry{Name: "r" + string(rune('a'+i)), Match: []string{test.match}, Sample: test.sample, Credential: api.Credential{Secret: "file:x"}}
		if _, err := alice.CreateRegistry(t.Context(), "acme", r); err != nil {
			t.Fatal(err)
		}
		if q := <-asked; q.Image != test.want {
			t.Errorf("%s: asked for %q, want %q", test.match, q.Image, test.want)
		}
	}
}

// On schedule nodes look at what is due, the first time soon after the save.
func TestWatchLooksAtWhatIsDue(t *testing.T) {
	k := newKit(t, patient)
	_, err := k.client("alice").Untested().CreateRegistry(t.Context(), "acme", ghcr("file:ghcr"))
	k.must(err)
	asked := k.answering(always(pierhead.CheckRefused))
	_, _, err = k.client("node").TakeWork(t.Context(), 0, 0) // it shows that a node is there
	k.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- k.server.Watch(ctx) }()
	if q := <-asked; q.Check == nil || q.Check.Name != "ghcr" || q.Image != "ghcr.io/acme/app:1" {
		t.Errorf("asked %+v", q)
	}
	for {
		r, err := k.client("alice").Registry(ctx, "acme", "ghcr")
		k.must(err)
		if r.Check != nil {
			if r.Check.Result != "refused" || r.Check.Node != "local" {
				t.Errorf("kept %+v", r.Check)
			}
			break
		}
	}
	cancel()
	if err := <-watched; err != nil {
		t.Errorf("got %v", err)
	}
}
