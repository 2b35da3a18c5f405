package server

import (
	"context"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// AllowedSecrets says which secrets members may name. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput.
type AllowedSecrets interface {
	AllowedSecrets(ctx context.Context, c pierhead.Caller, owner string) ([]string, error)
	AllowSecret(ctx context.Context, c pierhead.Caller, owner, prefix string) error
	DisallowSecret(ctx context.Context, c pierhead.Caller, owner, prefix string) error
}

type allowedPath struct {
	Owner string `path:"owner" doc:"An organization's or a person's name."`
}

type allowSecret struct {
	allowedPath
	Body api.AllowedSecret `body:"json"`
}

type disallowSecret struct {
	allowedPath
	Prefix string `query:"prefix" doc:"The prefix to take away."`
}

func (s *Server) allowedRoutes() {
	store := s.config.Store
	const path = "/owners/{owner}/allowed-secrets"
	handle(s, operation{id: "list-allowed-secrets", method: http.MethodGet, path: path, tag: "secrets", summary: "List the beginnings of secret references that members may name"},
		func(ctx context.Context, c pierhead.Caller, in allowedPath) (api.AllowedSecrets, error) {
			prefixes, err := store.AllowedSecrets(ctx, c, in.Owner)
			if prefixes == nil {
				prefixes = []string{}
			}
			return api.AllowedSecrets{Prefixes: prefixes}, err
		})
	handle(s, operation{id: "allow-secret", method: http.MethodPost, path: path, tag: "secrets", summary: "Let members name secrets under a prefix"},
		func(ctx context.Context, c pierhead.Caller, in allowSecret) (none, error) {
			return none{}, store.AllowSecret(ctx, c, in.Owner, in.Body.Prefix)
		})
	handle(s, operation{id: "disallow-secret", method: http.MethodDelete, path: path, tag: "secrets", summary: "Take such a prefix back"},
		func(ctx context.Context, c pierhead.Caller, in disallowSecret) (none, error) {
			return none{}, store.DisallowSecret(ctx, c, in.Owner, in.Prefix)
		})
}
