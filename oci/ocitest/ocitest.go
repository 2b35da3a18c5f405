// Package ocitest is what every oci.Registry must do, wherever it is: on disk, or behind HTTP.
package ocitest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/oci"
)

// Test runs the conformance tests, each on a new, empty registry from open.
func Test(t *testing.T, open func(t *testing.T) oci.Registry) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, oci.Registry)
	}{
		{"Image", testImage},
		{"Index", testIndex},
		{"DockerTypes", testDockerTypes},
		{"Unknown", testUnknown},
		{"Invalid", testInvalid},
		{"MissingContent", testMissingContent},
		{"Upload", testUpload},
		{"UploadWrongDigest", testUploadWrongDigest},
		{"UploadCancel", testUploadCancel},
		{"UploadsOfOtherRepositories", testOthersUploads},
		{"BlobParts", testBlobParts},
		{"Mount", testMount},
		{"Tags", testTags},
		{"Referrers", testReferrers},
		{"Delete", testDelete},
		{"SHA512", testSHA512},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

const repo = "acme/ml-training"

func testImage(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	m := Image(t, r, repo, "layer one", "layer two")
	pushed, err := r.PutManifest(ctx, repo, m, []string{"v1", "latest"})
	if err != nil || pushed.Digest != digest.FromBytes(m.Content) || !reflect.DeepEqual(pushed.Tags, []string{"v1", "latest"}) || pushed.Subject != "" {
		t.Fatalf("PutManifest: %+v, %v", pushed, err)
	}
	for _, reference := range []string{"v1", "latest", pushed.Digest.String()} {
		got, err := r.Manifest(ctx, repo, reference)
		if err != nil || string(got.Content) != string(m.Content) || got.MediaType != m.MediaType || got.Digest != pushed.Digest {
			t.Errorf("Manifest %s: %+v, %v", reference, got, err)
		}
		d, err := r.Resolve(ctx, repo, reference)
		if err != nil || d != (oci.Descriptor{MediaType: m.MediaType, Digest: pushed.Digest, Size: int64(len(m.Content))}) {
			t.Errorf("Resolve %s: %+v, %v", reference, d, err)
		}
	}
	holds(t, r, repo, "layer one")
	// Once more is no error, and a tag moves.
	if _, err := r.PutManifest(ctx, repo, m, []string{"v1"}); err != nil {
		t.Error(err)
	}
	other := Image(t, r, repo, "layer three")
	if _, err := r.PutManifest(ctx, repo, other, []string{"latest"}); err != nil {
		t.Fatal(err)
	}
	if d, err := r.Resolve(ctx, repo, "latest"); err != nil || d.Digest != digest.FromBytes(other.Content) {
		t.Errorf("latest is %v, %v", d.Digest, err)
	}
	if d, err := r.Resolve(ctx, repo, "v1"); err != nil || d.Digest != pushed.Digest {
		t.Errorf("v1 is %v, %v", d.Digest, err)
	}
}

func testIndex(t *testing.T, r oci.Registry) {
	var children []oci.Manifest
	for _, platform := range []string{"amd64", "arm64"} {
		m := Image(t, r, repo, "layer for "+platform)
		put(t, r, repo, m)
		children = append(children, m)
	}
	index := Index(children...)
	put(t, r, repo, index, "multi")
	got, err := r.Manifest(t.Context(), repo, "multi")
	if err != nil || got.MediaType != v1.MediaTypeImageIndex || string(got.Content) != string(index.Content) {
		t.Errorf("%+v, %v", got, err)
	}
	put(t, r, repo, Index(), "empty")
	nested := Index(index)
	put(t, r, repo, nested, "nested")
}

func testDockerTypes(t *testing.T, r oci.Registry) {
	m := Image(t, r, repo, "layer")
	m.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
	m.Content = bytes.ReplaceAll(m.Content, []byte(v1.MediaTypeImageManifest), []byte(m.MediaType))
	put(t, r, repo, m, "docker")
	if got, err := r.Resolve(t.Context(), repo, "docker"); err != nil || got.MediaType != m.MediaType {
		t.Errorf("%+v, %v", got, err)
	}
	list := Index(m)
	list.MediaType = "application/vnd.docker.distribution.manifest.list.v2+json"
	list.Content = bytes.ReplaceAll(list.Content, []byte(v1.MediaTypeImageIndex), []byte(list.MediaType))
	put(t, r, repo, list, "list")
}

func testUnknown(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	d := digest.FromString("nothing")
	_, err := r.Manifest(ctx, "no/such", "v1")
	wantOne(t, err, oci.ErrNameUnknown, oci.ErrManifestUnknown)
	_, err = r.Tags(ctx, "no/such", oci.Page{N: oci.All})
	want(t, err, oci.ErrNameUnknown)
	Blob(t, r, repo, "something")
	for _, reference := range []string{"v1", d.String()} {
		_, err = r.Manifest(ctx, repo, reference)
		want(t, err, oci.ErrManifestUnknown)
		_, err = r.Resolve(ctx, repo, reference)
		wantOne(t, err, oci.ErrManifestUnknown, oci.ErrNameUnknown) // HEAD has no body that would tell the two apart
	}
	_, err = r.Blob(ctx, repo, d, 0, -1)
	want(t, err, oci.ErrBlobUnknown)
	_, err = r.StatBlob(ctx, repo, d)
	wantOne(t, err, oci.ErrBlobUnknown, oci.ErrNameUnknown)
	want(t, r.DeleteTag(ctx, repo, "v1"), oci.ErrManifestUnknown)
	want(t, r.DeleteManifest(ctx, repo, d), oci.ErrManifestUnknown)
	want(t, r.DeleteBlob(ctx, repo, d), oci.ErrBlobUnknown)
	_, err = r.Upload(ctx, repo, "nosuchupload")
	want(t, err, oci.ErrBlobUploadUnknown)
	if found, err := r.Referrers(ctx, "no/such", d, oci.ReferrerFilter{}); err != nil || len(found.Referrers) > 0 {
		t.Errorf("Referrers of nothing: %+v, %v", found, err)
	}
	// What one repository has, another does not.
	something := digest.FromString("something")
	put(t, r, "acme/other", Index(), "v1")
	_, err = r.Blob(ctx, "acme/other", something, 0, -1)
	want(t, err, oci.ErrBlobUnknown)
}

func testInvalid(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	good := Image(t, r, repo, "layer")
	_, err := r.PutManifest(ctx, "Not/A/Name", good, []string{"v1"})
	want(t, err, oci.ErrNameInvalid)
	_, err = r.PutManifest(ctx, repo, good, []string{"-not-a-tag"})
	want(t, err, oci.ErrTagInvalid)
	wrong := good
	wrong.Digest = digest.FromString("something else")
	_, err = r.PutManifest(ctx, repo, wrong, nil)
	want(t, err, oci.ErrDigestInvalid)
	for name, m := range map[string]oci.Manifest{
		"not JSON":                  {MediaType: v1.MediaTypeImageManifest, Content: []byte("{")},
		"not an object":             {MediaType: v1.MediaTypeImageManifest, Content: []byte("[]")},
		"no schema version":         {MediaType: v1.MediaTypeImageIndex, Content: []byte(`{"manifests":[]}`)},
		"no config":                 {MediaType: v1.MediaTypeImageManifest, Content: []byte(`{"schemaVersion":2,"layers":[]}`)},
		"another media type":        {MediaType: v1.MediaTypeImageIndex, Content: good.Content},
		"unknown type":              {MediaType: "text/plain", Content: []byte(`{"schemaVersion":2}`)},
		"schema 1":                  {MediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws", Content: []byte(`{"schemaVersion":1}`)},
		"bad digest":                {MediaType: v1.MediaTypeImageIndex, Content: []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}`)},
		"an index with layers":      {MediaType: v1.MediaTypeImageIndex, Content: []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`)},
		"a manifest with manifests": {MediaType: v1.MediaTypeImageManifest, Content: bytes.Replace(good.Content, []byte(`{`), []byte(`{"manifests":[],`), 1)},
		"bad subject":               {MediaType: v1.MediaTypeImageIndex, Content: []byte(`{"schemaVersion":2,"manifests":[],"subject":{"digest":"x","size":1}}`)},
	} {
		_, err := r.PutManifest(ctx, repo, m, []string{"v1"})
		if !errors.Is(err, oci.ErrManifestInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tooLarge := Index()
	tooLarge.Content = append(tooLarge.Content, bytes.Repeat([]byte(" "), 4<<20)...)
	_, err = r.PutManifest(ctx, repo, tooLarge, []string{"v1"})
	want(t, err, oci.ErrManifestTooLarge)
	_, err = r.Resolve(ctx, repo, "v1")
	wantOne(t, err, oci.ErrManifestUnknown, oci.ErrNameUnknown)
}

func testMissingContent(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	Blob(t, r, repo, "{}")
	m := imageOf("{}", "never pushed")
	_, err := r.PutManifest(ctx, repo, m, []string{"v1"})
	want(t, err, oci.ErrManifestBlobUnknown)
	_, err = r.PutManifest(ctx, repo, Index(m), []string{"v1"})
	want(t, err, oci.ErrManifestBlobUnknown)
	// A layer that need not be distributed may be missing; its blob in another repository is of no help to others.
	foreign := m
	foreign.Content = bytes.ReplaceAll(m.Content, []byte(v1.MediaTypeImageLayerGzip), []byte("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"))
	put(t, r, repo, foreign, "foreign")
	Blob(t, r, "acme/other", "never pushed")
	_, err = r.PutManifest(ctx, repo, m, []string{"v1"})
	want(t, err, oci.ErrManifestBlobUnknown)
}

func testTags(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	index := Index()
	put(t, r, repo, index)
	if list, err := r.Tags(ctx, repo, oci.Page{N: oci.All}); err != nil || len(list.Names) != 0 {
		t.Errorf("Tags: %+v, %v", list, err)
	}
	put(t, r, repo, index, "v2", "V1", "v10", "_x", "v1", "latest")
	all := []string{"V1", "_x", "latest", "v1", "v10", "v2"}
	for _, test := range []struct {
		page oci.Page
		want []string
		more bool
	}{
		{oci.Page{N: oci.All}, all, false},
		{oci.Page{N: 6}, all, false},
		{oci.Page{N: 100}, all, false},
		{oci.Page{N: 2}, all[:2], true},
		{oci.Page{N: 0}, nil, false},
		{oci.Page{N: 2, Last: "_x"}, all[2:4], true},
		{oci.Page{N: oci.All, Last: "m"}, all[3:], false},
		{oci.Page{N: 2, Last: "v2"}, nil, false},
	} {
		list, err := r.Tags(ctx, repo, test.page)
		if err != nil || len(list.Names)+len(test.want) > 0 && !reflect.DeepEqual(list.Names, test.want) || list.More != test.more {
			t.Errorf("%+v: %+v, %v", test.page, list, err)
		}
	}
	put(t, r, "acme/other", index, "v1")
	if list, err := r.Repositories(ctx, oci.Page{N: oci.All}); err != nil || !reflect.DeepEqual(list.Names, []string{repo, "acme/other"}) {
		t.Errorf("Repositories: %+v, %v", list, err)
	}
}

func testReferrers(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	subject := Image(t, r, repo, "subject")
	d := digest.FromBytes(subject.Content)
	want := map[digest.Digest]oci.Referrer{}
	long := strings.Repeat("long ", 2000)
	for i, artifact := range []string{"application/sbom", "application/signature", ""} {
		m := referrer(t, r, d, artifact, map[string]string{"n": fmt.Sprint(i), "long": long[:i*5000]})
		pushed, err := r.PutManifest(ctx, repo, m, nil)
		if err != nil || pushed.Subject != d {
			t.Fatalf("PutManifest: %+v, %v", pushed, err)
		}
		if artifact == "" {
			artifact = v1.MediaTypeImageConfig // an image's is its config's media type
		}
		want[pushed.Digest] = oci.Referrer{
			Descriptor:   oci.Descriptor{MediaType: m.MediaType, Digest: pushed.Digest, Size: int64(len(m.Content))},
			ArtifactType: artifact, Annotations: map[string]string{"n": fmt.Sprint(i), "long": long[:i*5000]},
		}
	}
	found, err := r.Referrers(ctx, repo, d, oci.ReferrerFilter{})
	if err != nil || len(found.Referrers) != 3 || found.More {
		t.Fatalf("%d referrers, %v", len(found.Referrers), err)
	}
	for _, got := range found.Referrers {
		if !reflect.DeepEqual(got, want[got.Digest]) {
			t.Errorf("got %.200s, want %.200s", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want[got.Digest]))
		}
	}
	found, err = r.Referrers(ctx, repo, d, oci.ReferrerFilter{ArtifactType: "application/sbom"})
	if err != nil || !found.Filtered || len(found.Referrers) != 1 || found.Referrers[0].ArtifactType != "application/sbom" {
		t.Fatalf("filtered: %+v, %v", found, err)
	}
	first := found.Referrers[0].Digest
	if err := r.DeleteManifest(ctx, repo, first); err != nil {
		t.Fatal(err)
	}
	found, err = r.Referrers(ctx, repo, d, oci.ReferrerFilter{})
	if err != nil || len(found.Referrers) != 2 {
		t.Errorf("after deleting one: %d, %v", len(found.Referrers), err)
	}
	found, err = r.Referrers(ctx, repo, d, oci.ReferrerFilter{Last: found.Referrers[0].Digest})
	if err != nil || len(found.Referrers) != 1 {
		t.Errorf("after the first: %d, %v", len(found.Referrers), err)
	}
}

func testDelete(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	m := Image(t, r, repo, "layer")
	d := digest.FromBytes(m.Content)
	put(t, r, repo, m, "a", "b", "c")
	want(t, r.DeleteTag(ctx, repo, "a"), nil)
	_, err := r.Manifest(ctx, repo, "a")
	want(t, err, oci.ErrManifestUnknown)
	if _, err := r.Manifest(ctx, repo, "b"); err != nil {
		t.Error(err)
	}
	want(t, r.DeleteManifest(ctx, repo, d), nil)
	for _, reference := range []string{"b", "c", d.String()} {
		_, err := r.Manifest(ctx, repo, reference)
		want(t, err, oci.ErrManifestUnknown)
	}
	if list, err := r.Tags(ctx, repo, oci.Page{N: oci.All}); err != nil || len(list.Names) > 0 {
		t.Errorf("Tags: %+v, %v", list, err)
	}
	layer := digest.FromString("layer")
	want(t, r.DeleteBlob(ctx, repo, layer), nil)
	_, err = r.Blob(ctx, repo, layer, 0, -1)
	want(t, err, oci.ErrBlobUnknown)
	// And all of it again.
	m = Image(t, r, repo, "layer")
	put(t, r, repo, m, "a")
	holds(t, r, repo, "layer")
}

func testSHA512(t *testing.T, r oci.Registry) {
	ctx := t.Context()
	config, layer := digest.SHA512.FromString("{}"), digest.SHA512.FromString("layer")
	for d, content := range map[digest.Digest]string{config: "{}", layer: "layer"} {
		u, err := r.StartUpload(ctx, repo, digest.SHA512)
		if err == nil {
			_, err = u.Append(ctx, 0, strings.NewReader(content))
		}
		if err == nil {
			_, err = u.Finish(ctx, d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m := marshal(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: config, Size: 2},
		Layers: []v1.Descriptor{{MediaType: v1.MediaTypeImageLayer, Digest: layer, Size: 5}},
	})
	m.Digest = digest.SHA512.FromBytes(m.Content)
	pushed, err := r.PutManifest(ctx, repo, m, []string{"v1"})
	if err != nil || pushed.Digest != m.Digest {
		t.Fatalf("%+v, %v", pushed, err)
	}
	for _, reference := range []string{"v1", m.Digest.String()} {
		if got, err := r.Manifest(ctx, repo, reference); err != nil || got.Digest != m.Digest || string(got.Content) != string(m.Content) {
			t.Errorf("%s: %+v, %v", reference, got, err)
		}
	}
	_, err = r.Manifest(ctx, repo, digest.FromBytes(m.Content).String())
	want(t, err, oci.ErrManifestUnknown)
}

func put(t *testing.T, r oci.Registry, repository string, m oci.Manifest, tags ...string) {
	t.Helper()
	if _, err := r.PutManifest(t.Context(), repository, m, tags); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, r oci.Registry, repository, content string) {
	t.Helper()
	d := digest.FromString(content)
	b, err := r.Blob(t.Context(), repository, d, 0, -1)
	if err != nil {
		t.Errorf("blob %q of %s: %v", content, repository, err)
		return
	}
	defer b.Close()
	if got, err := io.ReadAll(b.Body); err != nil || string(got) != content {
		t.Errorf("blob of %s: %q, want %q; %v", repository, got, content, err)
	}
	if stat, err := r.StatBlob(t.Context(), repository, d); err != nil || stat.Size != int64(len(content)) || stat.Digest != d {
		t.Errorf("StatBlob: %+v, %v", stat, err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v", err, target)
	}
}

func wantOne(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			return
		}
	}
	t.Errorf("error %v, want one of %v", err, targets)
}
