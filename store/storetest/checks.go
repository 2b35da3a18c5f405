package storetest

import (
	"testing"
	"time"

	"pierhead.dev/pierhead"
)

var checkTests = []test{
	{"ChecksAreKept", testChecks},
	{"ChecksAreDue", testChecksDue},
	{"DraftsAreNotSaved", testDrafts},
	{"WhoMayNameASecret", testAllowedSecrets},
}

func withSecret(name string, match ...string) pierhead.Registry {
	r := registry(name, match...)
	r.Credential.Secret = "file:x"
	return r
}

func proved(at time.Time) pierhead.Check {
	return pierhead.Check{Result: pierhead.CheckProved, At: at, Node: "local", Image: "ghcr.io/acme/app:1", Reason: "it gave the image", Hint: ""}
}

func testChecks(t *testing.T, w *world) {
	r, err := w.CreateRegistry(w.ctx, w.alice, "acme", withSecret("ghcr", "ghcr.io/acme/*"))
	w.must(err)
	if r.Check.Result != pierhead.CheckNever {
		t.Errorf("a new registry was checked: %+v", r.Check)
	}
	at := time.Now().Truncate(time.Microsecond).UTC()
	w.must(w.PutCheck(w.ctx, pierhead.System(), r, proved(at)))
	read, err := w.Registry(w.ctx, w.alice, "acme", "ghcr")
	w.must(err)
	if want := proved(at); read.Check != want {
		t.Errorf("kept %+v, want %+v", read.Check, want)
	}
	all, err := w.Registries(w.ctx, w.alice, "acme")
	w.must(err)
	for _, one := range all {
		if (one.Name == "ghcr") != (one.Check.Result == pierhead.CheckProved) {
			t.Errorf("%s: %+v", one.Name, one.Check)
		}
	}
	read.Projects = pierhead.ProjectScope{}
	changed, err := w.UpdateRegistry(w.ctx, w.alice, "acme", read)
	w.must(err)
	w.must(w.PutCheck(w.ctx, pierhead.System(), r, proved(at))) // of what it was before
	if read, err = w.Registry(w.ctx, w.alice, "acme", "ghcr"); err != nil || read.Check.Result != pierhead.CheckNever {
		t.Errorf("an old finding stands for a changed registry: %+v, %v", read.Check, err)
	}
	for _, c := range []pierhead.Caller{w.root, w.alice, w.bob, w.robot, w.node} {
		w.wants(w.PutCheck(w.ctx, c, changed, proved(at)), pierhead.ErrNotAllowed)
		_, err := w.DueChecks(w.ctx, c, 10)
		w.wants(err, pierhead.ErrNotAllowed)
	}
}

func testChecksDue(t *testing.T, w *world) {
	system := pierhead.System()
	due := func() (names []string) {
		subjects, err := w.DueChecks(w.ctx, system, 10)
		w.must(err)
		for _, s := range subjects {
			names = append(names, s.Organization.Name+"/"+s.Registry.Name)
		}
		return names
	}
	if names := due(); len(names) != 0 {
		t.Errorf("the predefined registry is due: %v", names)
	}
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("open", "quay.io/acme/*")) // nothing to prove
	w.must(err)
	r, err := w.CreateRegistry(w.ctx, w.alice, "acme", withSecret("ghcr", "ghcr.io/acme/*"))
	w.must(err)
	if names := due(); len(names) != 1 || names[0] != "acme/ghcr" {
		t.Fatalf("due: %v", names)
	}
	w.must(w.PutCheck(w.ctx, system, r, proved(w.clock.Now())))
	if names := due(); len(names) != 0 {
		t.Errorf("just checked and due: %v", names)
	}
	w.must(w.PostponeCheck(w.ctx, system, r.ID, w.clock.Now().Add(-time.Second)))
	if names := due(); len(names) != 1 {
		t.Errorf("due: %v", names)
	}
	r.Enabled = false
	_, err = w.UpdateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	if names := due(); len(names) != 0 {
		t.Errorf("disabled and due: %v", names)
	}
}

