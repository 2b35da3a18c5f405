package hosted

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go/v1"

	"pierhead.dev/pierhead/oci"
)

// The media types of manifests that are taken. Docker's first schema is not: its digest is not of its bytes.
const (
	mediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// notDistributed are the media types of layers that a registry need not have: clients fetch them from the addresses
// written in the manifest.
func notDistributed(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.nondistributable.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.foreign.")
}

// document is what is read of an image manifest and of an index, of either family.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *v1.Descriptor    `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Manifests     []v1.Descriptor   `json:"manifests"`
	Subject       *v1.Descriptor    `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// parsed is a manifest that was read.
type parsed struct {
	mediaType    string
	blobs        []digest.Digest // that must be there
	optional     []digest.Digest // layers that need not be distributed
	children     []digest.Digest // of an index
	subject      digest.Digest
	artifactType string
	annotations  map[string]string
	ambiguous    bool // a manifest and an index at once
}

// parseManifest reads a manifest that was pushed as a media type; "" is whatever it says itself. Error:
// ErrManifestInvalid.
func parseManifest(mediaType string, content []byte) (parsed, error) {
	var doc document
	if err := json.Unmarshal(content, &doc); err != nil {
		return parsed{}, oci.ErrManifestInvalid.With("it is not JSON of the expected form")
	}
	mediaType, err := typeOf(mediaType, doc)
	if err != nil {
		return parsed{}, err
	}
	if doc.SchemaVersion != 2 {
		return parsed{}, oci.ErrManifestInvalid.With(fmt.Sprintf("schemaVersion is %d, not 2", doc.SchemaVersion))
	}
	p := parsed{mediaType: mediaType, artifactType: doc.ArtifactType, annotations: doc.Annotations}
	if mediaType == v1.MediaTypeImageManifest || mediaType == mediaDockerManifest {
		p.ambiguous = doc.Manifests != nil
		err = p.image(doc)
	} else {
		p.ambiguous = doc.Config != nil || doc.Layers != nil
		p.children, err = digestsOf("manifests", doc.Manifests)
	}
	if err == nil && doc.Subject != nil {
		var subject []digest.Digest
		if subject, err = digestsOf("subject", []v1.Descriptor{*doc.Subject}); err == nil {
			p.subject = subject[0]
		}
	}
	return p, err
}

func typeOf(mediaType string, doc document) (string, error) {
	if mediaType == "" {
		mediaType = doc.MediaType
	}
	if mediaType == "" { // as early OCI manifests are: they need not say
		mediaType = v1.MediaTypeImageManifest
		if doc.Manifests != nil {
			mediaType = v1.MediaTypeImageIndex
		}
	}
	if doc.MediaType != "" && doc.MediaType != mediaType {
		return "", oci.ErrManifestInvalid.With(fmt.Sprintf("it was sent as %q and says that it is %q", mediaType, doc.MediaType))
	}
	switch mediaType {
	case v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, mediaDockerManifest, mediaDockerList:
		return mediaType, nil
	}
	return "", oci.ErrManifestInvalid.With(fmt.Sprintf("media type %q is not one of a manifest or index", mediaType))
}

func (p *parsed) image(doc document) error {
	if doc.Config == nil {
		return oci.ErrManifestInvalid.With("it has no config")
	}
	if p.artifactType == "" {
		p.artifactType = doc.Config.MediaType // OCI distribution specification, "Listing Referrers"
	}
	var err error
	if p.blobs, err = digestsOf("config", []v1.Descriptor{*doc.Config}); err != nil {
		return err
	}
	layers, err := digestsOf("layers", doc.Layers)
	if err != nil {
		return err
	}
	for i, d := range layers {
		if notDistributed(doc.Layers[i].MediaType) {
			p.optional = append(p.optional, d)
		} else {
			p.blobs = append(p.blobs, d)
		}
	}
	return nil
}

func digestsOf(field string, descriptors []v1.Descriptor) ([]digest.Digest, error) {
	digests := make([]digest.Digest, 0, len(descriptors))
	for i, descriptor := range descriptors {
		d, err := oci.ParseDigest(descriptor.Digest.String())
		if err != nil {
			return nil, oci.ErrManifestInvalid.With(fmt.Sprintf("%s: descriptor %d has no sha256 or sha512 digest", field, i))
		}
		if descriptor.Size < 0 {
			return nil, oci.ErrManifestInvalid.With(fmt.Sprintf("%s: descriptor %d has a negative size", field, i))
		}
		digests = append(digests, d)
	}
	return digests, nil
}
