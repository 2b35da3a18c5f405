package server

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"pierhead.dev/pierhead/oci"
)

func putManifest(w http.ResponseWriter, c *call) error {
	limit := c.config.MaxManifest
	if c.http.ContentLength > limit {
		return oci.ErrManifestTooLarge.With(fmt.Sprintf("%d bytes are the limit", limit))
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, c.http.Body, limit))
	if err != nil {
		return err
	}
	m := oci.Manifest{MediaType: mediaType(c.http), Digest: c.Digest, Content: content}
	pushed, err := c.registry.PutManifest(c.ctx(), c.Repository, m, c.Tags)
	if err != nil {
		return err
	}
	h := w.Header()
	if c.Digest != "" && len(pushed.Tags) > 0 {
		h.Set("OCI-Tag", strings.Join(pushed.Tags, ", "))
	}
	if pushed.Subject != "" {
		h.Set("OCI-Subject", pushed.Subject.String())
	}
	h.Set("Docker-Content-Digest", pushed.Digest.String())
	h.Set("Location", "/v2/"+c.Repository+"/manifests/"+pushed.Digest.String())
	return created(w)
}

// mediaType is the request's content type without parameters.
func mediaType(r *http.Request) string {
	header := r.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(header); err == nil {
		return media
	}
	return header
}

func created(w http.ResponseWriter) error {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
	return nil
}

func createdBlob(w http.ResponseWriter, c *call, d oci.Descriptor) error {
	w.Header().Set("Docker-Content-Digest", d.Digest.String())
	w.Header().Set("Location", "/v2/"+c.Repository+"/blobs/"+d.Digest.String())
	return created(w)
}

// mount makes another repository's blob one of this one, or begins an upload where that is not possible: it is not
// there, or the caller may not pull it from there. The two look the same.
func mount(w http.ResponseWriter, c *call) error {
	d, err := c.registry.Mount(c.ctx(), c.Repository, c.Digest, sources(c))
	switch {
	case err == nil:
		return createdBlob(w, c, d)
	case errors.Is(err, oci.ErrBlobUnknown), errors.Is(err, oci.ErrNameUnknown), errors.Is(err, oci.ErrUnsupported):
		c.Algorithm, c.Digest = c.Digest.Algorithm(), ""
		return startUpload(w, c)
	}
	return err
}

// sources are the repositories that a mount may take from; nil is every one.
func sources(c *call) []string {
	switch {
	case c.From != "" && c.grant.MayPull(c.From):
		return []string{c.From}
	case c.From == "" && c.grant.All:
		return nil
	case c.From == "" && c.grant.Pull != nil:
		return c.grant.Pull
	}
	return []string{}
}

func startUpload(w http.ResponseWriter, c *call) error {
	u, err := c.registry.StartUpload(c.ctx(), c.Repository, c.Algorithm)
	if err != nil {
		return err
	}
	if c.Digest == "" {
		return answerUpload(w, c, u.Status(), http.StatusAccepted)
	}
	// The whole blob in one request: when it fails, there is nothing to go on with.
	_, err = u.Append(c.ctx(), 0, c.http.Body)
	var d oci.Descriptor
	if err == nil {
		d, err = u.Finish(c.ctx(), c.Digest)
	}
	if err != nil {
		if cancelErr := u.Cancel(c.ctx()); cancelErr != nil && !errors.Is(cancelErr, oci.ErrBlobUploadUnknown) {
			c.config.Log.Warn("registry: cancelling an upload", "error", cancelErr)
		}
		return err
	}
	return createdBlob(w, c, d)
}

// answerUpload tells where an upload stands.
func answerUpload(w http.ResponseWriter, c *call, s oci.UploadStatus, status int) error {
	placeUploadHeaders(w, c, s)
	if status != http.StatusNoContent {
		w.Header().Set("Content-Length", "0")
	}
	w.WriteHeader(status)
	return nil
}

func placeUploadHeaders(w http.ResponseWriter, c *call, s oci.UploadStatus) {
	h := w.Header()
	h.Set("Location", "/v2/"+c.Repository+"/blobs/uploads/"+s.ID)
	h.Set("Docker-Upload-UUID", s.ID)
	// The last byte taken. Nothing taken is "0-0" too: there is no way to write it, and distribution does so.
	h.Set("Range", "0-"+strconv.FormatInt(max(s.Size-1, 0), 10))
}

func uploadStatus(w http.ResponseWriter, c *call) error {
	u, err := c.registry.Upload(c.ctx(), c.Repository, c.UploadID)
	if err != nil {
		return err
	}
	return answerUpload(w, c, u.Status(), http.StatusNoContent)
}

func appendUpload(w http.ResponseWriter, c *call) error {
	u, err := c.registry.Upload(c.ctx(), c.Repository, c.UploadID)
	if err != nil {
		return err
	}
	status, err := appendBody(w, c, u)
	if err != nil {
		return err
	}
	return answerUpload(w, c, status, http.StatusAccepted)
}

// appendBody appends the request's body. Without a Content-Range it goes where the upload stands, as Docker and
// containerd stream a whole layer.
func appendBody(w http.ResponseWriter, c *call, u oci.Upload) (oci.UploadStatus, error) {
	offset, length, err := parseContentRange(c.http.Header.Get("Content-Range"))
	if err != nil {
		placeUploadHeaders(w, c, u.Status())
		return u.Status(), err
	}
	if length >= 0 && c.http.ContentLength >= 0 && length != c.http.ContentLength {
		return u.Status(), oci.ErrSizeInvalid.With("Content-Range and Content-Length differ")
	}
	body := &bounded{reader: c.http.Body, left: length}
	status, err := u.Append(c.ctx(), offset, body)
	if errors.Is(err, oci.ErrRangeInvalid) {
		placeUploadHeaders(w, c, status)
	}
	if err == nil && body.left > 0 {
		err = oci.ErrSizeInvalid.With("the body is shorter than its Content-Range")
	}
	return status, err
}

// bounded reads no more than its Content-Range says; left is -1 when there is none.
type bounded struct {
	reader io.Reader
	left   int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return b.reader.Read(p)
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func finishUpload(w http.ResponseWriter, c *call) error {
	u, err := c.registry.Upload(c.ctx(), c.Repository, c.UploadID)
	if err != nil {
		return err
	}
	if c.http.ContentLength != 0 {
		if _, err := appendBody(w, c, u); err != nil {
			return err
		}
	}
	d, err := u.Finish(c.ctx(), c.Digest)
	if err != nil {
		return err
	}
	return createdBlob(w, c, d)
}

func cancelUpload(w http.ResponseWriter, c *call) error {
	u, err := c.registry.Upload(c.ctx(), c.Repository, c.UploadID)
	if err != nil {
		return err
	}
	if err := u.Cancel(c.ctx()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
