package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/oci"
)

// wire is a registry over HTTP, written from the specification and nothing else: the conformance tests run through it.
type wire struct {
	base  string // "http://127.0.0.1:1234"
	token string
}

var _ oci.Registry = wire{}

// wireErrors are the errors that a client can tell apart, by code and status.
var wireErrors = []*oci.Error{
	oci.ErrBlobUnknown, oci.ErrBlobUploadInvalid, oci.ErrBlobUploadUnknown, oci.ErrDigestInvalid, oci.ErrManifestBlobUnknown,
	oci.ErrManifestInvalid, oci.ErrManifestUnknown, oci.ErrNameInvalid, oci.ErrNameUnknown, oci.ErrSizeInvalid, oci.ErrUnauthorized,
	oci.ErrDenied, oci.ErrUnsupported, oci.ErrTooManyRequests, oci.ErrRangeInvalid, oci.ErrUnavailable, oci.ErrTagInvalid,
	oci.ErrPageInvalid, oci.ErrManifestTooLarge, oci.ErrBlobTooLarge, oci.ErrUploadBusy, oci.ErrFull,
}

type request struct {
	method, path string
	header       map[string]string
	body         io.Reader
	want         int
}

func (w wire) do(ctx context.Context, q request) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, w.base+q.path, q.body)
	if err != nil {
		return nil, err
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == q.want {
		return response, nil
	}
	defer response.Body.Close()
	return nil, failure(q, response)
}

func failure(q request, response *http.Response) error {
	if q.method == http.MethodHead && response.StatusCode == http.StatusNotFound {
		if strings.Contains(q.path, "/blobs/") {
			return oci.ErrBlobUnknown
		}
		return oci.ErrManifestUnknown
	}
	var body struct {
		Errors []struct{ Code, Message, Detail string }
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &body); err != nil || len(body.Errors) != 1 {
		return fmt.Errorf("%s %s: %s with a body that is no error: %q", q.method, q.path, response.Status, data)
	}
	for _, known := range wireErrors {
		if known.Code == body.Errors[0].Code && known.Status == response.StatusCode {
			return known.With(body.Errors[0].Detail)
		}
	}
	return fmt.Errorf("%s %s: %s %+v", q.method, q.path, response.Status, body)
}

// call is do for answers whose body does not matter.
func (w wire) call(ctx context.Context, q request) (http.Header, error) {
	response, err := w.do(ctx, q)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.Header, err
}

func (w wire) get(ctx context.Context, path string, v any) (http.Header, error) {
	response, err := w.do(ctx, request{method: "GET", path: path, want: 200})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return response.Header, json.NewDecoder(response.Body).Decode(v)
}

func (w wire) Resolve(ctx context.Context, repository, reference string) (oci.Descriptor, error) {
	response, err := w.do(ctx, request{method: "HEAD", path: "/v2/" + repository + "/manifests/" + reference, want: 200})
	if err != nil {
		return oci.Descriptor{}, err
	}
	response.Body.Close()
	d := digest.Digest(response.Header.Get("Docker-Content-Digest"))
	return oci.Descriptor{MediaType: response.Header.Get("Content-Type"), Digest: d, Size: response.ContentLength}, nil
}

