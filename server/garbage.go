package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/store"
)

// Garbage decides who may have garbage collected.
type Garbage interface {
	// AllowCollection lets a garbage collection begin. Errors: pierhead.ErrNotAllowed.
	AllowCollection(ctx context.Context, c pierhead.Caller, dryRun bool) error
}

// A Collector is the hosted registry, where this process has one.
type Collector interface {
	// Collect takes away what is no longer needed, or says what it would take.
	Collect(ctx context.Context, options hosted.CollectOptions) (hosted.Report, error)
}

type collectGarbage struct {
	Body api.Collection `body:"json"`
}

func (s *Server) garbageRoutes() {
	handle(s, operation{id: "collect-garbage", method: http.MethodPost, path: "/garbage-collections", tag: "registry", summary: "Delete what the hosted registry no longer needs"},
		func(ctx context.Context, c pierhead.Caller, in collectGarbage) (api.CollectionReport, error) {
			// On a full disk the audit log has no room either, but collecting is how room is made: the entry follows.
			full := s.config.Store.AllowCollection(ctx, c, in.Body.DryRun)
			if full != nil && !errors.Is(full, store.ErrDiskFull) {
				return api.CollectionReport{}, full
			}
			if s.config.Collector == nil {
				return api.CollectionReport{}, pierhead.NewProblem(pierhead.ErrNotFound, "this process has no hosted registry", "")
			}
			r, err := s.config.Collector.Collect(ctx, hosted.CollectOptions{DryRun: in.Body.DryRun, Untagged: in.Body.Untagged,
				MinAge: time.Duration(in.Body.MinAgeSeconds) * time.Second})
			if errors.Is(err, oci.ErrFull) {
				err = pierhead.NewProblem(pierhead.ErrUnreachable, "the disk is too full to note what the hosted registry could lose", "free some space in the data directory, and collect again")
			}
			if err == nil && full != nil {
				err = s.config.Store.AllowCollection(ctx, c, in.Body.DryRun)
				if in.Body.DryRun && errors.Is(err, store.ErrDiskFull) {
					err = nil // nothing was done that the log could miss
				}
			}
			return api.CollectionReport{
				DryRun: r.DryRun, Repositories: r.Repositories, Tags: r.Tags, Manifests: r.Manifests, Blobs: r.Blobs, Bytes: r.Bytes,
				RemovedManifests: r.Removed.Manifests, RemovedBlobs: r.Removed.Blobs, RemovedBytes: r.Removed.Bytes, RemovedUploads: r.Removed.Uploads,
				TookMilliseconds: r.Took.Milliseconds(),
			}, err
		})
}
