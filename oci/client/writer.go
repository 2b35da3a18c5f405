package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

var (
	_ oci.Writer   = (*Client)(nil)
	_ oci.Uploader = (*Client)(nil)
)

// PutManifest implements oci.Writer, but for one thing that no registry can be asked for: with several tags, those that
// were put before an error stay.
func (c *Client) PutManifest(ctx context.Context, repository string, m oci.Manifest, tags []string) (oci.Pushed, error) {
	if err := checkRepository(repository); err != nil {
		return oci.Pushed{}, err
	}
	if len(m.Content) > MaxManifest {
		return oci.Pushed{}, oci.ErrManifestTooLarge
	}
	d := m.Digest
	if d == "" {
		d = digest.FromBytes(m.Content)
	}
	if _, err := oci.ParseDigest(d.String()); err != nil || d.Algorithm().FromBytes(m.Content) != d {
		return oci.Pushed{}, oci.ErrDigestInvalid
	}
	for _, tag := range tags {
		if !oci.ValidTag(tag) {
			return oci.Pushed{}, oci.ErrTagInvalid
		}
	}
	out := oci.Pushed{Digest: d, Tags: tags}
	references := tags
	query := url.Values{}
	if len(tags) == 0 || d.Algorithm() != digest.SHA256 {
		// A registry gives a manifest put by its tag a sha256 digest; the others go with the digest, where it can that.
		references = []string{d.String()}
		query = url.Values{"tag": tags}
	}
	for _, reference := range references {
		subject, err := c.putManifest(ctx, repository, reference, query, m, d)
		if err != nil {
			return oci.Pushed{}, err
		}
		out.Subject = subject
	}
	return out, nil
}

// putManifest returns the subject that the registry says it lists the manifest under.
func (c *Client) putManifest(ctx context.Context, repository, reference string, query url.Values, m oci.Manifest, d digest.Digest) (digest.Digest, error) {
	k := c.manifestCall(http.MethodPut, repository, reference)
	k.url.RawQuery = query.Encode()
	k.header = http.Header{"Content-Type": {m.MediaType}}
	k.purpose = purpose{repository, push}
	k.body, k.length = replay(m.Content), int64(len(m.Content))
	r, err := c.do(ctx, k)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	if told, err := oci.ParseDigest(r.Header.Get("Docker-Content-Digest")); err == nil && told.Algorithm() == d.Algorithm() && told != d {
		return "", contentError(k, r, oci.ErrDigestInvalid, "the registry stored "+told.String()+" and not "+d.String())
	}
	if len(query["tag"]) > 0 && r.Header.Get("OCI-Tag") == "" {
		return "", contentError(k, r, oci.ErrUnsupported, "the registry gives no tags to a manifest with a "+d.Algorithm().String()+" digest")
	}
	subject, err := oci.ParseDigest(r.Header.Get("OCI-Subject"))
	if err != nil {
		return "", nil
	}
	return subject, nil
}

