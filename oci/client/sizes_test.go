package client_test

import (
	"errors"
	"net/http"
	"testing"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

func endless(w http.ResponseWriter, piece []byte) {
	for _, err := w.Write(piece); err == nil; _, err = w.Write(piece) {
	}
}

// A manifest that was read says how long its blobs are: one that never ends had filled the disk of whoever pulled, at full
// speed, since only its digest could have been wrong.
func TestBlobsAreAsLongAsTheManifestSays(t *testing.T) {
	for name, test := range map[string]struct {
		send func(f *fixture, w http.ResponseWriter)
		kind error
	}{
		"right, of a length that is not told": {func(f *fixture, w http.ResponseWriter) { w.(http.Flusher).Flush(); w.Write(f.layer) }, nil},
		"right, and more that nobody wants":   {func(f *fixture, w http.ResponseWriter) { endless(w, f.layer) }, nil},
		"wrong, without an end":               {func(f *fixture, w http.ResponseWriter) { endless(w, []byte("x")) }, oci.ErrDigestInvalid},
		"of another length": {func(f *fixture, w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000000000")
			w.Write(f.layer)
		}, oci.ErrDigestInvalid},
	} {
		f := newFixture(t)
		f.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isBlob(r) {
				test.send(f, w)
				return
			}
			f.inner.ServeHTTP(w, r)
		}))
		read := f.client(egress.Rules{})
		if _, err := read.Manifest(t.Context(), repo, "v1"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client.Client{read, read.Anonymous()} {
			got, err := blob(t, c, f.blob, 0, -1)
			if test.kind == nil && (err != nil || got != string(f.layer)) || test.kind != nil && (!errors.Is(err, test.kind) || len(got) > len(f.layer)) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
}
