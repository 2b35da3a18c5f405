package ocitest

import (
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// TestReader is what every oci.Reader must do. Open returns a reader, and a registry that fills what it reads; both are
// new and empty each time.
func TestReader(t *testing.T, open func(t *testing.T) (oci.Reader, oci.Registry)) {
	t.Run("Manifest", func(t *testing.T) { r, w := open(t); testReadManifest(t, r, w) })
	t.Run("Blob", func(t *testing.T) { r, w := open(t); testReadBlob(t, r, w) })
	t.Run("Unknown", func(t *testing.T) { r, w := open(t); testReadUnknown(t, r, w) })
}

func testReadManifest(t *testing.T, r oci.Reader, w oci.Registry) {
	m := Image(t, w, repo, "layer")
	put(t, w, repo, m, "v1")
	index := Index(m)
	put(t, w, repo, index, "multi")
	for reference, want := range map[string]oci.Manifest{
		"v1": m, digest.FromBytes(m.Content).String(): m, "multi": index, digest.FromBytes(index.Content).String(): index,
	} {
		d := digest.FromBytes(want.Content)
		got, err := r.Manifest(t.Context(), repo, reference)
		if err != nil || string(got.Content) != string(want.Content) || got.MediaType != want.MediaType || got.Digest != d {
			t.Errorf("Manifest %s: %+v, %v", reference, got, err)
		}
		resolved, err := r.Resolve(t.Context(), repo, reference)
		if err != nil || resolved != (oci.Descriptor{MediaType: want.MediaType, Digest: d, Size: int64(len(want.Content))}) {
			t.Errorf("Resolve %s: %+v, %v", reference, resolved, err)
		}
	}
}

func testReadBlob(t *testing.T, r oci.Reader, w oci.Registry) {
	const content = "0123456789"
	d := Blob(t, w, repo, content)
	for _, part := range []struct {
		offset, length int64
		want           string
	}{{0, -1, content}, {3, -1, "3456789"}, {3, 4, "3456"}} {
		b, err := r.Blob(t.Context(), repo, d, part.offset, part.length)
		if err != nil {
			t.Errorf("%+v: %v", part, err)
			continue
		}
		got, err := io.ReadAll(b.Body)
		if err != nil || string(got) != part.want || b.Offset != part.offset {
			t.Errorf("%+v: %q, %v; %+v", part, got, err, b)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if s, ok := r.(oci.BlobStater); ok {
		if got, err := s.StatBlob(t.Context(), repo, d); err != nil || got.Size != int64(len(content)) || got.Digest != d {
			t.Errorf("StatBlob: %+v, %v", got, err)
		}
	}
}

func testReadUnknown(t *testing.T, r oci.Reader, w oci.Registry) {
	Blob(t, w, repo, "something")
	d := digest.FromString("nothing")
	_, err := r.Manifest(t.Context(), repo, "v1")
	want(t, err, oci.ErrManifestUnknown)
	_, err = r.Resolve(t.Context(), repo, d.String())
	want(t, err, oci.ErrManifestUnknown)
	_, err = r.Blob(t.Context(), repo, d, 0, -1)
	want(t, err, oci.ErrBlobUnknown)
	_, err = r.Manifest(t.Context(), "no/such", "v1")
	wantOne(t, err, oci.ErrNameUnknown, oci.ErrManifestUnknown)
}