func replay(content []byte) bodyFunc {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

func (c *Client) uploadCall(method, repository string, u *url.URL) call {
	return call{
		operation: fmt.Sprintf("upload to %s/%s", c.host, repository), about: aboutUpload,
		method: method, url: u, purpose: purpose{repository, push},
	}
}

// Mount implements oci.Writer. A registry that cannot begins an upload instead, which is cancelled again.
func (c *Client) Mount(ctx context.Context, repository string, d digest.Digest, from []string) (oci.Descriptor, error) {
	if err := checkBlob(repository, d); err != nil {
		return oci.Descriptor{}, err
	}
	if from == nil {
		from = []string{""}
	}
	for _, source := range from {
		query := url.Values{"mount": {d.String()}}
		if source != "" {
			if err := checkRepository(source); err != nil {
				return oci.Descriptor{}, err
			}
			query.Set("from", source)
		}
		mounted, err := c.mount(ctx, repository, query)
		if err != nil {
			return oci.Descriptor{}, err
		}
		if mounted {
			return oci.Descriptor{MediaType: octets, Digest: d, Size: -1}, nil
		}
	}
	return oci.Descriptor{}, oci.ErrBlobUnknown
}

func (c *Client) mount(ctx context.Context, repository string, query url.Values) (bool, error) {
	u, status, err := c.startUpload(ctx, repository, query)
	if err != nil || status == http.StatusCreated {
		return err == nil, err
	}
	_ = u.Cancel(ctx) // it is forgotten in time anyway
	return false, nil
}

// StartUpload implements oci.Uploader.
func (c *Client) StartUpload(ctx context.Context, repository string, algorithm digest.Algorithm) (oci.Upload, error) {
	if err := checkRepository(repository); err != nil {
		return nil, err
	}
	query := url.Values{}
	if algorithm != "" && algorithm != digest.SHA256 {
		query.Set("digest-algorithm", algorithm.String())
	}
	u, _, err := c.startUpload(ctx, repository, query)
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (c *Client) startUpload(ctx context.Context, repository string, query url.Values) (*upload, int, error) {
	at := c.at(repository + "/blobs/uploads/")
	at.RawQuery = query.Encode()
	k := c.uploadCall(http.MethodPost, repository, at)
	k.about = aboutName
	k.body, k.length = replay(nil), 0
	r, err := c.do(ctx, k)
	if err != nil {
		return nil, 0, err
	}
	defer r.Body.Close()
	u := &upload{client: c, repository: repository}
	if r.Status == http.StatusCreated && query.Has("mount") {
		return u, r.Status, nil
	}
	return u, http.StatusAccepted, u.moveTo(k, r)
}

var uploadID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Upload implements oci.Uploader, for registries whose uploads are at /blobs/uploads/<id>, as most have them.
func (c *Client) Upload(ctx context.Context, repository, id string) (oci.Upload, error) {
	if err := checkRepository(repository); err != nil {
		return nil, err
	}
	if !uploadID.MatchString(id) {
		return nil, oci.ErrBlobUploadUnknown
	}
	u := &upload{client: c, repository: repository, id: id, location: c.at(repository + "/blobs/uploads/" + id)}
	if err := u.ask(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// PushBlob uploads a blob that is not there yet. open is called again when the blob must be sent again.
func (c *Client) PushBlob(ctx context.Context, repository string, d oci.Descriptor, open func() (io.ReadCloser, error)) error {
	_, err := c.StatBlob(ctx, repository, d.Digest)
	if err == nil || !(errors.Is(err, oci.ErrBlobUnknown) || errors.Is(err, oci.ErrNameUnknown)) {
		return err
	}
	started, _, err := c.startUpload(ctx, repository, nil)
	if err != nil {
		return err
	}
	_, err = started.finish(ctx, d.Digest, open, d.Size)
	return err
}

// An upload is where the registry said to send a blob: perhaps at another host, which then gets no login.
type upload struct {
	client     *Client
	repository string
	location   *url.URL
	id         string
	size       int64
	over       bool
}

// moveTo takes the address from an answer. It may change with each.
func (u *upload) moveTo(k call, r *egress.Response) error {
	next, err := r.URL.Parse(r.Header.Get("Location"))
	if err != nil || r.Header.Get("Location") == "" {
		return contentError(k, r, oci.ErrUnavailable, "the registry does not say where to upload to")
	}
	u.location = next
	if id := r.Header.Get("Docker-Upload-UUID"); uploadID.MatchString(id) {
		u.id = id
	} else if i := strings.LastIndexByte(next.Path, '/'); u.id == "" && uploadID.MatchString(next.Path[i+1:]) {
		u.id = next.Path[i+1:]
	}
	return nil
}

// Status implements oci.Upload.
func (u *upload) Status() oci.UploadStatus { return oci.UploadStatus{ID: u.id, Size: u.size} }

// Append implements oci.Upload. What cannot be read twice is sent once, so it follows StartUpload soon, while its token
// is new; a reader that can seek is sent again where that is needed.
func (u *upload) Append(ctx context.Context, offset int64, r io.Reader) (oci.UploadStatus, error) {
	if u.over {
		return u.Status(), oci.ErrBlobUploadUnknown
	}
	if offset != -1 && offset != u.size {
		return u.Status(), oci.ErrRangeInvalid
	}
	k := u.client.uploadCall(http.MethodPatch, u.repository, u.location)
	k.header = http.Header{"Content-Type": {octets}}
	counted := &counter{source: r}
	k.body, k.length = counted.open, lengthOf(r)
	answer, err := u.client.do(ctx, k)
	if err != nil {
		u.over = errors.Is(err, oci.ErrBlobUploadUnknown)
		if !u.over {
			_ = u.ask(context.WithoutCancel(ctx)) // how much of it came
		}
		return u.Status(), err
	}
	defer answer.Body.Close()
	u.size += counted.n
	return u.Status(), u.moveTo(k, answer)
}

// ask learns how far the upload is.
func (u *upload) ask(ctx context.Context) error {
	k := u.client.uploadCall(http.MethodGet, u.repository, u.location)
	k.idempotent = true
	r, err := u.client.do(ctx, k)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var last int64
	// "0-0" is nothing, or one byte: there is no way to write nothing.
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "0-%d", &last); err == nil && (last > 0 || u.size > 0) {
		u.size = last + 1
	}
	if r.Header.Get("Location") == "" {
		return nil
	}
	return u.moveTo(k, r)
}

// Finish implements oci.Upload.
func (u *upload) Finish(ctx context.Context, d digest.Digest) (oci.Descriptor, error) {
	return u.finish(ctx, d, replay(nil), 0)
}

// finish sends the rest, and says what the whole should be.
func (u *upload) finish(ctx context.Context, d digest.Digest, open bodyFunc, length int64) (oci.Descriptor, error) {
	if u.over {
		return oci.Descriptor{}, oci.ErrBlobUploadUnknown
	}
	if _, err := oci.ParseDigest(d.String()); err != nil {
		return oci.Descriptor{}, err
	}
	at := *u.location
	query := "digest=" + url.QueryEscape(d.String())
	if at.RawQuery != "" {
		query = at.RawQuery + "&" + query // as it came: it may be signed
	}
	at.RawQuery = query
	k := u.client.uploadCall(http.MethodPut, u.repository, &at)
	k.header = http.Header{"Content-Type": {octets}}
	k.body, k.length = open, length
	r, err := u.client.do(ctx, k)
	if err != nil {
		u.over = errors.Is(err, oci.ErrDigestInvalid) || errors.Is(err, oci.ErrBlobUploadUnknown)
		return oci.Descriptor{}, err
	}
	defer r.Body.Close()
	u.over = true
	if told, err := oci.ParseDigest(r.Header.Get("Docker-Content-Digest")); err == nil && told.Algorithm() == d.Algorithm() && told != d {
		return oci.Descriptor{}, contentError(k, r, oci.ErrDigestInvalid, "the registry stored "+told.String()+" and not "+d.String())
	}
	return oci.Descriptor{MediaType: octets, Digest: d, Size: u.size + max(length, 0)}, nil
}

// Cancel implements oci.Upload.
func (u *upload) Cancel(ctx context.Context) error {
	if u.over {
		return oci.ErrBlobUploadUnknown
	}
	u.over = true
	r, err := u.client.do(ctx, u.client.uploadCall(http.MethodDelete, u.repository, u.location))
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// A counter hands out a reader once, and again only if it can be rewound.
type counter struct {
	source io.Reader
	n      int64
	opened bool
}

var errSentOnce = errors.New("what was to be uploaded cannot be read again")

func (c *counter) open() (io.ReadCloser, error) {
	if c.opened {
		s, ok := c.source.(io.Seeker)
		if !ok {
			return nil, errSentOnce
		}
		if _, err := s.Seek(-c.n, io.SeekCurrent); err != nil {
			return nil, errSentOnce
		}
	}
	c.opened, c.n = true, 0
	return io.NopCloser(c), nil
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.n += int64(n)
	return n, err
}

// lengthOf is known of readers in memory; some registries want it.
func lengthOf(r io.Reader) int64 {
	if l, ok := r.(interface{ Len() int }); ok {
		return int64(l.Len())
	}
	return -1
}

// sortedNames are names in the order of their bytes, each once.
func sortedNames(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
