package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"pierhead.dev/pierhead/oci"
)

func getManifest(w http.ResponseWriter, c *call) error {
	if c.http.Method == http.MethodHead {
		d, err := c.registry.Resolve(c.ctx(), c.Repository, c.Reference)
		if err != nil {
			return err
		}
		if preconditions(w, c.http, d.Digest.String()) {
			return nil
		}
		h := w.Header()
		h.Set("Content-Type", d.MediaType)
		if d.Size >= 0 {
			h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	m, err := c.registry.Manifest(c.ctx(), c.Repository, c.Reference)
	if err != nil {
		return err
	}
	if preconditions(w, c.http, m.Digest.String()) {
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", m.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(m.Content)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(m.Content)
	return nil
}

// preconditions sets the headers that name content, and answers the request when a condition says so (RFC 9110,
// section 13). The entity tag is the digest.
func preconditions(w http.ResponseWriter, r *http.Request, digest string) (done bool) {
	tag := `"` + digest + `"`
	h := w.Header()
	h.Set("Docker-Content-Digest", digest)
	h.Set("Etag", tag)
	if match := r.Header.Get("If-Match"); match != "" && !matches(match, tag) {
		w.WriteHeader(http.StatusPreconditionFailed)
		return true
	}
	if match := r.Header.Get("If-None-Match"); match != "" && matches(match, tag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	return false
}

func matches(header, tag string) bool {
	for _, candidate := range strings.Split(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == tag {
			return true
		}
	}
	return false
}

func getBlob(w http.ResponseWriter, c *call) error {
	rangeHeader := c.http.Header.Get("Range")
	if condition := c.http.Header.Get("If-Range"); condition != "" && !matches(condition, `"`+c.Digest.String()+`"`) {
		rangeHeader = ""
	}
	if c.http.Method == http.MethodHead || rangeHeader != "" {
		d, err := statBlob(c)
		if err != nil {
			return err
		}
		if c.http.Method == http.MethodHead {
			return headBlob(w, c, d)
		}
		if d.Size >= 0 {
			return getPart(w, c, d, rangeHeader)
		}
	}
	b, err := c.registry.Blob(c.ctx(), c.Repository, c.Digest, 0, -1)
	if err != nil {
		return err
	}
	defer b.Close()
	if preconditions(w, c.http, c.Digest.String()) {
		return nil
	}
	return sendBlob(w, b, http.StatusOK)
}

// statBlob asks for a blob's size; a registry that cannot tell has it opened.
func statBlob(c *call) (oci.Descriptor, error) {
	d, err := c.registry.StatBlob(c.ctx(), c.Repository, c.Digest)
	if !errors.Is(err, oci.ErrUnsupported) {
		return d, err
	}
	b, err := c.registry.Blob(c.ctx(), c.Repository, c.Digest, 0, -1)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return b.Descriptor, b.Close()
}

func headBlob(w http.ResponseWriter, c *call, d oci.Descriptor) error {
	if preconditions(w, c.http, c.Digest.String()) {
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	if d.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func getPart(w http.ResponseWriter, c *call, d oci.Descriptor, header string) error {
	offset, length, partial, err := parseRange(header, d.Size)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", d.Size))
		return err
	}
	b, err := c.registry.Blob(c.ctx(), c.Repository, c.Digest, offset, length)
	if err != nil {
		return err
	}
	defer b.Close()
	if preconditions(w, c.http, c.Digest.String()) {
		return nil
	}
	if !partial {
		return sendBlob(w, b, http.StatusOK)
	}
	if b.Location == "" && b.Offset == offset {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, d.Size))
		return sendBlob(w, b, http.StatusPartialContent)
	}
	return sendBlob(w, b, http.StatusOK) // a redirect, or a registry that does not do parts
}

// sendBlob sends what is open. A file goes to the writer as one, for sendfile.
func sendBlob(w http.ResponseWriter, b *oci.Blob, status int) error {
	h := w.Header()
	if b.Location != "" {
		h.Set("Location", b.Location)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	if b.Length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(b.Length, 10))
	}
	w.WriteHeader(status)
	var source io.Reader = b.Body
	if b.File != nil {
		source = b.File
	}
	if b.Length >= 0 {
		source = &io.LimitedReader{R: source, N: b.Length}
	}
	n, err := io.Copy(w, source)
	if err == nil && b.Length >= 0 && n != b.Length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		// The status is out; only a broken connection tells the client that this is not all.
		panic(http.ErrAbortHandler)
	}
	return nil
}
