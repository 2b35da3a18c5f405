package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/tokens"
)

// An Authenticator makes a Caller of a token's text.
type Authenticator interface {
	// Authenticate tells whose a token is. Errors: pierhead.ErrNotAllowed for every token that does not count.
	Authenticate(ctx context.Context, tokenText string) (pierhead.Caller, error)
	// AuthenticateJoin makes of a join token a Caller who may join and do nothing else. Errors: the same.
	AuthenticateJoin(ctx context.Context, tokenText string) (pierhead.Caller, error)
}

// maxToken is longer than any token.
const maxToken = tokens.MaxNodeToken

// authenticate makes the Caller of an API request from its bearer token: for an operation that joins, of a join token.
func (s *Server) authenticate(r *http.Request, o operation) (pierhead.Caller, error) {
	token, err := bearerOf(r)
	if err != nil {
		return pierhead.Caller{}, err
	}
	if o.joins {
		return s.callerBy(r, token, s.config.Store.AuthenticateJoin)
	}
	return s.callerOf(r, token)
}

// bearerOf is the bearer token of a request.
func bearerOf(r *http.Request) (string, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", pierhead.NewProblem(api.ErrUnauthenticated, "the request has no token", "send the header Authorization: Bearer pier_…; pier token create makes one")
	}
	token, found := cutScheme(header, "Bearer")
	if !found {
		return "", pierhead.NewProblem(api.ErrUnauthenticated, "the Authorization header is not a bearer token's", "send Authorization: Bearer pier_…")
	}
	return token, nil
}

// callerOf asks the store, and notes the name for the log. A token that does not count is "not logged in".
func (s *Server) callerOf(r *http.Request, token string) (pierhead.Caller, error) {
	return s.callerBy(r, token, s.config.Store.Authenticate)
}

func (s *Server) callerBy(r *http.Request, token string, ask func(context.Context, string) (pierhead.Caller, error)) (pierhead.Caller, error) {
	if len(token) > maxToken {
		return pierhead.Caller{}, pierhead.NewProblem(api.ErrUnauthenticated, "the token is not valid", "it is longer than any token: copy it again")
	}
	c, err := ask(r.Context(), token)
	if errors.Is(err, pierhead.ErrNotAllowed) {
		return c, pierhead.NewProblem(api.ErrUnauthenticated, err.Error(), pierhead.HintOf(err))
	}
	if err != nil {
		return c, err
	}
	recordOf(r).caller = c.Name
	return c, nil
}

// cutScheme splits an Authorization header; schemes are case-insensitive (RFC 9110, 11.1).
func cutScheme(header, scheme string) (rest string, found bool) {
	if len(header) <= len(scheme) || header[len(scheme)] != ' ' || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimSpace(header[len(scheme):]), true
}
