package client

import (
	"encoding/json"
	"sync"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
)

// maxSizes are remembered; beyond it all are forgotten, and blobs are as long as they come.
const maxSizes = 1 << 15

// sizes are what manifests that were read say of their blobs. A blob that is longer is not what the manifest means, and
// without a bound a registry that never ends one would fill the disk of whoever pulls.
type sizes struct {
	mu    sync.Mutex
	known map[blobKey]int64 // bytes
}

type blobKey struct {
	repository string
	digest     digest.Digest
}

// learn takes the sizes from an image's manifest; other content has none.
func (s *sizes) learn(repository string, content []byte) {
	type descriptor struct {
		Digest string `json:"digest"`
		Size   *int64 `json:"size"`
	}
	var image struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if json.Unmarshal(content, &image) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, told := range append(image.Layers, image.Config) {
		d, err := oci.ParseDigest(told.Digest)
		if err != nil || told.Size == nil || *told.Size < 0 {
			continue
		}
		if s.known == nil || len(s.known) >= maxSizes {
			s.known = make(map[blobKey]int64)
		}
		s.known[blobKey{repository, d}] = *told.Size
	}
}

// of is -1 where no manifest said it.
func (s *sizes) of(repository string, d digest.Digest) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, ok := s.known[blobKey{repository, d}]; ok {
		return size
	}
	return -1
}
