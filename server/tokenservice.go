package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/ids"
	"pierhead.dev/pierhead/internal/tokens"
)

// The token service is the half of docker's token authentication that gives out tokens (distribution, token.md and
// oauth.md): GET with Basic or bearer credentials and repeated scopes, POST with a form and one field of scopes. It
// grants what the caller has of what was asked, less than asked is no error, and nobody at all gets a token for nothing.

// Namespaces is what the token service needs to know.
type Namespaces interface {
	// NamespaceActions returns which of pull, push and delete the caller has on repositories `<namespace>/…`; none is
	// no error.
	NamespaceActions(ctx context.Context, c pierhead.Caller, namespace string) ([]string, error)
}

// Bounds of one token request.
const (
	maxScopes  = 16  // so that the token stays below the 16 KiB that the registry reads
	maxName    = 255 // bytes of a repository's name
	maxForm    = 64 << 10
	clockSkew  = 10 * time.Second // how far a registry's clock may be behind ours
	oauthGrant = "password"
)

// A tokenAnswer is the body of a success: both names of the token, because clients read either.
type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"` // seconds
	IssuedAt    string `json:"issued_at"`  // RFC 3339
	Scope       string `json:"scope,omitempty"`
}

// A tokenRefusal is the body of an error, as registries have it.
type tokenRefusal struct {
	Errors []tokenError `json:"errors"`
}

type tokenError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
}

func (s *Server) tokenService(w http.ResponseWriter, r *http.Request) {
	answer, err := s.issue(w, r)
	if err != nil {
		s.refuseToken(w, r, err)
		return
	}
	_ = writeJSON(w, http.StatusOK, answer) // strings and numbers always encode
}

// issue is one request from end to end.
func (s *Server) issue(w http.ResponseWriter, r *http.Request) (tokenAnswer, error) {
	form, err := tokenForm(w, r)
	if err != nil {
		return tokenAnswer{}, err
	}
	c, err := s.tokenCaller(r, form)
	if err != nil {
		return tokenAnswer{}, err
	}
	asked, err := scopesOf(form)
	if err != nil {
		return tokenAnswer{}, err
	}
	granted, err := s.grant(r.Context(), c, asked)
	if err != nil {
		return tokenAnswer{}, err
	}
	now := s.config.Now()
	text, err := s.config.Tokens.Sign(tokens.Claims{
		Issuer: s.config.URL, Subject: c.Name, Audience: s.config.Service, ID: ids.New("jwt"),
		IssuedAt: now, NotBefore: now.Add(-clockSkew), Expires: now.Add(s.config.TokenLife), Access: granted, Asked: askedBy(c, asked),
	})
	return tokenAnswer{
		Token: text, AccessToken: text, ExpiresIn: int(s.config.TokenLife / time.Second), IssuedAt: now.UTC().Format(time.RFC3339), Scope: scopeText(granted),
	}, err
}

// tokenForm reads the query of a GET or the form of a POST.
func tokenForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	text := r.URL.RawQuery
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		body, err := readBody(w, r, maxForm)
		if err != nil {
			return nil, err
		}
		text = string(body)
	default:
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "tokens are asked for with GET or POST", "")
	}
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the token request cannot be read", "send query or form parameters, URL-escaped")
	}
	return form, nil
}

// tokenCaller is who asks; the zero Caller is nobody. The password is a token's text, and the user name must be its
// owner's: a mistyped name shall not work by accident.
func (s *Server) tokenCaller(r *http.Request, form url.Values) (pierhead.Caller, error) {
	if r.Method == http.MethodPost {
		switch {
		case form.Get("grant_type") == oauthGrant:
			return s.namedCaller(r, form.Get("username"), form.Get("password"))
		case form.Get("refresh_token") != "": // what containerd and go-containerregistry make of a password without a user name
			return s.callerOf(r, form.Get("refresh_token"))
		case form.Get("grant_type") != "":
			return pierhead.Caller{}, pierhead.NewProblem(pierhead.ErrBadInput, "this grant_type is not supported", "use password, or GET with Basic authentication")
		}
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return pierhead.Caller{}, nil
	}
	if token, bearer := cutScheme(header, "Bearer"); bearer {
		return s.callerOf(r, token)
	}
	username, password, ok := r.BasicAuth()
	if !ok {
		return pierhead.Caller{}, pierhead.NewProblem(api.ErrUnauthenticated, "the Authorization header is neither Basic nor Bearer", "log in again: docker login with your name and a token")
	}
	return s.namedCaller(r, username, password)
}

