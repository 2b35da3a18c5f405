package server

import (
	"context"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Tokens is what the routes of tokens need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput.
type Tokens interface {
	// CreateToken also returns the token's text, which is kept nowhere.
	CreateToken(ctx context.Context, c pierhead.Caller, t pierhead.Token) (pierhead.Token, string, error)
	Tokens(ctx context.Context, c pierhead.Caller) ([]pierhead.Token, error)
	Token(ctx context.Context, c pierhead.Caller, id string) (pierhead.Token, error)
	DeleteToken(ctx context.Context, c pierhead.Caller, id string) error
}

type tokenPath struct {
	Token string `path:"token" doc:"A token's id, tok_…; never its text."`
}

type createToken struct {
	Body api.NewToken `body:"json"`
}

func (s *Server) tokenRoutes() {
	store := s.config.Store
	handle(s, operation{id: "create-token", method: http.MethodPost, path: "/tokens", tag: "tokens", summary: "Make a token; the answer is the only one with its text", created: true},
		func(ctx context.Context, c pierhead.Caller, in createToken) (api.CreatedToken, error) {
			t, text, err := store.CreateToken(ctx, c, in.Body.Noun())
			return api.CreatedToken{Token: api.TokenOf(t), Text: text}, err
		})
	handle(s, operation{id: "list-tokens", method: http.MethodGet, path: "/tokens", tag: "tokens", summary: "List tokens"},
		func(ctx context.Context, c pierhead.Caller, _ struct{}) (api.TokenList, error) {
			list, err := store.Tokens(ctx, c)
			return api.TokensOf(list), err
		})
	handle(s, operation{id: "show-token", method: http.MethodGet, path: "/tokens/{token}", tag: "tokens", summary: "Show a token, without its text"},
		func(ctx context.Context, c pierhead.Caller, in tokenPath) (api.Token, error) {
			t, err := store.Token(ctx, c, in.Token)
			return api.TokenOf(t), err
		})
	handle(s, operation{id: "delete-token", method: http.MethodDelete, path: "/tokens/{token}", tag: "tokens", summary: "Revoke a token"},
		func(ctx context.Context, c pierhead.Caller, in tokenPath) (none, error) {
			return none{}, store.DeleteToken(ctx, c, in.Token)
		})
}
