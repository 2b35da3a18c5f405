package hosted

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// maxReferrers bounds a page of referrers by the bytes of their annotations and a share for the rest, so that it stays
// below the 4 MiB that clients take as an index.
const maxReferrers = 2 << 20

// Tags lists a repository's tags.
func (r *Registry) Tags(_ context.Context, repository string, page oci.Page) (oci.List, error) {
	repo, release, err := r.existing(repository)
	if err != nil {
		return oci.List{}, err
	}
	defer release()
	return pageOf(repo.sortedTags(), page), nil
}

// pageOf cuts a page out of a sorted list.
func pageOf(sorted []string, page oci.Page) oci.List {
	if page.Last != "" {
		i, found := slices.BinarySearch(sorted, page.Last)
		if found {
			i++
		}
		sorted = sorted[i:]
	}
	// Clipped, so that nobody's append writes into what others read.
	if page.N < 0 || page.N >= len(sorted) {
		return oci.List{Names: slices.Clip(sorted)}
	}
	return oci.List{Names: slices.Clip(sorted[:page.N:page.N]), More: page.N > 0}
}

// Referrers lists the manifests whose subject is d.
func (r *Registry) Referrers(ctx context.Context, repository string, d digest.Digest, filter oci.ReferrerFilter) (oci.Referrers, error) {
	result := oci.Referrers{Filtered: filter.ArtifactType != ""}
	if !oci.ValidRepository(repository) {
		return result, oci.ErrNameInvalid.With(repository)
	}
	repo, release, err := r.cache.get(repository)
	if err != nil {
		return result, err
	}
	defer release()
	bytes := 0
	for _, m := range repo.referrersOf(d, filter) {
		if m.more {
			if m.annotations, err = r.annotations(ctx, m.Descriptor); err != nil {
				return result, fmt.Errorf("referrer %s of %s: %w", m.Digest, repository, err)
			}
		}
		bytes += 512 + size(m.annotations)
		if bytes > maxReferrers && len(result.Referrers) > 0 {
			result.More = true
			break
		}
		result.Referrers = append(result.Referrers, oci.Referrer{
			Descriptor: m.Descriptor, ArtifactType: m.artifactType, Annotations: m.annotations,
		})
	}
	return result, nil
}

func (p *repository) referrersOf(d digest.Digest, filter oci.ReferrerFilter) []manifest {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := p.referrers[d]
	if filter.Last != "" {
		i, found := slices.BinarySearch(list, filter.Last)
		if found {
			i++
		}
		list = list[i:]
	}
	var found []manifest
	for _, referrer := range list {
		if m := p.manifests[referrer]; m != nil && (filter.ArtifactType == "" || m.artifactType == filter.ArtifactType) {
			found = append(found, *m)
		}
	}
	return found
}

func (r *Registry) annotations(ctx context.Context, d oci.Descriptor) (map[string]string, error) {
	content, err := r.content(ctx, d)
	if err != nil {
		return nil, err
	}
	p, err := parseManifest(d.MediaType, content)
	return p.annotations, err
}
