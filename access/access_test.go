package access

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

// callers are the columns of the table: one of each role, towards a target of organization "org_a" that person
// "person_o" owns or node "node_n" was given. The owner column is about the person's things, so its target has no
// organization; the node's neither.
var callers = []struct {
	name   string
	caller pierhead.Caller
	target Target
}{
	{"process", pierhead.System(), ofOrganization()},
	{"administrator", pierhead.Caller{Name: "root", PersonID: "person_r", TokenID: "tok_1", Admin: true}, ofOrganization()},
	{"admin", person("person_a", pierhead.RoleAdmin), ofOrganization()},
	{"member", person("person_m", pierhead.RoleMember), ofOrganization()},
	{"robot", pierhead.Caller{Name: "robot:ci", TokenID: "tok_1", Memberships: map[string]pierhead.Role{"org_a": pierhead.RoleMember}}, ofOrganization()},
	{"owner", person("person_o", ""), Target{Kind: "thing", Name: "x", PersonID: "person_o"}},
	{"node", pierhead.Caller{Name: "node:n", NodeID: "node_n", TokenID: "tok_1"}, Target{Kind: "thing", Name: "x", OrganizationID: "org_a", NodeID: "node_n"}},
	{"stranger", pierhead.Caller{Name: "eve", PersonID: "person_e", TokenID: "tok_1", Memberships: map[string]pierhead.Role{"org_b": pierhead.RoleAdmin}}, ofOrganization()},
	{"nobody", pierhead.Caller{}, ofOrganization()},
}

func ofOrganization() Target {
	return Target{Kind: "thing", Name: "x", OrganizationID: "org_a", PersonID: "person_o", NodeID: "node_n"}
}

func person(id string, role pierhead.Role) pierhead.Caller {
	return pierhead.Caller{Name: id, PersonID: id, TokenID: "tok_1", Memberships: map[string]pierhead.Role{"org_a": role}}
}

// table is who may do what, written out a second time: yes, no (not allowed), hid (not found). The last column is
// what a read-only token does to a yes.
const table = `
                     process administrator admin member robot owner node stranger nobody read-only
person.create        yes     yes           no    no     no    no    no   no       hid    no
person.list          yes     yes           yes   yes    yes   yes   yes  yes      hid    yes
person.show          yes     yes           yes   yes    yes   yes   hid  hid      hid    yes
person.delete        yes     yes           no    no     no    no    hid  hid      hid    no
organization.create  yes     yes           no    no     no    no    no   no       hid    no
organization.list    yes     yes           yes   yes    yes   yes   yes  yes      hid    yes
organization.show    yes     yes           yes   yes    yes   hid   yes  hid      hid    yes
organization.delete  yes     yes           no    no     no    hid   no   hid      hid    no
member.set           yes     yes           yes   no     no    hid   no   hid      hid    no
member.list          yes     yes           yes   yes    yes   hid   no   hid      hid    yes
member.delete        yes     yes           yes   no     no    yes   no   hid      hid    no
project.create       hid     no            yes   yes    yes   yes   no   hid      hid    no
project.list         hid     no            yes   yes    yes   yes   no   hid      hid    yes
project.show         hid     hid           yes   yes    yes   yes   hid  hid      hid    yes
project.delete       hid     hid           yes   no     no    yes   hid  hid      hid    no
token.create         yes     yes           no    no     no    yes   hid  hid      hid    no
robot.create         hid     no            yes   no     no    hid   no   hid      hid    no
token.list           yes     yes           yes   yes    yes   yes   yes  yes      hid    yes
token.show           yes     yes           yes   hid    hid   yes   hid  hid      hid    yes
token.delete         yes     yes           yes   hid    hid   yes   hid  hid      hid    no
registry.create      hid     no            yes   no     no    hid   no   hid      hid    no
registry.update      hid     no            yes   no     no    hid   no   hid      hid    no
registry.list        hid     no            yes   no     no    hid   no   hid      hid    yes
registry.show        hid     no            yes   no     no    hid   no   hid      hid    yes
registry.delete      hid     no            yes   no     no    hid   no   hid      hid    no
registry.test        hid     no            yes   no     no    hid   no   hid      hid    no
check.put            yes     no            no    no     no    no    no   no       hid    no
check.list           yes     no            no    no     no    no    no   no       hid    yes
secret.allow         yes     yes           yes   no     no    no    no   hid      hid    no
secret.list          yes     yes           yes   yes    yes   yes   no   hid      hid    yes
repository.pull      hid     hid           yes   yes    yes   yes   yes  hid      hid    yes
repository.push      hid     hid           yes   yes    yes   yes   no   hid      hid    no
repository.delete    hid     hid           yes   no     no    yes   no   hid      hid    no
execution.create     hid     hid           yes   yes    yes   yes   hid  hid      hid    no
execution.list       hid     no            yes   yes    yes   yes   no   hid      hid    yes
execution.show       hid     hid           yes   yes    yes   yes   yes  hid      hid    yes
execution.log        hid     hid           yes   yes    yes   yes   yes  hid      hid    yes
execution.stop       hid     hid           yes   yes    yes   yes   no   hid      hid    no
execution.report     hid     hid           no    no     no    no    yes  hid      hid    no
execution.append     hid     hid           no    no     no    no    yes  hid      hid    no
garbage.collect      yes     yes           no    no     no    no    no   no       hid    no
node.ensure          yes     no            no    no     no    no    no   no       hid    no
node.invite          hid     no            yes   no     no    hid   no   hid      hid    no
node.join            hid     hid           hid   hid    hid   hid   hid  hid      hid    no
node.list            hid     no            yes   yes    yes   hid   no   hid      hid    yes
node.show            hid     no            yes   yes    yes   hid   no   hid      hid    yes
node.revoke          hid     no            yes   no     no    hid   no   hid      hid    no
work.take            no      no            no    no     no    no    yes  no       hid    no
work.list            no      no            no    no     no    no    yes  no       hid    yes
snapshot.show        no      no            no    no     no    no    yes  no       hid    yes
grant.take           no      no            no    no     no    no    yes  no       hid    yes
datakey.put          no      no            no    no     no    no    yes  no       hid    no
datakey.show         hid     no            yes   yes    yes   hid   yes  hid      hid    yes
event.deliver        no      no            no    no     no    no    yes  no       hid    no
event.list           hid     no            yes   no     no    hid   no   hid      hid    yes
audit.list           hid     no            yes   no     no    hid   no   hid      hid    yes
audit.installation   yes     yes           no    no     no    no    no   no       hid    yes
audit.own            yes     yes           yes   yes    yes   yes   yes  yes      hid    yes
audit.record         yes     yes           yes   yes    yes   yes   yes  yes      hid    yes
`

