package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

var (
	_ oci.Reader     = (*Client)(nil)
	_ oci.BlobStater = (*Client)(nil)
)

// MaxManifest is the largest manifest that is read, in bytes.
const MaxManifest = 4 << 20

// accept are the manifests that are understood. Without the header some registries answer with the obsolete schema 1.
var accept = strings.Join([]string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json",
}, ", ")

func checkRepository(repository string) error {
	if !oci.ValidRepository(repository) {
		return oci.ErrNameInvalid
	}
	return nil
}

// checkReference tells tags from digests.
func checkReference(reference string) (digest.Digest, error) {
	if strings.Contains(reference, ":") {
		return oci.ParseDigest(reference)
	}
	if !oci.ValidTag(reference) {
		return "", oci.ErrTagInvalid
	}
	return "", nil
}

func (c *Client) manifestCall(method, repository, reference string) call {
	return call{
		operation: fmt.Sprintf("manifest %s of %s/%s", reference, c.host, repository), about: aboutManifest,
		method: method, url: c.at(repository + "/manifests/" + reference), header: http.Header{"Accept": {accept}},
		purpose: purpose{repository, pull}, maxBody: MaxManifest, idempotent: true,
	}
}

// Resolve implements oci.Reader by HEAD, which registries do not count against their limits. It asks with GET instead
// where HEAD does not say the digest, is not supported, or is refused: an answer to HEAD has no body that would tell why.
// The digest of a tag is the registry's word until the manifest is read by it.
func (c *Client) Resolve(ctx context.Context, repository, reference string) (oci.Descriptor, error) {
	d, err := c.head(ctx, repository, reference)
	if err == nil && d.Digest != "" {
		return d, nil
	}
	if err != nil && !worthGet(err) {
		return oci.Descriptor{}, err
	}
	m, err := c.Manifest(ctx, repository, reference)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return oci.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}, nil
}

// worthGet tells whether GET may say more, or something else, than HEAD did. A login that was refused is not sent again
// to hear why: some registries lock accounts.
func worthGet(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Place == PlaceTokenServer {
		return false
	}
	switch e.Status {
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusNotAcceptable:
		return true
	case http.StatusBadRequest, http.StatusUnauthorized:
		return !e.Login
	case http.StatusNotFound:
		return e.Place == PlaceStorage // where the address was signed for GET only
	}
	return false
}

// head returns a descriptor without digest where the answer is not good enough.
func (c *Client) head(ctx context.Context, repository, reference string) (oci.Descriptor, error) {
	wanted, err := checkManifest(repository, reference)
	if err != nil {
		return oci.Descriptor{}, err
	}
	k := c.manifestCall(http.MethodHead, repository, reference)
	r, err := c.do(ctx, k)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer r.Body.Close()
	told, err := oci.ParseDigest(r.Header.Get("Docker-Content-Digest"))
	mediaType := mediaTypeOf(r.Header)
	if r.Status != http.StatusOK || err != nil || !known[mediaType] {
		return oci.Descriptor{}, nil
	}
	if wanted != "" && told.Algorithm() == wanted.Algorithm() && told != wanted {
		return oci.Descriptor{}, contentError(k, r, oci.ErrDigestInvalid, "the registry has "+told.String()+" under this digest")
	}
	if wanted != "" {
		told = wanted
	}
	return oci.Descriptor{MediaType: mediaType, Digest: told, Size: r.Length}, nil
}

func checkManifest(repository, reference string) (digest.Digest, error) {
	if err := checkRepository(repository); err != nil {
		return "", err
	}
	return checkReference(reference)
}

// Manifest implements oci.Reader. The content is verified against the digest that was asked for, or else against the
// one that the registry tells with it; larger than MaxManifest it is oci.ErrManifestTooLarge.
func (c *Client) Manifest(ctx context.Context, repository, reference string) (oci.Manifest, error) {
	wanted, err := checkManifest(repository, reference)
	if err != nil {
		return oci.Manifest{}, err
	}
	k := c.manifestCall(http.MethodGet, repository, reference)
	var m oci.Manifest
	err = c.retrying(ctx, k, func() error {
		once := k
		once.idempotent = true
		r, err := c.do(ctx, once)
		if err != nil {
			return final{err}
		}
		defer r.Body.Close()
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return sendError(k, PlaceRegistry, c.base.Host, err)
		}
		if m, err = readManifest(k, r, wanted, content); err == nil {
			c.sizes.learn(repository, content)
		}
		return err
	})
	return m, unwrapFinal(err)
}

// final hides an error from retrying, which has tried inside as often already.
type final struct{ err error }

func (f final) Error() string { return f.err.Error() }

func unwrapFinal(err error) error {
	if f, ok := err.(final); ok {
		return f.err
	}
	return err
}

func (c *Client) blobCall(method, repository string, d digest.Digest) call {
	return call{
		operation: fmt.Sprintf("blob %s of %s/%s", d, c.host, repository), about: aboutBlob,
		method: method, url: c.at(repository + "/blobs/" + d.String()), purpose: purpose{repository, pull}, idempotent: true,
	}
}

func checkBlob(repository string, d digest.Digest) error {
	if err := checkRepository(repository); err != nil {
		return err
	}
	_, err := oci.ParseDigest(d.String())
	return err
}

// StatBlob implements oci.BlobStater by HEAD, and by GET where HEAD is refused or leads to a storage that only signed a GET.
func (c *Client) StatBlob(ctx context.Context, repository string, d digest.Digest) (oci.Descriptor, error) {
	if err := checkBlob(repository, d); err != nil {
		return oci.Descriptor{}, err
	}
	r, err := c.do(ctx, c.blobCall(http.MethodHead, repository, d))
	if err != nil && worthGet(err) || err == nil && r.Length < 0 {
		r, err = c.do(ctx, c.blobCall(http.MethodGet, repository, d))
	}
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer r.Body.Close()
	return oci.Descriptor{MediaType: octets, Digest: d, Size: r.Length}, nil
}

const octets = "application/octet-stream"
