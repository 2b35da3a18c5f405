package ocitest

import (
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

func testUpload(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	u, err := r.StartUpload(ctx, repo, "")
	if err != nil {
		t.Fatal(err)
	}
	id := u.Status().ID
	d := digest.FromString("onetwothree")
	for i, part := range []string{"one", "two", "three"} {
		if u, err = r.Upload(ctx, repo, id); err != nil {
			t.Fatal(err)
		}
		offset := u.Status().Size
		_, err := u.Append(ctx, offset+1, strings.NewReader("x"))
		want(t, err, oci.ErrRangeInvalid)
		if i == 1 {
			offset = -1
		}
		status, err := u.Append(ctx, offset, strings.NewReader(part))
		if err != nil || status.Size != int64(len("onetwothree"[:3*i]))+int64(len(part)) {
			t.Fatalf("Append: %+v, %v", status, err)
		}
		_, err = r.Blob(ctx, repo, d, 0, -1)
		wantOne(t, err, oci.ErrBlobUnknown, oci.ErrNameUnknown)
	}
	if got, err := u.Finish(ctx, d); err != nil || got.Digest != d {
		t.Fatalf("Finish: %+v, %v", got, err)
	}
	holds(t, r, repo, "onetwothree")
	_, err = r.Upload(ctx, repo, id)
	want(t, err, oci.ErrBlobUploadUnknown)
	Blob(t, r, repo, "") // an empty one too
	holds(t, r, repo, "")
}

func testUploadWrongDigest(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	u, err := r.StartUpload(ctx, repo, digest.SHA256)
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader("content"))
	}
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromString("other content")
	_, err = u.Finish(ctx, d)
	want(t, err, oci.ErrDigestInvalid)
	_, err = r.Blob(ctx, repo, d, 0, -1)
	wantOne(t, err, oci.ErrBlobUnknown, oci.ErrNameUnknown)
}

func testUploadCancel(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	u, err := r.StartUpload(ctx, repo, "")
	if err != nil {
		t.Fatal(err)
	}
	want(t, u.Cancel(ctx), nil)
	_, err = r.Upload(ctx, repo, u.Status().ID)
	want(t, err, oci.ErrBlobUploadUnknown)
	want(t, u.Cancel(ctx), oci.ErrBlobUploadUnknown)
}

func testOthersUploads(t *testing.T, r oci.Registry) {
	u, err := r.StartUpload(t.Context(), repo, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Upload(t.Context(), "other/repository", u.Status().ID)
	want(t, err, oci.ErrBlobUploadUnknown)
}

func testBlobParts(t *testing.T, r oci.Registry) {
	const content = "0123456789"
	d := Blob(t, r, repo, content)
	for _, part := range []struct {
		offset, length int64
		want           string
	}{{0, -1, content}, {3, -1, "3456789"}, {3, 4, "3456"}, {0, 1, "0"}, {9, 100, "9"}} {
		b, err := r.Blob(t.Context(), repo, d, part.offset, part.length)
		if err != nil {
			t.Errorf("%+v: %v", part, err)
			continue
		}
		got, err := io.ReadAll(b.Body)
		if err != nil || string(got) != part.want || b.Offset != part.offset || b.Size != 10 || b.Length != int64(len(part.want)) {
			t.Errorf("%+v: %q, %v; %+v", part, got, err, b)
		}
		b.Close()
	}
}

func testMount(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	d := Blob(t, r, "acme/source", "layer")
	for _, from := range [][]string{{}, {"acme/empty"}, {"acme/target"}} {
		_, err := r.Mount(ctx, "acme/target", d, from)
		want(t, err, oci.ErrBlobUnknown)
	}
	if got, err := r.Mount(ctx, "acme/target", d, []string{"acme/source"}); err != nil || got.Digest != d {
		t.Fatalf("Mount: %+v, %v", got, err)
	}
	holds(t, r, "acme/target", "layer")
	if _, err := r.Mount(ctx, "acme/anywhere", d, nil); err != nil {
		t.Error(err)
	}
	want(t, r.DeleteBlob(ctx, "acme/source", d), nil)
	holds(t, r, "acme/target", "layer")
	holds(t, r, "acme/anywhere", "layer")
}