func (w wire) Manifest(ctx context.Context, repository, reference string) (oci.Manifest, error) {
	response, err := w.do(ctx, request{method: "GET", path: "/v2/" + repository + "/manifests/" + reference, want: 200})
	if err != nil {
		return oci.Manifest{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	d := digest.Digest(response.Header.Get("Docker-Content-Digest"))
	return oci.Manifest{MediaType: response.Header.Get("Content-Type"), Digest: d, Content: content}, err
}

func (w wire) Blob(ctx context.Context, repository string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	q := request{method: "GET", path: "/v2/" + repository + "/blobs/" + d.String(), want: 200}
	if offset > 0 || length >= 0 {
		q.want = 206
		q.header = map[string]string{"Range": fmt.Sprintf("bytes=%d-", offset)}
		if length >= 0 {
			q.header["Range"] += strconv.FormatInt(offset+length-1, 10)
		}
	}
	response, err := w.do(ctx, q)
	if err != nil {
		return nil, err
	}
	size := response.ContentLength
	if total := response.Header.Get("Content-Range"); total != "" {
		_, text, _ := strings.Cut(total, "/")
		if size, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, err
		}
	}
	return &oci.Blob{Descriptor: oci.Descriptor{Digest: d, Size: size}, Offset: offset, Length: response.ContentLength, Body: response.Body}, nil
}

func (w wire) StatBlob(ctx context.Context, repository string, d digest.Digest) (oci.Descriptor, error) {
	response, err := w.do(ctx, request{method: "HEAD", path: "/v2/" + repository + "/blobs/" + d.String(), want: 200})
	if err != nil {
		return oci.Descriptor{}, err
	}
	response.Body.Close()
	return oci.Descriptor{Digest: digest.Digest(response.Header.Get("Docker-Content-Digest")), Size: response.ContentLength}, nil
}

// PutManifest pushes by digest with tags as parameters, as only that gives several at once, unless there is one tag.
func (w wire) PutManifest(ctx context.Context, repository string, m oci.Manifest, tags []string) (oci.Pushed, error) {
	d := m.Digest
	if d == "" {
		d = digest.FromBytes(m.Content)
	}
	path := "/v2/" + repository + "/manifests/" + d.String() + "?" + url.Values{"tag": tags}.Encode()
	if len(tags) == 1 && m.Digest == "" {
		path = "/v2/" + repository + "/manifests/" + tags[0]
	}
	header, err := w.call(ctx, request{method: "PUT", path: path, header: map[string]string{"Content-Type": m.MediaType}, body: bytes.NewReader(m.Content), want: 201})
	if err != nil {
		return oci.Pushed{}, err
	}
	pushed := oci.Pushed{Digest: digest.Digest(header.Get("Docker-Content-Digest")), Subject: digest.Digest(header.Get("OCI-Subject")), Tags: tags}
	if strings.Contains(path, "?tag=") {
		pushed.Tags = strings.Split(header.Get("OCI-Tag"), ", ")
	}
	return pushed, nil
}

func (w wire) Mount(ctx context.Context, repository string, d digest.Digest, from []string) (oci.Descriptor, error) {
	query := url.Values{"mount": {d.String()}}
	if from != nil {
		query.Set("from", "acme/nowhere")
		if len(from) > 0 {
			query.Set("from", from[0])
		}
	}
	header, err := w.call(ctx, request{method: "POST", path: "/v2/" + repository + "/blobs/uploads/?" + query.Encode(), want: 201})
	if err != nil && strings.Contains(err.Error(), "202 Accepted") {
		return oci.Descriptor{}, oci.ErrBlobUnknown
	}
	return oci.Descriptor{Digest: digest.Digest(header.Get("Docker-Content-Digest"))}, err
}

func (w wire) StartUpload(ctx context.Context, repository string, algorithm digest.Algorithm) (oci.Upload, error) {
	path := "/v2/" + repository + "/blobs/uploads/"
	if algorithm != "" {
		path += "?digest-algorithm=" + algorithm.String()
	}
	header, err := w.call(ctx, request{method: "POST", path: path, want: 202})
	if err != nil {
		return nil, err
	}
	u := &wireUpload{wire: w}
	return u, u.read(header)
}

func (w wire) Upload(ctx context.Context, repository, id string) (oci.Upload, error) {
	header, err := w.call(ctx, request{method: "GET", path: "/v2/" + repository + "/blobs/uploads/" + id, want: 204})
	if err != nil {
		return nil, err
	}
	u := &wireUpload{wire: w}
	return u, u.read(header)
}

type wireUpload struct {
	wire     wire
	location string
	status   oci.UploadStatus
}

func (u *wireUpload) read(header http.Header) error {
	u.location, u.status.ID = header.Get("Location"), header.Get("Docker-Upload-UUID")
	last, ok := strings.CutPrefix(header.Get("Range"), "0-")
	n, err := strconv.ParseInt(last, 10, 64)
	if !ok || err != nil || u.location == "" {
		return fmt.Errorf("upload headers %v", header)
	}
	if u.status.Size = n + 1; n == 0 {
		u.status.Size = 0 // no test has an upload of one byte
	}
	return nil
}

func (u *wireUpload) Status() oci.UploadStatus { return u.status }

func (u *wireUpload) Append(ctx context.Context, offset int64, r io.Reader) (oci.UploadStatus, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return u.status, err
	}
	header := map[string]string{"Content-Type": "application/octet-stream"}
	if offset >= 0 && len(data) > 0 {
		header["Content-Range"] = fmt.Sprintf("%d-%d", offset, offset+int64(len(data))-1)
	}
	answer, err := u.wire.call(ctx, request{method: "PATCH", path: u.location, header: header, body: bytes.NewReader(data), want: 202})
	if err != nil {
		return u.status, err
	}
	return u.status, u.read(answer)
}

