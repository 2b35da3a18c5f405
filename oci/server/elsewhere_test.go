package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/server"
)

// stream is a registry elsewhere: it has blobs as streams only, and cannot stat.
type stream struct {
	content  string
	location string
	fail     error // of Manifest
	cut      bool  // the stream breaks off
}

func (s stream) Resolve(ctx context.Context, repository, reference string) (oci.Descriptor, error) {
	m, err := s.Manifest(ctx, repository, reference)
	return oci.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}, err
}

func (s stream) Manifest(_ context.Context, repository, reference string) (oci.Manifest, error) {
	content := []byte(repository + " " + reference)
	return oci.Manifest{MediaType: "application/vnd.oci.image.index.v1+json", Digest: digest.FromBytes(content), Content: content}, s.fail
}

func (s stream) Blob(_ context.Context, _ string, d digest.Digest, offset, length int64) (*oci.Blob, error) {
	size := int64(len(s.content))
	if s.location != "" {
		return &oci.Blob{Descriptor: oci.Descriptor{Digest: d, Size: size}, Location: s.location}, nil
	}
	if length < 0 {
		length = size - offset
	}
	var body io.Reader = strings.NewReader(s.content[offset : offset+length])
	if s.cut {
		body = io.LimitReader(body, length/2)
	}
	return &oci.Blob{Descriptor: oci.Descriptor{Digest: d, Size: size}, Offset: offset, Length: length, Body: io.NopCloser(body)}, nil
}

// basic is what a node's own end-point has: one name and password for one execution.
type basic struct{}

func (basic) Authorize(r *http.Request, _ server.Request) (server.Grant, error) {
	if user, password, ok := r.BasicAuth(); !ok || user != "execution" || password != "secret" {
		return server.Grant{}, &server.Refusal{Err: oci.ErrUnauthorized, Challenge: `Basic realm="pierhead"`}
	}
	return server.Grant{Caller: "execution"}, nil
}

// Any reader is served read-only, under any authorizer, chosen for each request.
func TestReadOnlyElsewhere(t *testing.T) {
	remotes := map[string]stream{
		"127.0.0.1_5000": {content: "a layer from elsewhere"},
		"docker.io":      {location: "https://storage.example.com/layer?signature=x"},
		"cut.example":    {content: strings.Repeat("x", 1<<20), cut: true},
		"no.example":     {fail: oci.ErrUnauthorized},
		"bad.example":    {fail: errors.New("dial tcp 10.0.0.7:443: secret internals")},
	}
	log := &bytes.Buffer{}
	f := fixture{Server: serve(t, server.Config{
		Authorizer: basic{},
		Open: func(_ *http.Request, q server.Request, g server.Grant) (oci.Registry, error) {
			host, _, _ := strings.Cut(q.Repository, "/")
			remote, ok := remotes[host]
			if !ok || g.Caller != "execution" {
				return nil, oci.ErrNameUnknown
			}
			return oci.ReadOnly(remote), nil
		},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})}
	login := []string{"Authorization", "Basic ZXhlY3V0aW9uOnNlY3JldA=="}
	d := digest.FromString("a layer from elsewhere").String()
	for _, test := range []struct {
		method, path string
		header       []string
		status       int
		body         string
	}{
		{"GET", "/v2/127.0.0.1_5000/team/app/manifests/v1", nil, 401, ""},
		{"GET", "/v2/127.0.0.1_5000/team/app/manifests/v1", login, 200, "127.0.0.1_5000/team/app v1"},
		{"HEAD", "/v2/127.0.0.1_5000/team/app/blobs/" + d, login, 200, ""},
		{"GET", "/v2/127.0.0.1_5000/team/app/blobs/" + d, login, 200, "a layer from elsewhere"},
		{"GET", "/v2/127.0.0.1_5000/team/app/blobs/" + d, append([]string{"Range", "bytes=2-6"}, login...), 206, "layer"},
		{"GET", "/v2/docker.io/library/alpine/blobs/" + d, login, 307, ""},
		{"GET", "/v2/nowhere/app/manifests/v1", login, 404, ""},
		{"GET", "/v2/127.0.0.1_5000/app/referrers/" + d, login, 404, ""}, // clients look at the tag then
		{"GET", "/v2/127.0.0.1_5000/app/tags/list", login, 405, ""},
		{"PUT", "/v2/127.0.0.1_5000/app/manifests/v1", login, 405, ""},
		{"POST", "/v2/127.0.0.1_5000/app/blobs/uploads/", login, 405, ""},
		{"POST", "/v2/127.0.0.1_5000/app/blobs/uploads/?mount=" + d, login, 405, ""},
		{"DELETE", "/v2/127.0.0.1_5000/app/manifests/v1", login, 405, ""},
		{"GET", "/v2/no.example/app/manifests/v1", login, 403, ""}, // the client's own login was good
		{"GET", "/v2/bad.example/app/manifests/v1", login, 500, ""},
	} {
		got := f.do(t, test.method, test.path, "", test.header...)
		if got.status != test.status || test.body != "" && got.body != test.body {
			t.Errorf("%s %s: %d %q", test.method, test.path, got.status, got.body)
		}
		if (got.status == 401) != (got.header.Get("WWW-Authenticate") == `Basic realm="pierhead"`) {
			t.Errorf("%s %s: %v", test.method, test.path, got.header)
		}
		if got.status == 500 && (strings.Contains(got.body, "10.0.0.7") || !strings.Contains(got.body, `"UNKNOWN"`)) {
			t.Errorf("internals in %q", got.body)
		}
	}
	if !strings.Contains(log.String(), "10.0.0.7") {
		t.Errorf("the log does not have it: %s", log)
	}
	// A stream that breaks off breaks the connection: the client must not take it for all.
	r, _ := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/v2/cut.example/app/blobs/"+d, nil)
	r.Header.Set(login[0], login[1])
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("%d bytes and no error", n)
	}
}
