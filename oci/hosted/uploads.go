package hosted

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/oci"
)

// StartUpload begins an upload. The repository need not be there.
func (r *Registry) StartUpload(ctx context.Context, repository string, algorithm digest.Algorithm) (oci.Upload, error) {
	if !oci.ValidRepository(repository) {
		return nil, oci.ErrNameInvalid.With(repository)
	}
	if algorithm != "" && algorithm != digest.SHA256 && algorithm != digest.SHA512 {
		return nil, oci.ErrDigestInvalid.With("algorithm " + algorithm.String())
	}
	u, err := r.blobs.Start(ctx, blob.StartOptions{Algorithm: algorithm, Note: repository})
	if err != nil {
		return nil, outOf(err)
	}
	return &upload{registry: r, repository: repository, blob: u}, nil
}

// Upload finds an upload that was started in this repository.
func (r *Registry) Upload(ctx context.Context, repository, id string) (oci.Upload, error) {
	u, err := r.blobs.Upload(ctx, id)
	if err != nil {
		return nil, outOf(err)
	}
	if u.Info().Note != repository {
		return nil, oci.ErrBlobUploadUnknown
	}
	return &upload{registry: r, repository: repository, blob: u}, nil
}

type upload struct {
	registry   *Registry
	repository string
	blob       blob.Upload
}

func (u *upload) Status() oci.UploadStatus { return status(u.blob.Info()) }

func status(info blob.UploadInfo) oci.UploadStatus {
	return oci.UploadStatus{ID: info.ID, Size: info.Size}
}

func (u *upload) Append(ctx context.Context, offset int64, r io.Reader) (oci.UploadStatus, error) {
	info, err := u.blob.Append(ctx, offset, r)
	return status(info), outOf(err)
}

func (u *upload) Finish(ctx context.Context, d digest.Digest) (oci.Descriptor, error) {
	defer u.registry.inUse.begin(d)()
	info, err := u.blob.Finish(ctx, d)
	if err != nil {
		return oci.Descriptor{}, outOf(err)
	}
	return blobDescriptor(d, info.Size), u.registry.link(u.repository, d, info.Size)
}

func (u *upload) Cancel(ctx context.Context) error { return outOf(u.blob.Cancel(ctx)) }
