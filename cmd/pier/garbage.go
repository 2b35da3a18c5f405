package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/server"
)

func (p *program) registryCollectCommand() *cobra.Command {
	var request api.Collection
	var age time.Duration
	c := &cobra.Command{Use: "gc", Short: "Delete what the hosted registry no longer needs", Args: arguments(),
		Long: `Delete what the hosted registry no longer needs: blobs that no manifest names, and uploads that
nobody goes on with. Pushes may go on meanwhile. Manifests without a tag stay, unless --untagged.
It is for administrators of the installation.`,
		Example: "  pier registry gc --dry-run\n  pier registry gc --untagged --min-age 24h"}
	c.Flags().BoolVar(&request.DryRun, "dry-run", false, "only say what would go")
	c.Flags().BoolVar(&request.Untagged, "untagged", false, "manifests too that no tag leads to")
	c.Flags().DurationVar(&age, "min-age", time.Hour, "what was pushed or asked for more recently stays")
	c.RunE = p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		request.MinAgeSeconds = int64(age.Seconds())
		r, err := client.CollectGarbage(ctx, request)
		if err != nil {
			return err
		}
		return p.print(r, func() string {
			verb := "Deleted"
			if r.DryRun {
				verb = "Would delete"
			}
			return fmt.Sprintf("%s %d manifests, %d blobs of %s, and %d uploads.\nKept %d manifests with %d tags in %d repositories: %d blobs of %s.\n",
				verb, r.RemovedManifests, r.RemovedBlobs, bytesText(r.RemovedBytes), r.RemovedUploads, r.Manifests, r.Tags, r.Repositories, r.Blobs, bytesText(r.Bytes))
		})
	})
	return c
}

// collectDaily collects an hour after the start, so that a registry that is restarted every night does so too, and then
// once a day, until ctx ends.
func collectDaily(ctx context.Context, collector server.Collector, log *slog.Logger) {
	const day = 24 * time.Hour
	for wait := time.Hour; ; wait = day {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		r, err := collector.Collect(ctx, hosted.CollectOptions{MinAge: day, UploadAge: day})
		if err != nil && ctx.Err() == nil {
			log.Error("collecting garbage", "error", err)
		}
		if removed := r.Removed; removed != (hosted.Removed{}) {
			log.Info("collected garbage", "blobs", removed.Blobs, "bytes", removed.Bytes, "uploads", removed.Uploads, "took", r.Took)
		}
	}
}

// bytesText is a size as people read it.
func bytesText(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
