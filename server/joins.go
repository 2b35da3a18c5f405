package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/ids"
	"pierhead.dev/pierhead/internal/tokens"
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
	// GrantedNode is the calling node, for a grant. Errors: pierhead.ErrNotAllowed, ErrConflict.
	GrantedNode(ctx context.Context, c pierhead.Caller) (pierhead.Node, error)
	// NodeRevoked is for the process itself.
	NodeRevoked(ctx context.Context, c pierhead.Caller, id string) (bool, error)
}

// grantLife is how long a node pulls from the hosted registry without the token service.
const grantLife = 24 * time.Hour

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
	handle(s, operation{id: "take-registry-grant", method: http.MethodPost, path: "/node/registry-grant", tag: "node", summary: "Take a right to pull from the hosted registry for a day"}, s.takeGrant)
}

// takeGrant signs what the node may pull. It names the node's key, so that it is of no use to anybody else.
func (s *Server) takeGrant(ctx context.Context, c pierhead.Caller, _ struct{}) (api.RegistryGrant, error) {
	n, err := s.config.Store.GrantedNode(ctx, c)
	if err != nil {
		return api.RegistryGrant{}, err
	}
	holder, err := tokens.ParsePublicText(n.PublicKey)
	if err != nil {
		return api.RegistryGrant{}, err
	}
	now := s.config.Now()
	grant := api.RegistryGrant{Service: s.config.Service, ExpiresAt: now.Add(grantLife).UTC().Truncate(time.Second)}
	grant.Grant, err = s.config.Tokens.SignGrant(tokens.Claims{
		Issuer: s.config.URL, Subject: c.Name, Audience: s.config.Service, ID: ids.New("jwt"), IssuedAt: now, NotBefore: now.Add(-clockSkew), Expires: grant.ExpiresAt,
		Access: []tokens.Access{{Type: tokens.AccessNamespace, Name: n.Organization, Actions: []string{"pull"}}},
	}, n.ID, holder)
	return grant, err
}

// pullCaller is the node whose pull token is given as a password, as programs do that a node lent it to: it may look and
// change nothing.
func (s *Server) pullCaller(r *http.Request, username, password string) (pierhead.Caller, error) {
	holder, err := s.pulls.Holder(r.Context(), password)
	if err != nil {
		return pierhead.Caller{}, pierhead.NewProblem(api.ErrUnauthenticated, "the password is not a valid token: "+err.Error(), "what a node lends lives for minutes: ask it again")
	}
	if _, short, _ := strings.Cut(holder.Name, ":"); username != short {
		return pierhead.Caller{}, pierhead.NewProblem(api.ErrUnauthenticated, "the token is not that user's", "the user name is the node's")
	}
	recordOf(r).caller = holder.Name
	return pierhead.Caller{Name: holder.Name, NodeID: holder.ID, TokenID: "grant of " + holder.ID, ReadOnly: true}, nil
}