func (s *Server) namedCaller(r *http.Request, username, password string) (pierhead.Caller, error) {
	if tokens.LooksSigned(password) {
		return s.pullCaller(r, username, password)
	}
	c, err := s.callerOf(r, password)
	if err != nil {
		if errors.Is(err, api.ErrUnauthenticated) {
			err = pierhead.NewProblem(api.ErrUnauthenticated, "the password is not a valid token", "log in with your name and a token from pier token create; it may have expired")
		}
		return c, err
	}
	_, short, _ := strings.Cut(c.Name, ":") // "robot:ci" logs in as ci: a user name has no colon (RFC 7617)
	if username == "" || username != c.Person && username != c.Name && username != short {
		return pierhead.Caller{}, pierhead.NewProblem(api.ErrUnauthenticated, "the token is not that user's", "log in with the name of the token's owner: pier whoami")
	}
	return c, nil
}

// A scope is one thing asked for: type:name:actions.
type scope struct {
	kind, name string
	actions    []string
}

// scopesOf reads the scope parameters, repeated or joined by spaces. What does not parse, or is of a type that we have
// not, is dropped: nothing is granted for it.
func scopesOf(form url.Values) ([]scope, error) {
	var scopes []scope
	for _, parameter := range form["scope"] {
		for _, text := range strings.Fields(parameter) {
			if len(scopes) == maxScopes {
				return nil, pierhead.NewProblem(pierhead.ErrBadInput, "too many scopes", "ask for fewer repositories at once")
			}
			if parsed, ok := parseScope(text); ok {
				scopes = append(scopes, parsed)
			}
		}
	}
	return scopes, nil
}

// parseScope cuts at the first and the last colon, because a name may have colons itself (distribution scope.md). Of the
// actions it keeps those that there are, each once: they go into the token.
func parseScope(text string) (scope, bool) {
	kind, rest, found := strings.Cut(text, ":")
	last := strings.LastIndexByte(rest, ':')
	if !found || last <= 0 || last > maxName {
		return scope{}, false
	}
	asked := strings.Split(rest[last+1:], ",")
	actions := slices.DeleteFunc([]string{"pull", "push", "delete", "*"}, func(known string) bool { return !slices.Contains(asked, known) })
	return scope{kind: kind, name: rest[:last], actions: actions}, len(actions) > 0
}

// grant is the intersection of what was asked and what the caller has.
func (s *Server) grant(ctx context.Context, c pierhead.Caller, asked []scope) ([]tokens.Access, error) {
	granted := []tokens.Access{}
	had := map[string][]string{}
	for _, want := range asked {
		namespace, _, nested := strings.Cut(want.name, "/")
		if want.kind != "repository" || !nested || c.TokenID == "" {
			continue
		}
		actions, known := had[namespace]
		if !known {
			var err error
			if actions, err = s.config.Store.NamespaceActions(ctx, c, namespace); err != nil {
				return nil, err
			}
			had[namespace] = actions
		}
		if both := intersect(want.actions, actions); len(both) > 0 {
			granted = append(granted, tokens.Access{Type: want.kind, Name: want.name, Actions: both})
		}
	}
	return granted, nil
}

// askedBy tells the registry what somebody with a name asked for: what is missing in the grant is then "denied". To
// nobody, who may still log in, the registry says "not logged in" instead.
func askedBy(c pierhead.Caller, scopes []scope) []tokens.Access {
	var asked []tokens.Access
	for _, s := range scopes {
		if c.TokenID != "" {
			asked = append(asked, tokens.Access{Type: s.kind, Name: s.name, Actions: s.actions})
		}
	}
	return asked
}

// intersect keeps the order of what the caller has; "*" asks for everything.
func intersect(asked, had []string) []string {
	return slices.DeleteFunc(slices.Clone(had), func(action string) bool {
		return !slices.Contains(asked, action) && !slices.Contains(asked, "*")
	})
}

func scopeText(granted []tokens.Access) string {
	words := make([]string, 0, len(granted))
	for _, access := range granted {
		words = append(words, access.Type+":"+access.Name+":"+strings.Join(access.Actions, ","))
	}
	return strings.Join(words, " ")
}

// refuseToken sends an error in the form that registry clients print.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	status, envelope := api.ErrorOf(err)
	code := "UNKNOWN"
	switch {
	case status.HTTP == http.StatusUnauthorized:
		code = "UNAUTHORIZED"
		w.Header().Set("WWW-Authenticate", `Basic realm="pierhead"`)
	case status.HTTP == http.StatusBadRequest:
		code = "UNSUPPORTED"
	case status.HTTP == http.StatusServiceUnavailable:
		code = "UNAVAILABLE"
	case status.HTTP == http.StatusInternalServerError:
		s.config.Log.Error("a token request went wrong inside", "error", err)
	}
	_ = writeJSON(w, status.HTTP, tokenRefusal{[]tokenError{{code, envelope.Error.Message, envelope.Error.Hint}}})
}
