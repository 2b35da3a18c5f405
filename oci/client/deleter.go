package client

import (
	"context"
	"net/http"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

var _ oci.Deleter = (*Client)(nil)

// DeleteTag implements oci.Deleter.
func (c *Client) DeleteTag(ctx context.Context, repository, tag string) error {
	if err := checkRepository(repository); err != nil {
		return err
	}
	if !oci.ValidTag(tag) {
		return oci.ErrTagInvalid
	}
	return c.remove(ctx, c.manifestCall(http.MethodDelete, repository, tag))
}

// DeleteManifest implements oci.Deleter.
func (c *Client) DeleteManifest(ctx context.Context, repository string, d digest.Digest) error {
	if err := checkBlob(repository, d); err != nil {
		return err
	}
	return c.remove(ctx, c.manifestCall(http.MethodDelete, repository, d.String()))
}

// DeleteBlob implements oci.Deleter.
func (c *Client) DeleteBlob(ctx context.Context, repository string, d digest.Digest) error {
	if err := checkBlob(repository, d); err != nil {
		return err
	}
	return c.remove(ctx, c.blobCall(http.MethodDelete, repository, d))
}

// remove does not repeat: after a broken answer, a second try would say that there is nothing.
func (c *Client) remove(ctx context.Context, k call) error {
	k.purpose.actions, k.idempotent = remove, false
	r, err := c.do(ctx, k)
	if err != nil {
		return err
	}
	return r.Body.Close()
}
