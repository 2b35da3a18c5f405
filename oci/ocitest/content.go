package ocitest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/oci"
)

// Blob pushes a blob.
func Blob(t testing.TB, r oci.Registry, repository, content string) digest.Digest {
	t.Helper()
	ctx := context.Background()
	d := digest.FromString(content)
	u, err := r.StartUpload(ctx, repository, "")
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader(content))
	}
	if err == nil {
		_, err = u.Finish(ctx, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Image pushes an image's config and layers, and returns its manifest, which is not pushed.
func Image(t testing.TB, r oci.Registry, repository string, layers ...string) oci.Manifest {
	t.Helper()
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","comment":%q}`, layers)
	for _, content := range append([]string{config}, layers...) {
		Blob(t, r, repository, content)
	}
	return imageOf(config, layers...)
}

func imageOf(config string, layers ...string) oci.Manifest {
	return marshal(v1.MediaTypeImageManifest, imageManifest(config, layers))
}

func imageManifest(config string, layers []string) v1.Manifest {
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromString(config), Size: int64(len(config))},
	}
	for _, layer := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.FromString(layer), Size: int64(len(layer))})
	}
	return m
}

// Index makes the manifest of an index.
func Index(manifests ...oci.Manifest) oci.Manifest {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	for _, m := range manifests {
		index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(m.Content), Size: int64(len(m.Content))})
	}
	return marshal(v1.MediaTypeImageIndex, index)
}

func referrer(t *testing.T, r oci.Registry, subject digest.Digest, artifactType string, annotations map[string]string) oci.Manifest {
	Blob(t, r, repo, "{}")
	m := imageManifest("{}", nil)
	m.Layers = []v1.Descriptor{}
	m.ArtifactType, m.Annotations = artifactType, annotations
	m.Subject = &v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: subject, Size: 1}
	return marshal(v1.MediaTypeImageManifest, m)
}

func marshal(mediaType string, v any) oci.Manifest {
	content, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return oci.Manifest{MediaType: mediaType, Content: content}
}