func TestV1EveryRoleAndAction(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for i, column := range strings.Fields(lines[0])[:len(callers)] {
		if callers[i].name != column {
			t.Fatalf("column %d is %s, the caller %s", i, column, callers[i].name)
		}
	}
	seen := map[Action]bool{}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		action := Action(fields[0])
		if seen[action] || len(fields) != len(callers)+2 {
			t.Fatalf("bad line: %s", line)
		}
		seen[action] = true
		for i, want := range fields[1 : len(callers)+1] {
			c, target := callers[i].caller, callers[i].target
			if callers[i].name == "administrator" || callers[i].name == "admin" {
				target.PersonID, target.NodeID = "", "" // theirs by role, not by chance
			}
			check(t, c, action, target, want)
			if c.ReadOnly = true; want == "yes" {
				want = fields[len(callers)+1]
			}
			check(t, c, action, target, want)
		}
	}
	for action := range rules {
		if !seen[action] {
			t.Errorf("action %s is not in the table", action)
		}
	}
}

func check(t *testing.T, c pierhead.Caller, a Action, target Target, want string) {
	t.Helper()
	err := Check(c, a, target)
	got := "yes"
	switch {
	case errors.Is(err, pierhead.ErrNotAllowed):
		got = "no"
	case errors.Is(err, pierhead.ErrNotFound):
		got = "hid"
	case err != nil:
		t.Fatalf("%s: %v is no problem of ours", a, err)
	}
	if got != want {
		t.Errorf("%s by %q (read-only %v): %s, want %s (%v)", a, c.Name, c.ReadOnly, got, want, err)
	}
}

// A join token is of no use but to join its own organization: it may not even know that anything is there.
func TestJoinTokenOpensNothingElse(t *testing.T) {
	joiner := pierhead.Caller{Name: "join:gpu", TokenID: "tok_1", JoinOf: "org_a"}
	for action := range rules {
		want := "hid"
		if action == NodeJoin {
			want = "yes"
		}
		check(t, joiner, action, ofOrganization(), want)
		check(t, joiner, action, Target{Kind: "thing", Name: "x", OrganizationID: "org_b"}, "hid")
		check(t, joiner, action, Target{Kind: "this installation"}, "hid")
	}
}

func TestUnknownActionIsAllowedToNobody(t *testing.T) {
	if err := Check(pierhead.System(), "registry.steal", Target{}); !errors.Is(err, pierhead.ErrNotAllowed) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsHiddenReadsAsWhatIsMissing(t *testing.T) {
	hidden := Check(callers[7].caller, OrganizationShow, Target{Kind: "organization", Name: "acme", OrganizationID: "org_a"})
	missing := NotFound("organization", "acme")
	if fmt.Sprint(hidden) != missing.Text || pierhead.HintOf(hidden) != missing.Hint {
		t.Errorf("hidden reads %q (%q), missing %q (%q)", hidden, pierhead.HintOf(hidden), missing, missing.Hint)
	}
}

func TestNotAllowedSaysWhoCould(t *testing.T) {
	err := Check(person("person_m", pierhead.RoleMember), RegistryCreate, Target{Kind: "organization", Name: "acme", OrganizationID: "org_a"})
	const text, hint = "person_m may not add registries to organization acme", "this takes an admin of the organization"
	if err.Error() != text || pierhead.HintOf(err) != hint {
		t.Errorf("got %q, %q", err, pierhead.HintOf(err))
	}
	readOnly := person("person_a", pierhead.RoleAdmin)
	readOnly.ReadOnly = true
	if err := Check(readOnly, RegistryCreate, Target{Kind: "organization", Name: "acme", OrganizationID: "org_a"}); !strings.Contains(err.Error(), "read-only") {
		t.Errorf("got %q", err)
	}
}
