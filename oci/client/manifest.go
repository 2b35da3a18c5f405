package client

import (
	"encoding/json"
	"mime"
	"net/http"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

// known are the media types of manifests that are read by their header alone.
var known = map[string]bool{
	"application/vnd.oci.image.index.v1+json": true, "application/vnd.docker.distribution.manifest.list.v2+json": true,
	"application/vnd.oci.image.manifest.v1+json": true, "application/vnd.docker.distribution.manifest.v2+json": true,
}

func mediaTypeOf(h http.Header) string {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}

// readManifest checks an answer's content: its digest, that it is a manifest, and of one type only.
func readManifest(k call, r *egress.Response, wanted digest.Digest, content []byte) (oci.Manifest, error) {
	d := wanted
	if d == "" {
		d = digest.FromBytes(content)
		if told, err := oci.ParseDigest(r.Header.Get("Docker-Content-Digest")); err == nil {
			d = told
		}
	}
	mediaType, fault := manifestType(mediaTypeOf(r.Header), content)
	if got := d.Algorithm().FromBytes(content); got != d {
		if fault != "" { // a page that a proxy put in between has no right digest either, and that it is one says more
			return oci.Manifest{}, contentError(k, r, oci.ErrManifestInvalid, fault)
		}
		return oci.Manifest{}, contentError(k, r, oci.ErrDigestInvalid, "the manifest that came has the digest "+got.String()+" and not "+d.String())
	}
	if fault != "" {
		return oci.Manifest{}, contentError(k, r, oci.ErrManifestInvalid, fault)
	}
	return oci.Manifest{MediaType: mediaType, Digest: d, Content: content}, nil
}

// manifestType finds a manifest's type, or what is wrong with it. Header and content must agree: a manifest that is an
// index to one reader and an image to another has two contents under one digest (CVE-2021-41190).
func manifestType(header string, content []byte) (mediaType, fault string) {
	var fields struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
		Layers        json.RawMessage `json:"layers"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	switch {
	case header == "text/html":
		return "", "a web page came in place of a manifest, perhaps from a proxy in between"
	case json.Unmarshal(content, &fields) != nil:
		return "", "what came in place of a manifest is not JSON"
	case fields.SchemaVersion == 1 || fields.FSLayers != nil:
		return "", "the manifest is of the obsolete schema 1: push the image again with a current tool"
	case fields.Manifests != nil && (fields.Layers != nil || fields.Config != nil):
		return "", "the manifest is an index and an image at the same time"
	case known[header] && fields.MediaType != "" && fields.MediaType != header:
		return "", "the manifest's mediaType is " + egress.Clean(fields.MediaType, 100) + ", and the registry says " + header
	case known[header]:
		return header, typeFault(header, fields.Manifests != nil)
	case fields.MediaType != "":
		return egress.Clean(fields.MediaType, 200), typeFault(fields.MediaType, fields.Manifests != nil)
	case fields.Manifests != nil:
		return "application/vnd.oci.image.index.v1+json", ""
	case fields.Layers != nil || fields.Config != nil:
		return "application/vnd.oci.image.manifest.v1+json", ""
	}
	return "", "what came is JSON, and not a manifest"
}

// typeFault tells an index that has the type of an image.
func typeFault(mediaType string, hasManifests bool) string {
	switch mediaType {
	case "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json":
		if hasManifests {
			return "the manifest has the type of an image and the content of an index"
		}
	}
	return ""
}
