package hosted

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// maxKeptAnnotations bounds the annotations of a referrer that its repository keeps in memory, in bytes.
const maxKeptAnnotations = 4 << 10

// PutManifest stores a manifest and its tags. Everything that it names must be in the repository, but for a subject and
// for layers that need not be distributed.
func (r *Registry) PutManifest(ctx context.Context, repository string, m oci.Manifest, tags []string) (oci.Pushed, error) {
	if !oci.ValidRepository(repository) {
		return oci.Pushed{}, oci.ErrNameInvalid.With(repository)
	}
	for _, tag := range tags {
		if !oci.ValidTag(tag) {
			return oci.Pushed{}, oci.ErrTagInvalid.With(tag)
		}
	}
	if int64(len(m.Content)) > r.maxManifest {
		return oci.Pushed{}, oci.ErrManifestTooLarge.With(fmt.Sprintf("%d bytes are the limit", r.maxManifest))
	}
	d, err := digestOf(m)
	if err != nil {
		return oci.Pushed{}, err
	}
	p, err := parseManifest(m.MediaType, m.Content)
	if err == nil && p.ambiguous {
		// One digest would stand for two images, by the media type that the client was told (CVE-2021-41190).
		err = oci.ErrManifestInvalid.With("it has the fields of a manifest and those of an index")
	}
	if err != nil {
		return oci.Pushed{}, err
	}
	defer r.inUse.begin(d)()
	if err := r.put(ctx, repository, d, p, m.Content, tags); err != nil {
		return oci.Pushed{}, err
	}
	r.manifests.put(d, m.Content)
	return oci.Pushed{Digest: d, Tags: tags, Subject: p.subject}, nil
}

func digestOf(m oci.Manifest) (digest.Digest, error) {
	if m.Digest == "" {
		return digest.FromBytes(m.Content), nil
	}
	d, err := oci.ParseDigest(m.Digest.String())
	if err != nil {
		return "", err
	}
	if actual := d.Algorithm().FromBytes(m.Content); actual != d {
		return "", oci.ErrDigestInvalid.With("the manifest's is " + actual.String())
	}
	return d, nil
}

func (r *Registry) put(ctx context.Context, name string, d digest.Digest, p parsed, content []byte, tags []string) error {
	c := record{Op: opManifest, Digest: d, Size: int64(len(content)), MediaType: p.mediaType, Tags: tags}
	if p.subject != "" {
		c.Subject, c.ArtifactType = p.subject, p.artifactType
		if c.Annotations = p.annotations; size(p.annotations) > maxKeptAnnotations {
			c.Annotations, c.More = nil, true
		}
	}
	// The bytes go in first, so that a record never names bytes that are not there; what is missing is looked for
	// before, to spare the work, and once more with the right to change, when it counts.
	if err := r.complete(name, p); err != nil {
		return err
	}
	if _, err := r.blobs.Put(ctx, d, bytes.NewReader(content)); err != nil {
		return outOf(err)
	}
	return r.change(name, func(repo *repository) error {
		if err := repo.complete(p); err != nil {
			return err
		}
		return repo.commit(c)
	})
}

func size(annotations map[string]string) (bytes int) {
	for key, value := range annotations {
		bytes += len(key) + len(value)
	}
	return bytes
}

// complete finds out whether everything that a manifest names is in the repository. Error: ErrManifestBlobUnknown.
func (r *Registry) complete(repository string, p parsed) error {
	if len(p.blobs) == 0 && len(p.children) == 0 {
		return nil
	}
	repo, release, err := r.cache.get(repository)
	if err != nil {
		return err
	}
	defer release()
	return repo.complete(p)
}

func (repo *repository) complete(p parsed) error {
	repo.mu.RLock()
	defer repo.mu.RUnlock()
	for _, d := range p.blobs {
		if _, ok := repo.links[d]; !ok {
			return oci.ErrManifestBlobUnknown.With(d.String())
		}
	}
	for _, d := range p.children {
		_, isManifest := repo.manifests[d]
		// BuildKit writes its caches as an index whose entries are layers.
		if _, isBlob := repo.links[d]; !isManifest && !isBlob {
			return oci.ErrManifestBlobUnknown.With(d.String())
		}
	}
	return nil
}

// Mount makes a blob of another repository one of this one too.
func (r *Registry) Mount(ctx context.Context, repository string, d digest.Digest, from []string) (oci.Descriptor, error) {
	if !oci.ValidRepository(repository) {
		return oci.Descriptor{}, oci.ErrNameInvalid.With(repository)
	}
	defer r.inUse.begin(d)()
	if descriptor, err := r.StatBlob(ctx, repository, d); err == nil {
		return descriptor, nil
	}
	if from == nil {
		// Only a registry that is open to all asks for that; with tokens there are a few names.
		var err error
		if from, err = r.repositoryNames(ctx); err != nil {
			return oci.Descriptor{}, err
		}
	}
	for _, source := range from {
		descriptor, err := r.StatBlob(ctx, source, d)
		if errors.Is(err, oci.ErrBlobUnknown) || errors.Is(err, oci.ErrNameUnknown) || errors.Is(err, oci.ErrNameInvalid) {
			continue
		}
		if err != nil {
			return oci.Descriptor{}, err
		}
		return descriptor, r.link(repository, d, descriptor.Size)
	}
	return oci.Descriptor{}, oci.ErrBlobUnknown.With(d.String())
}

// link makes a blob that is there one of the repository. The caller is changing it.
func (r *Registry) link(name string, d digest.Digest, size int64) error {
	return r.change(name, func(repo *repository) error {
		return repo.commit(record{Op: opLink, Digest: d, Size: size})
	})
}
