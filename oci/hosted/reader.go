package hosted

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/oci"
)

// Resolve returns the descriptor of a tag or digest.
func (r *Registry) Resolve(_ context.Context, repository, reference string) (oci.Descriptor, error) {
	repo, release, err := r.existing(repository)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer release()
	m, err := repo.resolve(reference)
	return m.Descriptor, err
}

// Manifest returns a manifest by tag or digest.
func (r *Registry) Manifest(ctx context.Context, repository, reference string) (oci.Manifest, error) {
	d, err := r.Resolve(ctx, repository, reference)
	if err != nil {
		return oci.Manifest{}, err
	}
	content, err := r.content(ctx, d)
	if err != nil {
		return oci.Manifest{}, fmt.Errorf("manifest %s of %s: %w", d.Digest, repository, err)
	}
	return oci.Manifest{MediaType: d.MediaType, Digest: d.Digest, Content: content}, nil
}

// content returns a manifest's bytes. Those from disk are hashed once, when they come into the cache.
func (r *Registry) content(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if content, ok := r.manifests.get(d.Digest); ok {
		return content, nil
	}
	content, err := r.blobs.Read(ctx, d.Digest, d.Size)
	if err != nil {
		return nil, err
	}
	if d.Digest.Algorithm().FromBytes(content) != d.Digest {
		return nil, fmt.Errorf("the bytes on disk do not match their digest any more")
	}
	r.manifests.put(d.Digest, content)
	return content, nil
}

// StatBlob tells a blob's size.
func (r *Registry) StatBlob(_ context.Context, repository string, d digest.Digest) (oci.Descriptor, error) {
	repo, release, err := r.existing(repository)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer release()
	size, ok := repo.linked(d)
	if !ok {
		return oci.Descriptor{}, oci.ErrBlobUnknown.With(d.String())
	}
	return blobDescriptor(d, size), nil
}

func blobDescriptor(d digest.Digest, size int64) oci.Descriptor {
	return oci.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: size}
}

// Blob opens a blob.
func (r *Registry) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	descriptor, err := r.StatBlob(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > descriptor.Size {
		return nil, oci.ErrRangeInvalid
	}
	content, err := r.blobs.Open(ctx, d)
	if errors.Is(err, blob.ErrNotFound) {
		// A collection took both since, or else the store has lost something.
		if _, unknown := r.StatBlob(ctx, repository, d); unknown != nil {
			return nil, unknown
		}
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s of %s: %w", d, repository, err)
	}
	if rest := descriptor.Size - offset; length < 0 || length > rest {
		length = rest
	}
	b := &oci.Blob{Descriptor: descriptor, Offset: offset, Length: length, Location: content.Location}
	if content.File == nil {
		return b, nil
	}
	if offset > 0 {
		if _, err := content.File.Seek(offset, io.SeekStart); err != nil {
			content.File.Close()
			return nil, fmt.Errorf("blob %s of %s: %w", d, repository, err)
		}
	}
	b.File, b.Body = content.File, part{Reader: io.LimitReader(content.File, length), file: content.File}
	return b, nil
}

type part struct {
	io.Reader
	file *os.File
}

func (p part) Close() error { return p.file.Close() }
