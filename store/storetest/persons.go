package storetest

import (
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

var personTests = []test{
	{"PersonsAreMadeByAdministrators", testPersonCreate},
	{"NamesAreCheckedAndShared", testNames},
	{"PersonsSeeWhomTheyWorkWith", testPersonsVisible},
	{"DeletedPersonsTokensEnd", testPersonDelete},
	{"TheLastAdministratorStays", testLastAdministrator},
	{"BootstrapOnce", testBootstrap},
}

func testPersonCreate(t *testing.T, w *world) {
	for _, c := range []pierhead.Caller{w.alice, w.bob, w.robot, w.node, w.read} {
		_, err := w.CreatePerson(w.ctx, c, "carol", false)
		w.wants(err, pierhead.ErrNotAllowed, "administrator")
	}
	p, err := w.CreatePerson(w.ctx, w.root, "carol", true)
	w.must(err)
	if got, err := w.Person(w.ctx, w.root, "carol"); err != nil || got != p || !got.Admin {
		t.Errorf("got %+v, %v, want %+v", got, err, p)
	}
	if !w.person("carol").Admin {
		t.Error("carol is no administrator")
	}
}

func testNames(t *testing.T, w *world) {
	for _, bad := range []string{"", "-a", "a-", "a--b", "A", "a_b", "a.b", "a b", "ä", "system", strings.Repeat("a", 64), "a/b", "a\n"} {
		_, err := w.CreatePerson(w.ctx, w.root, bad, false)
		w.wants(err, pierhead.ErrBadInput)
		_, err = w.CreateOrganization(w.ctx, w.root, bad)
		w.wants(err, pierhead.ErrBadInput)
		_, err = w.CreateProject(w.ctx, w.alice, "acme", bad)
		w.wants(err, pierhead.ErrBadInput)
	}
	for _, good := range []string{"a", "0", "a-b-c", strings.Repeat("a", 63)} {
		_, err := w.CreatePerson(w.ctx, w.root, good, false)
		w.must(err)
		_, err = w.CreateOrganization(w.ctx, w.root, good)
		w.wants(err, pierhead.ErrConflict, "taken")
		_, err = w.CreateProject(w.ctx, w.alice, "acme", good)
		w.must(err)
		_, err = w.CreateProject(w.ctx, w.alice, "acme", good)
		w.wants(err, pierhead.ErrConflict)
	}
	_, err := w.CreatePerson(w.ctx, w.root, "acme", false)
	w.wants(err, pierhead.ErrConflict, "taken")
}

func testPersonsVisible(t *testing.T, w *world) {
	for _, c := range []struct {
		caller pierhead.Caller
		want   string
	}{{w.root, "alice bob eve root"}, {w.alice, "alice bob"}, {w.robot, "alice bob"}, {w.eve, "eve"}, {w.node, ""}} {
		persons, err := w.Persons(w.ctx, c.caller)
		w.must(err)
		var names []string
		for _, p := range persons {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s sees %q, want %q", c.caller.Name, got, c.want)
		}
	}
	_, err := w.Person(w.ctx, w.eve, "alice")
	_, missing := w.Person(w.ctx, w.eve, "nobody")
	w.wants(err, pierhead.ErrNotFound)
	if strings.ReplaceAll(err.Error(), "alice", "nobody") != missing.Error() {
		t.Errorf("hidden %q and missing %q differ", err, missing)
	}
}

func testPersonDelete(t *testing.T, w *world) {
	_, text, err := w.CreateToken(w.ctx, w.bob, pierhead.Token{Name: "second"})
	w.must(err)
	w.wants(w.DeletePerson(w.ctx, w.alice, "bob"), pierhead.ErrNotAllowed)
	w.wants(w.DeletePerson(w.ctx, w.root, "bob"), pierhead.ErrConflict, "play")
	w.wants(w.DeletePerson(w.ctx, w.root, "alice"), pierhead.ErrConflict, "only admin of acme")
	w.login(text) // a refused deletion has deleted nothing
	w.must(w.DeleteProject(w.ctx, w.bob, "bob", "play"))
	w.must(w.DeletePerson(w.ctx, w.root, "bob"))
	_, err = w.Authenticate(w.ctx, text)
	w.wants(err, pierhead.ErrNotAllowed)
	members, err := w.Members(w.ctx, w.alice, "acme")
	w.must(err)
	if slices.ContainsFunc(members, func(m pierhead.Member) bool { return m.Person == "bob" }) {
		t.Error("bob is still a member")
	}
	_, err = w.CreatePerson(w.ctx, w.root, "bob", false)
	w.wants(err, pierhead.ErrConflict, "deleted")

	// A robot outlives who made it.
	_, err = w.SetMember(w.ctx, w.root, "acme", "eve", pierhead.RoleAdmin)
	w.must(err)
	w.must(w.DeletePerson(w.ctx, w.root, "alice"))
	tokens, err := w.Tokens(w.ctx, w.person("eve"))
	w.must(err)
	if !slices.ContainsFunc(tokens, func(k pierhead.Token) bool { return k.Kind == pierhead.TokenRobot && k.Name == "ci" }) {
		t.Error("the robot went with alice")
	}
}

func testLastAdministrator(t *testing.T, w *world) {
	w.wants(w.DeletePerson(w.ctx, w.root, "root"), pierhead.ErrConflict, "only administrator")
	_, err := w.CreatePerson(w.ctx, w.root, "carol", true)
	w.must(err)
	w.must(w.DeletePerson(w.ctx, w.root, "root"))
	if _, err := w.Authenticate(w.ctx, w.rootToken); err == nil {
		t.Error("a deleted administrator's token still works")
	}
}

func testBootstrap(t *testing.T, w *world) {
	p, text, created, err := w.Bootstrap(w.ctx, "other")
	if err != nil || created || text != "" || p.Name != "root" {
		t.Errorf("the second start gave %+v, %v, %v", p, created, err)
	}
}
