package hosted

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// survey is one repository as a collection sees it: what each manifest names, and which manifests stay.
type survey struct {
	repo  *repository
	named map[digest.Digest]parsed
	stays map[digest.Digest]bool
}

// survey reads every manifest of a repository. The caller holds repo.writing.
func (c *collector) survey(ctx context.Context, repo *repository) (*survey, error) {
	s := &survey{repo: repo, named: map[digest.Digest]parsed{}, stays: map[digest.Digest]bool{}}
	oldest := c.registry.now().Add(-c.options.MinAge).Unix()
	for d, m := range repo.manifests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Past the cache: reading all there is would push out what is in use.
		content, err := c.registry.blobs.Read(ctx, d, m.Size)
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", d, err)
		}
		if s.named[d], err = parseManifest(m.MediaType, content); err != nil {
			return nil, fmt.Errorf("manifest %s: %w", d, err)
		}
	}
	for d, m := range repo.manifests {
		if !c.options.Untagged || m.seen.Load() > oldest {
			s.keep(d)
		}
	}
	for _, d := range repo.tags {
		s.keep(d)
	}
	return s, nil
}

// keep keeps a manifest, what an index has, and who refers to it.
func (s *survey) keep(first digest.Digest) {
	for todo := []digest.Digest{first}; len(todo) > 0; {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, there := s.repo.manifests[d]; !there || s.stays[d] {
			continue
		}
		s.stays[d] = true
		todo = append(todo, s.named[d].children...)
		todo = append(todo, s.repo.referrers[d]...)
	}
}

// unneeded returns what is to be taken from the repository: manifests that do not stay, and links that no manifest
// which stays names, unless they were made or asked for since then (Unix seconds).
func (s *survey) unneeded(since int64) []record {
	var changes []record
	used := map[digest.Digest]bool{}
	for d, p := range s.named {
		if !s.stays[d] {
			changes = append(changes, record{Op: opDeleteManifest, Digest: d})
			continue
		}
		for _, list := range [][]digest.Digest{p.blobs, p.optional, p.children} {
			for _, named := range list {
				used[named] = true
			}
		}
	}
	for d, l := range s.repo.links {
		if !used[d] && l.seen.Load() <= since {
			changes = append(changes, record{Op: opUnlink, Digest: d})
		}
	}
	return changes
}
