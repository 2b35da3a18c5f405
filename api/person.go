package api

import (
	"time"

	"pierhead.dev/pierhead"
)

// A NewPerson is what a person is made from.
type NewPerson struct {
	Name  string `json:"name" doc:"Lower-case letters, digits and single hyphens, at most 63; shared with organizations."`
	Admin bool   `json:"admin,omitempty" doc:"Whether the person administers the installation."`
}

// A Person is a record of the installation.
type Person struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Admin     bool      `json:"admin"`
	CreatedAt time.Time `json:"created_at"`
}

// PersonOf converts the noun.
func PersonOf(p pierhead.Person) Person {
	return Person{ID: p.ID, Name: p.Name, Admin: p.Admin, CreatedAt: p.CreatedAt}
}

// A PersonList is the answer to GET /persons.
type PersonList struct {
	Persons []Person `json:"persons"`
}

// PersonsOf converts a list.
func PersonsOf(list []pierhead.Person) PersonList { return PersonList{mapped(list, PersonOf)} }

// A Membership is one organization of a caller.
type Membership struct {
	Organization string `json:"organization"`
	Role         string `json:"role"`
}

// An Identity is the answer to GET /whoami: whom the token stands for.
type Identity struct {
	Name        string       `json:"name" doc:"What the audit log says: alice, robot:ci, node:local."`
	Kind        string       `json:"kind" doc:"person, robot or node."`
	Person      string       `json:"person,omitempty" doc:"The person's name; empty for robots and nodes."`
	NodeID      string       `json:"node_id,omitempty"`
	TokenID     string       `json:"token_id"`
	Admin       bool         `json:"admin" doc:"Of the installation."`
	ReadOnly    bool         `json:"read_only" doc:"Whether the token may change nothing."`
	Memberships []Membership `json:"memberships"`
}
