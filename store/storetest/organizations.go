package storetest

import (
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

var organizationTests = []test{
	{"OrganizationsAreMadeByAdministrators", testOrganizationCreate},
	{"OrganizationsAreHiddenFromOthers", testOrganizationsHidden},
	{"RolesHoldAtOnce", testRoles},
	{"AnOrganizationKeepsAnAdmin", testLastAdmin},
	{"MembersMayLeave", testLeave},
	{"DeleteTellsWhatIsInTheWay", testOrganizationDelete},
}

var projectTests = []test{
	{"ProjectsBelongToOrganizationOrPerson", testProjects},
	{"V2PersonalProjectsAreTheOwners", testPersonalProjects},
	{"DeletedProjectTakesItsFinishedExecutions", testProjectDelete},
}

func testOrganizationCreate(t *testing.T, w *world) {
	_, err := w.CreateOrganization(w.ctx, w.alice, "gamma")
	w.wants(err, pierhead.ErrNotAllowed, "administrator")
	_, err = w.CreateOrganization(w.ctx, w.root, "gamma")
	w.must(err)
	members, err := w.Members(w.ctx, w.root, "gamma")
	w.must(err)
	if len(members) != 1 || members[0].Person != "root" || members[0].Role != pierhead.RoleAdmin || members[0].CreatedAt.IsZero() {
		t.Errorf("members of a new organization: %+v", members)
	}
	registries, err := w.Registries(w.ctx, w.login(w.rootToken), "gamma")
	w.must(err)
	if len(registries) != 1 || registries[0].Name != pierhead.HostedRegistryName || registries[0].Match[0] != "127.0.0.1:7070/gamma/*" {
		t.Errorf("registries of a new organization: %+v", registries)
	}
}

func testOrganizationsHidden(t *testing.T, w *world) {
	for _, c := range []struct {
		caller pierhead.Caller
		want   string
	}{{w.root, "acme beta"}, {w.alice, "acme"}, {w.robot, "acme"}, {w.eve, "beta"}, {w.node, "acme beta"}} {
		organizations, err := w.Organizations(w.ctx, c.caller)
		w.must(err)
		var names []string
		for _, o := range organizations {
			names = append(names, o.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s sees %q, want %q", c.caller.Name, got, c.want)
		}
	}
	// Whatever eve tries with acme reads as it would of an organization that is not there.
	tries := map[string]func(organization string) error{
		"show":     func(o string) error { _, err := w.Organization(w.ctx, w.eve, o); return err },
		"members":  func(o string) error { _, err := w.Members(w.ctx, w.eve, o); return err },
		"set":      func(o string) error { _, err := w.SetMember(w.ctx, w.eve, o, "eve", pierhead.RoleAdmin); return err },
		"leave":    func(o string) error { return w.DeleteMember(w.ctx, w.eve, o, "eve") },
		"remove":   func(o string) error { return w.DeleteMember(w.ctx, w.eve, o, "bob") },
		"projects": func(o string) error { _, err := w.Projects(w.ctx, w.eve, o); return err },
		"project":  func(o string) error { _, err := w.Project(w.ctx, w.eve, o, "train"); return err },
		"create":   func(o string) error { _, err := w.CreateProject(w.ctx, w.eve, o, "x"); return err },
		"registry": func(o string) error { _, err := w.Registry(w.ctx, w.eve, o, "docker-registry"); return err },
		"registries": func(o string) error {
			_, err := w.Registries(w.ctx, w.eve, o)
			return err
		},
		"datakey": func(o string) error { _, err := w.DataKey(w.ctx, w.eve, o); return err },
		"run": func(o string) error {
			_, err := w.CreateExecution(w.ctx, w.eve, o, "train", spec("alpine"))
			return err
		},
		"delete": func(o string) error { return w.DeleteOrganization(w.ctx, w.eve, o) },
		"robot": func(o string) error {
			_, _, err := w.CreateToken(w.ctx, w.eve, pierhead.Token{Kind: pierhead.TokenRobot, Name: "x", Organization: o})
			return err
		},
	}
	for name, try := range tries {
		hidden, missing := try("acme"), try("nowhere")
		w.wants(hidden, pierhead.ErrNotFound)
		if hidden == nil || missing == nil || strings.ReplaceAll(hidden.Error(), "acme", "nowhere") != missing.Error() || pierhead.HintOf(hidden) != pierhead.HintOf(missing) {
			t.Errorf("%s: hidden reads %q, missing %q", name, hidden, missing)
		}
	}
}

func testRoles(t *testing.T, w *world) {
	_, err := w.SetMember(w.ctx, w.bob, "acme", "eve", pierhead.RoleMember)
	w.wants(err, pierhead.ErrNotAllowed, "an admin of the organization")
	_, err = w.SetMember(w.ctx, w.read, "acme", "eve", pierhead.RoleMember)
	w.wants(err, pierhead.ErrNotAllowed, "read-only")
	_, err = w.SetMember(w.ctx, w.alice, "acme", "nobody", pierhead.RoleMember)
	w.wants(err, pierhead.ErrNotFound, "nobody")
	_, err = w.SetMember(w.ctx, w.alice, "acme", "bob", "owner")
	w.wants(err, pierhead.ErrBadInput, "owner")
	member, err := w.SetMember(w.ctx, w.alice, "acme", "bob", pierhead.RoleAdmin)
	w.must(err)
	if member.Role != pierhead.RoleAdmin || member.Person != "bob" || member.Organization != "acme" {
		t.Errorf("got %+v", member)
	}
	if role := w.person("bob").RoleIn(w.organizationID("acme")); role != pierhead.RoleAdmin {
		t.Errorf("bob's role is %q", role)
	}
	w.must(w.DeleteMember(w.ctx, w.alice, "acme", "bob"))
	if c := w.person("bob"); len(c.Memberships) != 0 {
		t.Errorf("bob is still in %v", c.Memberships)
	}
	w.wants(w.DeleteMember(w.ctx, w.alice, "acme", "bob"), pierhead.ErrNotFound)
}

func testLastAdmin(t *testing.T, w *world) {
	_, err := w.SetMember(w.ctx, w.alice, "acme", "alice", pierhead.RoleMember)
	w.wants(err, pierhead.ErrConflict, "only admin")
	w.wants(w.DeleteMember(w.ctx, w.alice, "acme", "alice"), pierhead.ErrConflict, "only admin")
	_, err = w.SetMember(w.ctx, w.alice, "acme", "alice", pierhead.RoleAdmin)
	w.must(err)
}

func testLeave(t *testing.T, w *world) {
	w.wants(w.DeleteMember(w.ctx, w.bob, "acme", "alice"), pierhead.ErrNotAllowed)
	w.wants(w.DeleteMember(w.ctx, w.robot, "acme", "nobody"), pierhead.ErrNotAllowed)
	w.must(w.DeleteMember(w.ctx, w.bob, "acme", "bob"))
}

func testOrganizationDelete(t *testing.T, w *world) {
	w.wants(w.DeleteOrganization(w.ctx, w.alice, "acme"), pierhead.ErrNotAllowed, "administrator")
	w.wants(w.DeleteOrganization(w.ctx, w.root, "acme"), pierhead.ErrConflict, "projects", "serve, train")
	w.must(w.DeleteProject(w.ctx, w.alice, "acme", "train"))
	w.must(w.DeleteProject(w.ctx, w.alice, "acme", "serve"))
	_, err := w.CreateRegistry(w.ctx, w.alice, "acme", registry("azure", "myregistry.azurecr.io/*"))
	w.must(err)
	w.wants(w.DeleteOrganization(w.ctx, w.root, "acme"), pierhead.ErrConflict, "registries", "azure")
	w.must(w.DeleteRegistry(w.ctx, w.alice, "acme", "azure"))
	w.must(w.DeleteOrganization(w.ctx, w.root, "acme"))
	if c := w.person("alice"); len(c.Memberships) != 0 {
		t.Errorf("alice is still in %v", c.Memberships)
	}
	_, err = w.Organization(w.ctx, w.root, "acme")
	w.wants(err, pierhead.ErrNotFound)
	_, err = w.CreateOrganization(w.ctx, w.root, "acme")
	w.wants(err, pierhead.ErrConflict, "deleted")
}

func testProjects(t *testing.T, w *world) {
	p, err := w.CreateProject(w.ctx, w.bob, "acme", "bobs") // members make projects
	w.must(err)
	if p.Personal() || p.FullName() != "acme/bobs" || p.OrganizationID != w.organizationID("acme") {
		t.Errorf("got %+v", p)
	}
	_, err = w.CreateProject(w.ctx, w.read, "acme", "x")
	w.wants(err, pierhead.ErrNotAllowed, "read-only")
	w.wants(w.DeleteProject(w.ctx, w.bob, "acme", "bobs"), pierhead.ErrNotAllowed)
	w.must(w.DeleteProject(w.ctx, w.alice, "acme", "bobs"))
	_, err = w.Project(w.ctx, w.bob, "acme", "bobs")
	w.wants(err, pierhead.ErrNotFound)
	for _, c := range []struct {
		caller pierhead.Caller
		want   string
	}{{w.alice, "acme/serve acme/train"}, {w.bob, "acme/serve acme/train bob/play"}, {w.robot, "acme/serve acme/train"}, {w.eve, "beta/train"}, {w.root, ""}} {
		projects, err := w.Projects(w.ctx, c.caller, "")
		w.must(err)
		var names []string
		for _, p := range projects {
			names = append(names, p.FullName())
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s sees %q, want %q", c.caller.Name, got, c.want)
		}
	}
}

func testPersonalProjects(t *testing.T, w *world) {
	p, err := w.Project(w.ctx, w.bob, "bob", "play")
	w.must(err)
	if !p.Personal() || p.OrganizationID != "" {
		t.Errorf("got %+v", p)
	}
	for _, c := range []pierhead.Caller{w.root, w.alice, w.eve, w.robot, w.node} {
		hidden := pierhead.ErrNotFound
		if c.Admin {
			hidden = pierhead.ErrNotAllowed // knows that there is a bob
		}
		_, err := w.Project(w.ctx, c, "bob", "play")
		w.wants(err, pierhead.ErrNotFound)
		_, err = w.Projects(w.ctx, c, "bob")
		w.wants(err, hidden)
		_, err = w.CreateProject(w.ctx, c, "bob", "x")
		w.wants(err, hidden)
		w.wants(w.DeleteProject(w.ctx, c, "bob", "play"), pierhead.ErrNotFound)
	}
}

func testProjectDelete(t *testing.T, w *world) {
	x := w.run(w.bob, "bob", "play")
	w.wants(w.DeleteProject(w.ctx, w.bob, "bob", "play"), pierhead.ErrConflict, x.ID)
	w.take()
	_, err := w.AppendLog(w.ctx, w.node, x.ID, 0, []byte("log"))
	w.must(err)
	_, err = w.Report(w.ctx, w.node, x.ID, pierhead.Progress{State: pierhead.ExecutionFailed})
	w.must(err)
	w.must(w.DeleteProject(w.ctx, w.bob, "bob", "play"))
	_, err = w.Execution(w.ctx, w.bob, x.ID)
	w.wants(err, pierhead.ErrNotFound)

	r := registry("limited", "gcr.io/x/*")
	r.Projects = pierhead.ProjectScope{Names: []string{"train"}}
	_, err = w.CreateRegistry(w.ctx, w.alice, "acme", r)
	w.must(err)
	w.wants(w.DeleteProject(w.ctx, w.alice, "acme", "train"), pierhead.ErrConflict, "limited")
}
