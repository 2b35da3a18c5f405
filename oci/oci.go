// Package oci says what an OCI registry can do, whoever it is: a remote one (oci/client), our own (oci/hosted), or what
// a node shows to its engine. Values of these interfaces are wrapped for access, retry and caching; oci/server puts any
// of them behind HTTP.
package oci

import (
	"context"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// A Descriptor points at content.
type Descriptor struct {
	MediaType string
	Digest    digest.Digest
	Size      int64 // bytes; -1 when the registry did not say
}

// A Manifest is a manifest's bytes as stored; Digest is of exactly these bytes.
type Manifest struct {
	MediaType string
	Digest    digest.Digest
	Content   []byte // not to be changed
}

// A Blob is an open blob, or a part of one. Close it.
type Blob struct {
	Descriptor       // of the whole blob
	Offset     int64 // where Body begins
	Length     int64 // bytes of Body; -1 when not known
	Body       io.ReadCloser
	File       *os.File // the same content as a plain file positioned at Offset, or nil; closed by Body.Close
	Location   string   // where a client may fetch it instead, or ""; then Body is nil
}

// Close closes Body.
func (b *Blob) Close() error {
	if b.Body == nil {
		return nil
	}
	return b.Body.Close()
}

// A Reader reads one registry. Errors: ErrNameUnknown, ErrManifestUnknown, ErrBlobUnknown, ErrUnauthorized, ErrDenied,
// ErrTooManyRequests, ErrUnavailable, ErrUnsupported, found with errors.Is.
type Reader interface {
	// Resolve returns the descriptor of a tag or digest without its content.
	Resolve(ctx context.Context, repository, reference string) (Descriptor, error)
	// Manifest returns a manifest by tag or digest; content is verified against a digest that was asked for.
	Manifest(ctx context.Context, repository, reference string) (Manifest, error)
	// Blob opens a blob from a byte offset on; length -1 is to its end. A stream from elsewhere is verified at its end when whole.
	Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*Blob, error)
}
