package server

import (
	"context"
	"fmt"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/store"
)

// Registries is what the routes of registries need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput,
// ErrConflict.
type Registries interface {
	CreateRegistry(ctx context.Context, c pierhead.Caller, organization string, r pierhead.Registry) (pierhead.Registry, error)
	UpdateRegistry(ctx context.Context, c pierhead.Caller, organization string, r pierhead.Registry) (pierhead.Registry, error)
	Registries(ctx context.Context, c pierhead.Caller, organization string) ([]pierhead.Registry, error)
	Registry(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.Registry, error)
	RegistryReach(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.RegistryReach, error)
	DeleteRegistry(ctx context.Context, c pierhead.Caller, organization, name string) error
	DraftRegistry(ctx context.Context, c pierhead.Caller, organization string, r pierhead.Registry, update bool) (store.CheckSubject, error)
	SavedRegistry(ctx context.Context, c pierhead.Caller, organization, name string) (store.CheckSubject, error)
}

type registryPath struct {
	organizationPath
	Registry string `path:"registry" doc:"A registry's name."`
}

type createRegistry struct {
	organizationPath
	saving
	Body api.Registry `body:"json"`
}

type updateRegistry struct {
	registryPath
	saving
	Body api.Registry `body:"json"`
}

func (s *Server) registryRoutes() {
	store := s.config.Store
	const path = "/organizations/{organization}/registries"
	handle(s, operation{id: "create-registry", method: http.MethodPost, path: path, tag: "registries", summary: "Add a registry", created: true}, s.createRegistry)
	handle(s, operation{id: "list-registries", method: http.MethodGet, path: path, tag: "registries", summary: "List an organization's registries"},
		func(ctx context.Context, c pierhead.Caller, in organizationPath) (api.RegistryList, error) {
			list, err := store.Registries(ctx, c, in.Organization)
			return api.RegistriesOf(list, in.Organization), err
		})
	handle(s, operation{id: "show-registry", method: http.MethodGet, path: path + "/{registry}", tag: "registries", summary: "Show a registry; its credential is named, never shown"},
		func(ctx context.Context, c pierhead.Caller, in registryPath) (api.Registry, error) {
			r, err := store.Registry(ctx, c, in.Organization, in.Registry)
			return api.RegistryOf(r, in.Organization), err
		})
	handle(s, operation{id: "show-registry-reach", method: http.MethodGet, path: path + "/{registry}/reach", tag: "registries", summary: "Tell what would lose access without a registry"},
		func(ctx context.Context, c pierhead.Caller, in registryPath) (api.RegistryReach, error) {
			reach, err := s.config.Store.RegistryReach(ctx, c, in.Organization, in.Registry)
			return api.RegistryReachOf(reach, in.Organization), err
		})
	handle(s, operation{id: "update-registry", method: http.MethodPut, path: path + "/{registry}", tag: "registries", summary: "Replace a registry's settings"}, s.updateRegistry)
	handle(s, operation{id: "test-registry", method: http.MethodPost, path: path + "/{registry}/test", tag: "registries", summary: "Have a node prove a registry's credential"}, s.testRegistry)
	handle(s, operation{id: "delete-registry", method: http.MethodDelete, path: path + "/{registry}", tag: "registries", summary: "Delete a registry"},
		func(ctx context.Context, c pierhead.Caller, in registryPath) (none, error) {
			return none{}, store.DeleteRegistry(ctx, c, in.Organization, in.Registry)
		})
}

func (s *Server) createRegistry(ctx context.Context, c pierhead.Caller, in createRegistry) (api.Registry, error) {
	r, err := registryFrom(in.Body, in.Organization, in.Body.Name)
	if err != nil {
		return api.Registry{}, err
	}
	if sealed := in.Body.Credential.Sealed; sealed != nil && sealed.Text == "" {
		return api.Registry{}, pierhead.NewProblem(pierhead.ErrBadInput, "the sealed credential has no text", "type it in with pier registry add --username U --password-stdin")
	}
	check, err := s.proveDraft(ctx, c, in.Organization, &r, false, in.saving)
	if err != nil {
		return api.Registry{}, err
	}
	made, err := s.config.Store.CreateRegistry(ctx, c, in.Organization, r)
	return s.saved(ctx, made, in.Organization, check, err)
}

func (s *Server) updateRegistry(ctx context.Context, c pierhead.Caller, in updateRegistry) (api.Registry, error) {
	r, err := registryFrom(in.Body, in.Organization, in.Registry)
	if err != nil {
		return api.Registry{}, err
	}
	if sealed := in.Body.Credential.Sealed; sealed != nil && sealed.Text == "" {
		if r.Credential.Sealed, err = s.keptSealed(ctx, c, in, sealed.KeyID); err != nil {
			return api.Registry{}, err
		}
	}
	check, err := s.proveDraft(ctx, c, in.Organization, &r, true, in.saving)
	if err != nil {
		return api.Registry{}, err
	}
	saved, err := s.config.Store.UpdateRegistry(ctx, c, in.Organization, r)
	return s.saved(ctx, saved, in.Organization, check, err)
}

// keptSealed is the sealed credential that there is: an update that sends back what was shown keeps it.
func (s *Server) keptSealed(ctx context.Context, c pierhead.Caller, in updateRegistry, keyID string) (pierhead.Sealed, error) {
	old, err := s.config.Store.Registry(ctx, c, in.Organization, in.Registry)
	if err != nil {
		return "", err
	}
	shown := api.RegistryOf(old, in.Organization).Credential.Sealed
	if shown == nil || shown.KeyID != keyID {
		return "", pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("the credential of registry %s is another one by now", in.Registry), "read the registry again")
	}
	return old.Credential.Sealed, nil
}

// registryFrom converts a body whose names must be those of the path, where it has any.
func registryFrom(body api.Registry, organization, name string) (pierhead.Registry, error) {
	if body.Organization != "" && body.Organization != organization {
		return pierhead.Registry{}, pierhead.NewProblem(pierhead.ErrBadInput, "the body's organization is not the one of the path", "leave it out of the body")
	}
	if body.Name != "" && body.Name != name {
		return pierhead.Registry{}, pierhead.NewProblem(pierhead.ErrBadInput, "the body's name is not the one of the path", "a registry keeps its name: add another and delete this one")
	}
	body.Name = name
	return body.Noun()
}
