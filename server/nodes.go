package server

import (
	"context"
	"net/http"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// Nodes is what nodes tell and are told beside their work.
type Nodes interface {
	// Snapshot is what the calling node needs for matching. Errors: pierhead.ErrNotAllowed for everyone but nodes.
	Snapshot(ctx context.Context, c pierhead.Caller) (pierhead.Snapshot, error)
	// PutDataKey publishes the calling node's data-plane key. Errors: pierhead.ErrBadInput, ErrConflict.
	PutDataKey(ctx context.Context, c pierhead.Caller, k pierhead.DataKey) error
	// DataKey is the key to seal an organization's credentials to. Errors: pierhead.ErrNotFound when there is none yet.
	DataKey(ctx context.Context, c pierhead.Caller, organization string) (pierhead.DataKey, error)
}

type readSnapshot struct {
	After int64         `query:"after" doc:"The version that the node has; absent: none."`
	Wait  time.Duration `query:"wait" doc:"Hold the request so long, at most 60s, until there is another version."`
}

type putDataKey struct {
	Body api.DataKey `body:"json"`
}

func (s *Server) nodeRoutes() {
	store := s.config.Store
	handle(s, operation{id: "read-snapshot", method: http.MethodGet, path: "/node/snapshot", tag: "node", summary: "Read what the node needs for matching", poll: true}, s.readSnapshot)
	handle(s, operation{id: "put-data-key", method: http.MethodPut, path: "/node/data-key", tag: "node", summary: "Publish the node's data-plane key"},
		func(ctx context.Context, c pierhead.Caller, in putDataKey) (none, error) {
			return none{}, store.PutDataKey(ctx, c, in.Body.Noun())
		})
	handle(s, operation{id: "show-data-key", method: http.MethodGet, path: "/organizations/{organization}/data-key", tag: "registries", summary: "Show the key that credentials are sealed to"},
		func(ctx context.Context, c pierhead.Caller, in organizationPath) (api.DataKey, error) {
			k, err := store.DataKey(ctx, c, in.Organization)
			return api.DataKeyOf(k), err
		})
}

// readSnapshot answers at once when the node's version is not the newest, and nil when it stays so for all the wait.
func (s *Server) readSnapshot(ctx context.Context, c pierhead.Caller, in readSnapshot) (*api.Snapshot, error) {
	deadline := time.NewTimer(min(in.Wait, api.MaxWait))
	defer deadline.Stop()
	for {
		changed := s.config.Store.Changed()
		snapshot, err := s.config.Store.Snapshot(ctx, c)
		if err != nil {
			return nil, err
		}
		if snapshot.Version != in.After {
			wire := api.SnapshotOf(snapshot)
			return &wire, nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil, nil
		case <-s.drain:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
