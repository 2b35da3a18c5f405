package pierhead

import "time"

// A Project belongs to an organization or to a person; then it is personal and sees no organization's registries.
type Project struct {
	ID             string // "prj_…"
	Name           string
	Owner          string // the organization's or person's name
	OrganizationID string // empty for a personal project
	PersonID       string // empty for an organization's
	CreatedAt      time.Time
}

// Personal tells whether a person owns the project.
func (p Project) Personal() bool { return p.PersonID != "" }

// FullName is "<owner>/<name>", as people write it.
func (p Project) FullName() string { return p.Owner + "/" + p.Name }
