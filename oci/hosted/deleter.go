package hosted

import (
	"context"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// DeleteTag takes a tag away; the manifest stays.
func (r *Registry) DeleteTag(_ context.Context, name, tag string) error {
	return r.remove(name, oci.ErrManifestUnknown.With(tag), func(repo *repository) (record, bool) {
		_, ok := repo.tags[tag]
		return record{Op: opDeleteTag, Tags: []string{tag}}, ok
	})
}

// DeleteManifest takes a manifest away, and every tag that names it.
func (r *Registry) DeleteManifest(_ context.Context, name string, d digest.Digest) error {
	return r.remove(name, oci.ErrManifestUnknown.With(d.String()), func(repo *repository) (record, bool) {
		_, ok := repo.manifests[d]
		return record{Op: opDeleteManifest, Digest: d}, ok
	})
}

// DeleteBlob takes a blob away from one repository; others keep it.
func (r *Registry) DeleteBlob(_ context.Context, name string, d digest.Digest) error {
	return r.remove(name, oci.ErrBlobUnknown.With(d.String()), func(repo *repository) (record, bool) {
		_, ok := repo.links[d]
		return record{Op: opUnlink, Digest: d}, ok
	})
}

// remove commits what find made, or answers unknown when it found nothing.
func (r *Registry) remove(name string, unknown error, find func(*repository) (record, bool)) error {
	repo, release, err := r.existing(name)
	if err != nil {
		return err
	}
	defer release()
	repo.writing.Lock()
	defer repo.writing.Unlock()
	repo.mu.RLock()
	c, ok := find(repo)
	repo.mu.RUnlock()
	if !ok {
		return unknown
	}
	return repo.commit(c)
}
