package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/oci/hosted"
)

// collections are the times at which somebody collected; the first one goes wrong.
type collections []time.Duration

func (c *collections) Collect(_ context.Context, o hosted.CollectOptions) (hosted.Report, error) {
	begun := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // synctest's
	if *c = append(*c, time.Since(begun)); len(*c) == 1 {
		return hosted.Report{}, errors.New("a bad sector")
	}
	if o.DryRun || o.Untagged || o.MinAge != 24*time.Hour || o.UploadAge != 24*time.Hour {
		return hosted.Report{}, errors.New("other options")
	}
	return hosted.Report{Removed: hosted.Removed{Blobs: 3}}, nil
}

// A registry that runs alone used to keep garbage for ever, as there was nobody to ask.
func TestCollectDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Hour)
		defer cancel()
		var done collections
		var log strings.Builder
		collectDaily(ctx, &done, slog.New(slog.NewTextHandler(&log, nil)))
		if len(done) != 3 || done[0] != time.Hour || done[1] != 25*time.Hour || done[2] != 49*time.Hour {
			t.Errorf("collected at %v", done)
		}
		if said := log.String(); !strings.Contains(said, "a bad sector") || strings.Count(said, "blobs=3") != 2 {
			t.Errorf("the log has\n%s", said)
		}
	})
}