func testDrafts(t *testing.T, w *world) {
	draft, err := w.DraftRegistry(w.ctx, w.alice, "acme", withSecret("azure", "myregistry.azurecr.io/*"), false)
	w.must(err)
	if draft.Registry.Type != pierhead.RegistryACR || draft.Registry.ID == "" || draft.Organization.Name != "acme" {
		t.Errorf("got %+v", draft)
	}
	_, err = w.Registry(w.ctx, w.alice, "acme", "azure")
	w.wants(err, pierhead.ErrNotFound)
	saved, err := w.CreateRegistry(w.ctx, w.alice, "acme", draft.Registry)
	w.must(err)
	if saved.ID != draft.Registry.ID {
		t.Errorf("saved as %s, drafted as %s", saved.ID, draft.Registry.ID)
	}
	saved.Credential.Secret = "file:other"
	update, err := w.DraftRegistry(w.ctx, w.alice, "acme", saved, true)
	w.must(err)
	if read, err := w.Registry(w.ctx, w.alice, "acme", "azure"); err != nil || read.Credential.Secret != "file:x" || update.Registry.Credential.Secret != "file:other" {
		t.Errorf("read %+v, %v", read, err)
	}
	bad := saved
	bad.Match = nil
	_, err = w.DraftRegistry(w.ctx, w.alice, "acme", bad, true)
	w.wants(err, pierhead.ErrBadInput, "match")
	_, err = w.DraftRegistry(w.ctx, w.bob, "acme", saved, true)
	w.wants(err, pierhead.ErrNotAllowed)
	if e := w.lastEntry(w.alice, "acme", "registry.test"); e.Outcome != "refused" {
		t.Errorf("the log says %+v", e)
	}
}

// A member may name what an admin allowed, by whole segments; an admin may name anything.
func testAllowedSecrets(t *testing.T, w *world) {
	run := func(c pierhead.Caller, secret string) error {
		_, err := w.CreateExecution(w.ctx, c, "acme", "train", pierhead.Spec{Step: "s", Image: "ghcr.io/acme/app:1", RegistryLoginSecret: secret})
		return err
	}
	w.must(run(w.alice, "vault:secret/prod/hub"))
	w.wants(run(w.bob, "vault:secret/team-a/hub"), pierhead.ErrNotAllowed, "bob may not name the secret vault:secret/team-a/hub")
	w.wants(w.AllowSecret(w.ctx, w.bob, "acme", "vault:secret/team-a"), pierhead.ErrNotAllowed)
	w.must(w.AllowSecret(w.ctx, w.alice, "acme", "vault:secret/team-a/"))
	w.must(w.AllowSecret(w.ctx, w.alice, "acme", "vault:secret/team-a"))
	w.must(run(w.bob, "vault:secret/team-a/hub"))
	w.wants(run(w.bob, "vault:secret/team-ab/hub"), pierhead.ErrNotAllowed)
	w.wants(run(w.bob, "vault:secret/team-a/../prod/hub"), pierhead.ErrNotAllowed)
	w.wants(run(w.robot, "file:hub"), pierhead.ErrNotAllowed)
	prefixes, err := w.AllowedSecrets(w.ctx, w.bob, "acme")
	w.must(err)
	if len(prefixes) != 1 || prefixes[0] != "vault:secret/team-a" {
		t.Errorf("got %v", prefixes)
	}
	w.must(w.DisallowSecret(w.ctx, w.alice, "acme", "vault:secret/team-a"))
	w.wants(run(w.bob, "vault:secret/team-a/hub"), pierhead.ErrNotAllowed)
	w.wants(w.DisallowSecret(w.ctx, w.alice, "acme", "vault:secret/team-a"), pierhead.ErrNotFound)
	for _, bad := range []string{"", "nothing", "memory:x", "vault:a/../b", "vault:a b", "https://user:pw@acme.vault.azure.net"} {
		w.wants(w.AllowSecret(w.ctx, w.alice, "acme", bad), pierhead.ErrBadInput)
	}
	w.wants(run(w.alice, "vault:x"), pierhead.ErrBadInput)
	// A person's own projects: an administrator of the installation says, and nobody sees it but the person.
	w.wants(w.AllowSecret(w.ctx, w.bob, "bob", "file:hub"), pierhead.ErrNotAllowed)
	w.must(w.AllowSecret(w.ctx, w.root, "bob", "file:hub"))
	if prefixes, err := w.AllowedSecrets(w.ctx, w.bob, "bob"); err != nil || len(prefixes) != 1 {
		t.Errorf("got %v, %v", prefixes, err)
	}
}
