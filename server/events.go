package server

import (
	"context"
	"net/http"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/store"
)

// Events is what the routes of events need.
type Events interface {
	// DeliverEvents takes events from the calling node, each once. Errors: pierhead.ErrBadInput, ErrNotAllowed.
	DeliverEvents(ctx context.Context, c pierhead.Caller, events []pierhead.Event) error
	// Events lists events, newest first. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput.
	Events(ctx context.Context, c pierhead.Caller, f store.EventFilter) ([]pierhead.Event, error)
}

type listEvents struct {
	Organization string `query:"organization" doc:"An organization's name, for its admins; this or execution is needed."`
	Execution    string `query:"execution" doc:"An execution's id, for whoever may see it."`
	Kind         string `query:"kind"`
	Registry     string `query:"registry"`
	Before       string `query:"before" doc:"An event's id: only those older than it."`
	Limit        int    `query:"limit" doc:"At most so many."`
}

type deliverEvents struct {
	Body api.EventList `body:"json"`
}

func (s *Server) eventRoutes() {
	handle(s, operation{id: "list-events", method: http.MethodGet, path: "/events", tag: "events", summary: "List events of an organization or an execution, newest first"},
		func(ctx context.Context, c pierhead.Caller, in listEvents) (api.EventList, error) {
			list, err := s.config.Store.Events(ctx, c, store.EventFilter{
				Organization: in.Organization, ExecutionID: in.Execution, Kind: in.Kind, Registry: in.Registry, Before: in.Before, Limit: in.Limit,
			})
			return api.EventsOf(list), err
		})
	handle(s, operation{id: "deliver-events", method: http.MethodPost, path: "/node/events", tag: "node", summary: "Deliver events; one that was delivered before is ignored"},
		func(ctx context.Context, c pierhead.Caller, in deliverEvents) (none, error) {
			return none{}, s.config.Store.DeliverEvents(ctx, c, in.Body.Nouns())
		})
}
