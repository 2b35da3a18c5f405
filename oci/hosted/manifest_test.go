package hosted

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/oci"
)

// What is read of a manifest is well-formed, whatever was pushed, and read the same when its media type is known: that is
// how collections and referrers read it.
func FuzzParseManifest(f *testing.F) {
	const d = `"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0`
	for _, content := range []string{
		`{"schemaVersion":2,"config":{"mediaType":"x/y",` + d + `},"layers":[{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar",` + d + `}]}`,
		`{"schemaVersion":2,"manifests":[{` + d + `}],"subject":{` + d + `},"artifactType":"a/b","annotations":{"k":"v"}}`,
		`{"schemaVersion":2,"manifests":[],"layers":[]}`, `{"schemaVersion":1}`, `{"schemaVersion":2,"config":null}`, `[]`, `{"layers":[{"digest":"sha256:../../x","size":-1}]}`,
	} {
		for _, mediaType := range []string{"", v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, mediaDockerManifest, mediaDockerList, "text/plain"} {
			f.Add(mediaType, []byte(content))
		}
	}
	f.Fuzz(func(t *testing.T, mediaType string, content []byte) {
		p, err := parseManifest(mediaType, content)
		if err != nil {
			if !errors.Is(err, oci.ErrManifestInvalid) {
				t.Fatalf("%v is no error of the API", err)
			}
			return
		}
		digests := slices.Concat(p.blobs, p.optional, p.children)
		if p.subject != "" {
			digests = append(digests, p.subject)
		}
		for _, d := range digests {
			if _, err := oci.ParseDigest(d.String()); err != nil {
				t.Errorf("%q: %v", d, err)
			}
		}
		again, err := parseManifest(p.mediaType, content)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v, then %+v, %v", p, again, err)
		}
	})
}
