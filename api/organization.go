package api

import (
	"time"

	"pierhead.dev/pierhead"
)

// A NewOrganization is what an organization is made from. Kind is for files and may be absent.
type NewOrganization struct {
	Kind string `json:"kind,omitempty" doc:"Organization, or absent."`
	Name string `json:"name" doc:"Lower-case letters, digits and single hyphens, at most 63; shared with persons."`
}

// An Organization owns projects and registries.
type Organization struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

// OrganizationOf converts the noun.
func OrganizationOf(o pierhead.Organization) Organization {
	return Organization{ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt}
}

// Noun converts back.
func (o Organization) Noun() pierhead.Organization {
	return pierhead.Organization{ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt}
}

// An OrganizationList is the answer to GET /organizations: those that the caller may know of.
type OrganizationList struct {
	Organizations []Organization `json:"organizations"`
}

// OrganizationsOf converts a list.
func OrganizationsOf(list []pierhead.Organization) OrganizationList {
	return OrganizationList{mapped(list, OrganizationOf)}
}

// A MemberRole is the body of PUT /organizations/{organization}/members/{person}.
type MemberRole struct {
	Role string `json:"role" enum:"admin,member" doc:"admin or member."`
}

// A Member is a person's role in an organization.
type Member struct {
	Organization string    `json:"organization"`
	Person       string    `json:"person"`
	Role         string    `json:"role"`
	CreatedAt    time.Time `json:"created_at"`
}

// MemberOf converts the noun.
func MemberOf(m pierhead.Member) Member {
	return Member{Organization: m.Organization, Person: m.Person, Role: string(m.Role), CreatedAt: m.CreatedAt}
}

// A MemberList is the answer to GET /organizations/{organization}/members.
type MemberList struct {
	Members []Member `json:"members"`
}

// MembersOf converts a list.
func MembersOf(list []pierhead.Member) MemberList { return MemberList{mapped(list, MemberOf)} }

// A NewProject is what a project is made from. Kind is for files and may be absent.
type NewProject struct {
	Kind  string `json:"kind,omitempty" doc:"Project, or absent."`
	Owner string `json:"owner" doc:"An organization, or a person: then the project is personal."`
	Name  string `json:"name"`
}

// A Project belongs to an organization or to a person.
type Project struct {
	ID        string    `json:"id"`
	Owner     string    `json:"owner"`
	Name      string    `json:"name"`
	FullName  string    `json:"full_name" doc:"<owner>/<name>."`
	Personal  bool      `json:"personal" doc:"Whether a person owns it; then it sees no organization's registries."`
	CreatedAt time.Time `json:"created_at"`
}

// ProjectOf converts the noun.
func ProjectOf(p pierhead.Project) Project {
	return Project{ID: p.ID, Owner: p.Owner, Name: p.Name, FullName: p.FullName(), Personal: p.Personal(), CreatedAt: p.CreatedAt}
}

// A ProjectList is the answer to GET /projects.
type ProjectList struct {
	Projects []Project `json:"projects"`
}

// ProjectsOf converts a list.
func ProjectsOf(list []pierhead.Project) ProjectList { return ProjectList{mapped(list, ProjectOf)} }
