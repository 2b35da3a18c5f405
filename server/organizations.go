package server

import (
	"context"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Organizations is what the routes of organizations need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput,
// ErrConflict.
type Organizations interface {
	CreateOrganization(ctx context.Context, c pierhead.Caller, name string) (pierhead.Organization, error)
	Organizations(ctx context.Context, c pierhead.Caller) ([]pierhead.Organization, error)
	Organization(ctx context.Context, c pierhead.Caller, name string) (pierhead.Organization, error)
	DeleteOrganization(ctx context.Context, c pierhead.Caller, name string) error
}

type organizationPath struct {
	Organization string `path:"organization" doc:"An organization's name."`
}

type createOrganization struct {
	Body api.NewOrganization `body:"json"`
}

func (s *Server) organizationRoutes() {
	store := s.config.Store
	handle(s, operation{id: "create-organization", method: http.MethodPost, path: "/organizations", tag: "organizations", summary: "Make an organization", created: true},
		func(ctx context.Context, c pierhead.Caller, in createOrganization) (api.Organization, error) {
			o, err := store.CreateOrganization(ctx, c, in.Body.Name)
			return api.OrganizationOf(o), err
		})
	handle(s, operation{id: "list-organizations", method: http.MethodGet, path: "/organizations", tag: "organizations", summary: "List organizations"},
		func(ctx context.Context, c pierhead.Caller, _ struct{}) (api.OrganizationList, error) {
			list, err := store.Organizations(ctx, c)
			return api.OrganizationsOf(list), err
		})
	handle(s, operation{id: "show-organization", method: http.MethodGet, path: "/organizations/{organization}", tag: "organizations", summary: "Show an organization"},
		func(ctx context.Context, c pierhead.Caller, in organizationPath) (api.Organization, error) {
			o, err := store.Organization(ctx, c, in.Organization)
			return api.OrganizationOf(o), err
		})
	handle(s, operation{id: "delete-organization", method: http.MethodDelete, path: "/organizations/{organization}", tag: "organizations", summary: "Delete an organization"},
		func(ctx context.Context, c pierhead.Caller, in organizationPath) (none, error) {
			return none{}, store.DeleteOrganization(ctx, c, in.Organization)
		})
}
