package server

import (
	"net/http"
	"slices"

	"pierhead.dev/pierhead/oci"
)

// The actions of a scope (distribution's token specification, "Resource Actions").
const (
	ActionPull   = "pull"
	ActionPush   = "push"
	ActionDelete = "delete"
	ActionAll    = "*"
)

// An Access is the right to do something to something, as the access claim of a registry token has it.
type Access struct {
	Type    string   `json:"type"` // "repository" or "registry"
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// Needs returns the rights that a request cannot do without. A mount's right to pull from its source is not among them:
// without it the blob is uploaded.
func (q Request) Needs() []Access {
	switch q.Kind {
	case KindPing:
		return nil
	case KindCatalog:
		return []Access{{Type: "registry", Name: "catalog", Actions: []string{ActionAll}}}
	case KindManifest, KindBlob, KindTags, KindReferrers:
		return q.needs(ActionPull)
	case KindManifestDelete, KindTagDelete, KindBlobDelete:
		return q.needs(ActionDelete)
	}
	return q.needs(ActionPush)
}

func (q Request) needs(action string) []Access {
	return []Access{{Type: "repository", Name: q.Repository, Actions: []string{action}}}
}

// Wants returns the rights that a client should ask for: whoever pushes or deletes looks as well, and a mount has its
// source.
func (q Request) Wants() []Access {
	wants := q.Needs()
	for i, access := range wants {
		if access.Type == "repository" && !slices.Contains(access.Actions, ActionPull) {
			wants[i].Actions = append([]string{ActionPull}, access.Actions...)
		}
	}
	if q.Kind == KindMount && q.From != "" && q.From != q.Repository {
		wants = append(wants, Access{Type: "repository", Name: q.From, Actions: []string{ActionPull}})
	}
	return wants
}

// A Grant is what an Authorizer found out about a caller beside that the request may go on.
type Grant struct {
	Caller string   // for logs; "" is nobody
	All    bool     // may pull from every repository
	Pull   []string // else from these, as far as the caller showed; for mounts
}

// MayPull tells whether the caller showed the right to pull from a repository.
func (g Grant) MayPull(repository string) bool { return g.All || slices.Contains(g.Pull, repository) }

// An Authorizer decides whether a request may go on, by its kind, repository and Needs, and by what r.Header has. It
// returns a *Refusal, whose Grant has the Caller where that is known, or another error: then the answer is 500 and the
// error is logged.
type Authorizer interface {
	Authorize(r *http.Request, q Request) (Grant, error)
}

// A Refusal is an Authorizer's no.
type Refusal struct {
	Err       *oci.Error // ErrUnauthorized or ErrDenied
	Challenge string     // the WWW-Authenticate header, or ""
	Detail    string     // for the client, or ""
}

func (r *Refusal) Error() string { return r.Err.Text }

// Unwrap returns the oci.Error.
func (r *Refusal) Unwrap() error { return r.Err }

// Open lets every request go on: for tests, and for a registry that nobody else can reach.
type Open struct{}

// Authorize grants everything.
func (Open) Authorize(*http.Request, Request) (Grant, error) { return Grant{All: true}, nil }

// denyAll stands in for an Authorizer that was forgotten.
type denyAll struct{}

func (denyAll) Authorize(*http.Request, Request) (Grant, error) {
	return Grant{}, &Refusal{Err: oci.ErrDenied}
}
