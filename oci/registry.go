package oci

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// A BlobStater tells a blob's size without opening it. Errors: as Reader.Blob.
type BlobStater interface {
	StatBlob(ctx context.Context, repository string, d digest.Digest) (Descriptor, error)
}

// A Registry is all that a registry can do. One that cannot do all of it embeds Unsupported.
type Registry interface {
	Reader
	BlobStater
	Writer
	Uploader
	Lister
	Catalog
	Deleter
}

// ReadOnly makes a Registry of a Reader: everything else answers ErrUnsupported, except that a Reader which is a
// BlobStater or a Lister stays one.
func ReadOnly(reader Reader) Registry { return readOnly{reader: reader} }

type readOnly struct {
	Unsupported
	reader Reader
}

func (r readOnly) Resolve(ctx context.Context, repository, reference string) (Descriptor, error) {
	return r.reader.Resolve(ctx, repository, reference)
}

func (r readOnly) Manifest(ctx context.Context, repository, reference string) (Manifest, error) {
	return r.reader.Manifest(ctx, repository, reference)
}

func (r readOnly) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*Blob, error) {
	return r.reader.Blob(ctx, repository, d, offset, length)
}

func (r readOnly) StatBlob(ctx context.Context, repository string, d digest.Digest) (Descriptor, error) {
	if s, ok := r.reader.(BlobStater); ok {
		return s.StatBlob(ctx, repository, d)
	}
	return r.Unsupported.StatBlob(ctx, repository, d)
}

func (r readOnly) Tags(ctx context.Context, repository string, page Page) (List, error) {
	if l, ok := r.reader.(Lister); ok {
		return l.Tags(ctx, repository, page)
	}
	return r.Unsupported.Tags(ctx, repository, page)
}

func (r readOnly) Referrers(ctx context.Context, repository string, d digest.Digest, filter ReferrerFilter) (Referrers, error) {
	if l, ok := r.reader.(Lister); ok {
		return l.Referrers(ctx, repository, d, filter)
	}
	return r.Unsupported.Referrers(ctx, repository, d, filter)
}
