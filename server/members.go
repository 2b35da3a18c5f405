package server

import (
	"context"
	"fmt"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Members is what the routes of members need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput, ErrConflict.
type Members interface {
	SetMember(ctx context.Context, c pierhead.Caller, organization, person string, role pierhead.Role) (pierhead.Member, error)
	Members(ctx context.Context, c pierhead.Caller, organization string) ([]pierhead.Member, error)
	DeleteMember(ctx context.Context, c pierhead.Caller, organization, person string) error
}

type memberPath struct {
	organizationPath
	personPath
}

type setMember struct {
	memberPath
	Body api.MemberRole `body:"json"`
}

func (s *Server) memberRoutes() {
	store := s.config.Store
	const path = "/organizations/{organization}/members"
	handle(s, operation{id: "list-members", method: http.MethodGet, path: path, tag: "members", summary: "List an organization's members"},
		func(ctx context.Context, c pierhead.Caller, in organizationPath) (api.MemberList, error) {
			list, err := store.Members(ctx, c, in.Organization)
			return api.MembersOf(list), err
		})
	handle(s, operation{id: "show-member", method: http.MethodGet, path: path + "/{person}", tag: "members", summary: "Show a member"}, s.showMember)
	handle(s, operation{id: "set-member", method: http.MethodPut, path: path + "/{person}", tag: "members", summary: "Make a person a member, or change the role"},
		func(ctx context.Context, c pierhead.Caller, in setMember) (api.Member, error) {
			m, err := store.SetMember(ctx, c, in.Organization, in.Person, pierhead.Role(in.Body.Role))
			return api.MemberOf(m), err
		})
	handle(s, operation{id: "delete-member", method: http.MethodDelete, path: path + "/{person}", tag: "members", summary: "End a membership"},
		func(ctx context.Context, c pierhead.Caller, in memberPath) (none, error) {
			return none{}, store.DeleteMember(ctx, c, in.Organization, in.Person)
		})
}

func (s *Server) showMember(ctx context.Context, c pierhead.Caller, in memberPath) (api.Member, error) {
	list, err := s.config.Store.Members(ctx, c, in.Organization)
	if err != nil {
		return api.Member{}, err
	}
	for _, m := range list {
		if m.Person == in.Person {
			return api.MemberOf(m), nil
		}
	}
	return api.Member{}, pierhead.NewProblem(pierhead.ErrNotFound, fmt.Sprintf("%q is no member of %s", in.Person, in.Organization),
		"pier member list shows who is")
}
