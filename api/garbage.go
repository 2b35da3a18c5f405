package api

// A Collection asks for a garbage collection of the hosted registry.
type Collection struct {
	DryRun        bool  `json:"dry_run,omitempty" doc:"Report only."`
	Untagged      bool  `json:"untagged,omitempty" doc:"Take manifests too that no tag leads to, by itself, an index or a subject."`
	MinAgeSeconds int64 `json:"min_age_seconds,omitempty" doc:"What was pushed or asked for more recently stays; 0: an hour."`
}

// A CollectionReport is what a garbage collection found and took, or would have taken.
type CollectionReport struct {
	DryRun           bool  `json:"dry_run"`
	Repositories     int   `json:"repositories"`
	Tags             int   `json:"tags"`
	Manifests        int   `json:"manifests" doc:"Kept."`
	Blobs            int   `json:"blobs" doc:"Kept in the store, manifests' bytes among them."`
	Bytes            int64 `json:"bytes" doc:"Of those."`
	RemovedManifests int   `json:"removed_manifests"`
	RemovedBlobs     int   `json:"removed_blobs"`
	RemovedBytes     int64 `json:"removed_bytes"`
	RemovedUploads   int   `json:"removed_uploads"`
	TookMilliseconds int64 `json:"took_milliseconds"`
}
