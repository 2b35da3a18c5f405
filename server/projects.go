package server

import (
	"context"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Projects is what the routes of projects need. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput, ErrConflict.
type Projects interface {
	CreateProject(ctx context.Context, c pierhead.Caller, owner, name string) (pierhead.Project, error)
	// Projects lists those of one owner, or with an empty owner all that the caller may know of.
	Projects(ctx context.Context, c pierhead.Caller, owner string) ([]pierhead.Project, error)
	Project(ctx context.Context, c pierhead.Caller, owner, name string) (pierhead.Project, error)
	DeleteProject(ctx context.Context, c pierhead.Caller, owner, name string) error
}

type projectPath struct {
	Owner   string `path:"owner" doc:"An organization's or person's name."`
	Project string `path:"project" doc:"A project's name."`
}

type createProject struct {
	Body api.NewProject `body:"json"`
}

type listProjects struct {
	Owner string `query:"owner" doc:"An organization's or person's name; absent: all that the caller may see."`
}

func (s *Server) projectRoutes() {
	store := s.config.Store
	handle(s, operation{id: "create-project", method: http.MethodPost, path: "/projects", tag: "projects", summary: "Make a project", created: true},
		func(ctx context.Context, c pierhead.Caller, in createProject) (api.Project, error) {
			p, err := store.CreateProject(ctx, c, in.Body.Owner, in.Body.Name)
			return api.ProjectOf(p), err
		})
	handle(s, operation{id: "list-projects", method: http.MethodGet, path: "/projects", tag: "projects", summary: "List projects"},
		func(ctx context.Context, c pierhead.Caller, in listProjects) (api.ProjectList, error) {
			list, err := store.Projects(ctx, c, in.Owner)
			return api.ProjectsOf(list), err
		})
	handle(s, operation{id: "show-project", method: http.MethodGet, path: "/projects/{owner}/{project}", tag: "projects", summary: "Show a project"},
		func(ctx context.Context, c pierhead.Caller, in projectPath) (api.Project, error) {
			p, err := store.Project(ctx, c, in.Owner, in.Project)
			return api.ProjectOf(p), err
		})
	handle(s, operation{id: "delete-project", method: http.MethodDelete, path: "/projects/{owner}/{project}", tag: "projects", summary: "Delete a project"},
		func(ctx context.Context, c pierhead.Caller, in projectPath) (none, error) {
			return none{}, store.DeleteProject(ctx, c, in.Owner, in.Project)
		})
}
