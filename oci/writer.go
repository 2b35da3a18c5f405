package oci

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
)

// Pushed is what became of a manifest that was put.
type Pushed struct {
	Digest  digest.Digest
	Tags    []string      // the tags that now name it
	Subject digest.Digest // of the manifest's subject, when the registry lists it as a referrer; else ""
}

// A Writer puts content into one registry. Errors beside those of Reader: ErrManifestInvalid, ErrManifestBlobUnknown,
// ErrManifestTooLarge, ErrDigestInvalid, ErrNameInvalid, ErrTagInvalid, ErrFull.
type Writer interface {
	// PutManifest stores m.Content under m.Digest, or under its sha256 when m.Digest is empty, and gives it the tags:
	// all of it or nothing.
	PutManifest(ctx context.Context, repository string, m Manifest, tags []string) (Pushed, error)
	// Mount makes a blob of another repository of the same registry one of this repository too, without moving a
	// byte. It looks through the repositories named in from; nil is every one. ErrBlobUnknown: upload it then.
	Mount(ctx context.Context, repository string, d digest.Digest, from []string) (Descriptor, error)
}

// An Uploader takes blobs.
type Uploader interface {
	// StartUpload begins an upload. The algorithm is the one its digest is expected to have, "" for sha256; finishing
	// with another is allowed, and slower.
	StartUpload(ctx context.Context, repository string, algorithm digest.Algorithm) (Upload, error)
	// Upload finds an upload that was started in this repository. Error: ErrBlobUploadUnknown.
	Upload(ctx context.Context, repository, id string) (Upload, error)
}

// An UploadStatus is how far an upload has come.
type UploadStatus struct {
	ID   string // letters, digits and hyphens
	Size int64  // bytes taken so far
}

// An Upload is a blob on its way in. Nothing of it can be read before Finish, and one call is served at a time:
// ErrUploadBusy for a second one. Every method: ErrBlobUploadUnknown once it is finished or cancelled.
type Upload interface {
	// Status tells how far it is.
	Status() UploadStatus
	// Append takes r to its end. The offset must be Size, or -1 for "wherever it stands": else ErrRangeInvalid, and
	// nothing was taken. When r breaks off, what came is kept and counted in Size.
	Append(ctx context.Context, offset int64, r io.Reader) (UploadStatus, error)
	// Finish makes it a blob of the repository if its digest is d; else ErrDigestInvalid, and the upload is gone.
	Finish(ctx context.Context, d digest.Digest) (Descriptor, error)
	// Cancel forgets it.
	Cancel(ctx context.Context) error
}
