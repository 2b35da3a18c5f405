package oci

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// Unsupported is a Registry that answers ErrUnsupported to everything. Wrappers embed it, so that a method which is
// added later fails closed.
type Unsupported struct{}

var _ Registry = Unsupported{}

// Resolve answers ErrUnsupported.
func (Unsupported) Resolve(context.Context, string, string) (Descriptor, error) {
	return Descriptor{}, ErrUnsupported
}

// Manifest answers ErrUnsupported.
func (Unsupported) Manifest(context.Context, string, string) (Manifest, error) {
	return Manifest{}, ErrUnsupported
}

// Blob answers ErrUnsupported.
func (Unsupported) Blob(context.Context, string, digest.Digest, int64, int64) (*Blob, error) {
	return nil, ErrUnsupported
}

// StatBlob answers ErrUnsupported.
func (Unsupported) StatBlob(context.Context, string, digest.Digest) (Descriptor, error) {
	return Descriptor{}, ErrUnsupported
}

// PutManifest answers ErrUnsupported.
func (Unsupported) PutManifest(context.Context, string, Manifest, []string) (Pushed, error) {
	return Pushed{}, ErrUnsupported
}

// Mount answers ErrUnsupported.
func (Unsupported) Mount(context.Context, string, digest.Digest, []string) (Descriptor, error) {
	return Descriptor{}, ErrUnsupported
}

// StartUpload answers ErrUnsupported.
func (Unsupported) StartUpload(context.Context, string, digest.Algorithm) (Upload, error) {
	return nil, ErrUnsupported
}

// Upload answers ErrUnsupported.
func (Unsupported) Upload(context.Context, string, string) (Upload, error) {
	return nil, ErrUnsupported
}

// Tags answers ErrUnsupported.
func (Unsupported) Tags(context.Context, string, Page) (List, error) { return List{}, ErrUnsupported }

// Referrers answers ErrUnsupported.
func (Unsupported) Referrers(context.Context, string, digest.Digest, ReferrerFilter) (Referrers, error) {
	return Referrers{}, ErrUnsupported
}

// Repositories answers ErrUnsupported.
func (Unsupported) Repositories(context.Context, Page) (List, error) { return List{}, ErrUnsupported }

// DeleteTag answers ErrUnsupported.
func (Unsupported) DeleteTag(context.Context, string, string) error { return ErrUnsupported }

// DeleteManifest answers ErrUnsupported.
func (Unsupported) DeleteManifest(context.Context, string, digest.Digest) error {
	return ErrUnsupported
}

// DeleteBlob answers ErrUnsupported.
func (Unsupported) DeleteBlob(context.Context, string, digest.Digest) error { return ErrUnsupported }
