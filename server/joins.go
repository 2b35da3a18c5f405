package server

import (
	"context"
	"net/http"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/ids"
)

// Joins is how nodes come and go.
type Joins interface {
	// CreateJoinToken also returns the token's text, which is kept nowhere. Errors: pierhead.ErrNotFound, ErrNotAllowed,
	// ErrBadInput, ErrConflict.
	CreateJoinToken(ctx context.Context, c pierhead.Caller, organization, name string, expires time.Time) (pierhead.Token, string, error)
	// JoinNode makes the node of a join token's Caller. Errors: pierhead.ErrNotAllowed, ErrBadInput, ErrConflict.
	JoinNode(ctx context.Context, c pierhead.Caller, join pierhead.Join) (pierhead.Joined, error)
	Nodes(ctx context.Context, c pierhead.Caller, organization string) ([]pierhead.Node, error)
	Node(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.Node, error)
	// RevokeNode ends a node at once. Errors: pierhead.ErrConflict for one that serves all organizations.
	RevokeNode(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.Revocation, error)
}

type nodePath struct {
	organizationPath
	Node string `path:"node" doc:"A node's name."`
}

type createJoinToken struct {
	organizationPath
	Body api.NewJoinToken `body:"json"`
}

type joinNode struct {
	Body api.Join `body:"json"`
}

func (s *Server) joinRoutes() {
	store := s.config.Store
	handle(s, operation{id: "create-join-token", method: http.MethodPost, path: "/organizations/{organization}/join-tokens", tag: "nodes", summary: "Make a token that makes one node; the answer is the only one with its text", created: true},
		func(ctx context.Context, c pierhead.Caller, in createJoinToken) (api.CreatedToken, error) {
			var expires time.Time
			if in.Body.ExpiresAt != nil {
				expires = *in.Body.ExpiresAt
			}
			t, text, err := store.CreateJoinToken(ctx, c, in.Organization, in.Body.Name, expires)
			return api.CreatedToken{Token: api.TokenOf(t), Text: ids.JoinText(text, s.config.Authority)}, err
		})
	handle(s, operation{id: "join-node", method: http.MethodPost, path: "/nodes", tag: "nodes", summary: "Become a node, with a join token", created: true, joins: true},
		func(ctx context.Context, c pierhead.Caller, in joinNode) (api.Joined, error) {
			j, err := store.JoinNode(ctx, c, in.Body.Noun())
			return api.JoinedOf(j), err
		})
	handle(s, operation{id: "list-nodes", method: http.MethodGet, path: "/organizations/{organization}/nodes", tag: "nodes", summary: "List an organization's nodes"},
		func(ctx context.Context, c pierhead.Caller, in organizationPath) (api.NodeList, error) {
			list, err := store.Nodes(ctx, c, in.Organization)
			return api.NodesOf(list), err
		})
	handle(s, operation{id: "show-node", method: http.MethodGet, path: "/organizations/{organization}/nodes/{node}", tag: "nodes", summary: "Show a node"},
		func(ctx context.Context, c pierhead.Caller, in nodePath) (api.Node, error) {
			n, err := store.Node(ctx, c, in.Organization, in.Node)
			return api.NodeOf(n), err
		})
	handle(s, operation{id: "revoke-node", method: http.MethodPost, path: "/organizations/{organization}/nodes/{node}/revoke", tag: "nodes", summary: "End a node at once"},
		func(ctx context.Context, c pierhead.Caller, in nodePath) (api.Revocation, error) {
			r, err := store.RevokeNode(ctx, c, in.Organization, in.Node)
			return api.RevocationOf(r), err
		})
}
