package server

import (
	"context"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Persons is what the routes of persons need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput, ErrConflict.
type Persons interface {
	CreatePerson(ctx context.Context, c pierhead.Caller, name string, admin bool) (pierhead.Person, error)
	Persons(ctx context.Context, c pierhead.Caller) ([]pierhead.Person, error)
	Person(ctx context.Context, c pierhead.Caller, name string) (pierhead.Person, error)
	DeletePerson(ctx context.Context, c pierhead.Caller, name string) error
}

type personPath struct {
	Person string `path:"person" doc:"A person's name."`
}

type createPerson struct {
	Body api.NewPerson `body:"json"`
}

func (s *Server) personRoutes() {
	store := s.config.Store
	handle(s, operation{id: "whoami", method: http.MethodGet, path: "/whoami", tag: "persons", summary: "Whom the token stands for"}, s.whoami)
	handle(s, operation{id: "create-person", method: http.MethodPost, path: "/persons", tag: "persons", summary: "Make a person", created: true},
		func(ctx context.Context, c pierhead.Caller, in createPerson) (api.Person, error) {
			p, err := store.CreatePerson(ctx, c, in.Body.Name, in.Body.Admin)
			return api.PersonOf(p), err
		})
	handle(s, operation{id: "list-persons", method: http.MethodGet, path: "/persons", tag: "persons", summary: "List persons"},
		func(ctx context.Context, c pierhead.Caller, _ struct{}) (api.PersonList, error) {
			list, err := store.Persons(ctx, c)
			return api.PersonsOf(list), err
		})
	handle(s, operation{id: "show-person", method: http.MethodGet, path: "/persons/{person}", tag: "persons", summary: "Show a person"},
		func(ctx context.Context, c pierhead.Caller, in personPath) (api.Person, error) {
			p, err := store.Person(ctx, c, in.Person)
			return api.PersonOf(p), err
		})
	handle(s, operation{id: "delete-person", method: http.MethodDelete, path: "/persons/{person}", tag: "persons", summary: "Delete a person"},
		func(ctx context.Context, c pierhead.Caller, in personPath) (none, error) {
			return none{}, store.DeletePerson(ctx, c, in.Person)
		})
}

func (s *Server) whoami(ctx context.Context, c pierhead.Caller, _ struct{}) (api.Identity, error) {
	identity := api.Identity{
		Name: c.Name, Kind: "person", Person: c.Person, NodeID: c.NodeID, TokenID: c.TokenID, Admin: c.Admin, ReadOnly: c.ReadOnly,
		Memberships: []api.Membership{},
	}
	switch {
	case c.NodeID != "":
		identity.Kind = "node"
	case c.PersonID == "":
		identity.Kind = "robot"
	}
	if len(c.Memberships) == 0 {
		return identity, nil
	}
	organizations, err := s.config.Store.Organizations(ctx, c)
	for _, o := range organizations {
		if role := c.RoleIn(o.ID); role != "" {
			identity.Memberships = append(identity.Memberships, api.Membership{Organization: o.Name, Role: string(role)})
		}
	}
	return identity, err
}
