package oci

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// A Deleter takes content out of one repository. What it held on disk goes with the next garbage collection.
type Deleter interface {
	// DeleteTag takes a tag away; the manifest stays. Error: ErrManifestUnknown.
	DeleteTag(ctx context.Context, repository, tag string) error
	// DeleteManifest takes a manifest away, and every tag that names it. Error: ErrManifestUnknown.
	DeleteManifest(ctx context.Context, repository string, d digest.Digest) error
	// DeleteBlob takes a blob away. Error: ErrBlobUnknown.
	DeleteBlob(ctx context.Context, repository string, d digest.Digest) error
}
