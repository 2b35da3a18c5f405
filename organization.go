package pierhead

import "time"

// An Organization owns projects and registries. Organizations and persons share one set of names.
type Organization struct {
	ID        string // "org_…"
	Name      string
	CreatedAt time.Time
}

// A Person is a record of the installation, whatever organizations it is a member of.
type Person struct {
	ID        string // "person_…"
	Name      string
	Admin     bool // of the installation: makes persons and organizations
	CreatedAt time.Time
}

// A Role is what a member may do in an organization.
type Role string

// The roles. An admin may do everything that a member may.
const (
	RoleAdmin  Role = "admin"
	RoleMember Role = "member"
)

// A Member is a person's role in an organization.
type Member struct {
	Organization string // name
	Person       string // name
	Role         Role
	CreatedAt    time.Time
}