func (u *wireUpload) Finish(ctx context.Context, d digest.Digest) (oci.Descriptor, error) {
	header, err := u.wire.call(ctx, request{method: "PUT", path: u.location + "?digest=" + url.QueryEscape(d.String()), want: 201})
	return oci.Descriptor{Digest: digest.Digest(header.Get("Docker-Content-Digest"))}, err
}

func (u *wireUpload) Cancel(ctx context.Context) error {
	_, err := u.wire.call(ctx, request{method: "DELETE", path: u.location, want: 204})
	return err
}

func (w wire) Tags(ctx context.Context, repository string, page oci.Page) (oci.List, error) {
	var body struct {
		Name string
		Tags []string
	}
	header, err := w.get(ctx, "/v2/"+repository+"/tags/list?"+pageQuery(page), &body)
	if err == nil && body.Name != repository {
		err = fmt.Errorf("tags of %q", body.Name)
	}
	return oci.List{Names: body.Tags, More: header.Get("Link") != ""}, err
}

func (w wire) Repositories(ctx context.Context, page oci.Page) (oci.List, error) {
	var body struct{ Repositories []string }
	header, err := w.get(ctx, "/v2/_catalog?"+pageQuery(page), &body)
	return oci.List{Names: body.Repositories, More: header.Get("Link") != ""}, err
}

func pageQuery(page oci.Page) string {
	query := url.Values{}
	if page.N != oci.All {
		query.Set("n", strconv.Itoa(page.N))
	}
	if page.Last != "" {
		query.Set("last", page.Last)
	}
	return query.Encode()
}

func (w wire) Referrers(ctx context.Context, repository string, d digest.Digest, filter oci.ReferrerFilter) (oci.Referrers, error) {
	var index v1.Index
	query := url.Values{"artifactType": {filter.ArtifactType}, "last": {filter.Last.String()}}
	header, err := w.get(ctx, "/v2/"+repository+"/referrers/"+d.String()+"?"+query.Encode(), &index)
	found := oci.Referrers{Filtered: header.Get("OCI-Filters-Applied") == "artifactType", More: header.Get("Link") != ""}
	for _, m := range index.Manifests {
		found.Referrers = append(found.Referrers, oci.Referrer{
			Descriptor:   oci.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size},
			ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		})
	}
	return found, err
}

func (w wire) DeleteTag(ctx context.Context, repository, tag string) error {
	return w.delete(ctx, repository, "manifests/"+tag)
}

func (w wire) DeleteManifest(ctx context.Context, repository string, d digest.Digest) error {
	return w.delete(ctx, repository, "manifests/"+d.String())
}

func (w wire) DeleteBlob(ctx context.Context, repository string, d digest.Digest) error {
	return w.delete(ctx, repository, "blobs/"+d.String())
}

func (w wire) delete(ctx context.Context, repository, what string) error {
	_, err := w.call(ctx, request{method: "DELETE", path: "/v2/" + repository + "/" + what, want: 202})
	return err
}
