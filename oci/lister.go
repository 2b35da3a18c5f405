package oci

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// All is the N of a Page without a limit.
const All = -1

// A Page is the part of a list that is wanted: at most N entries (All: no limit, 0: none) after Last.
type Page struct {
	N    int
	Last string // the entry before the first one wanted; "" begins at the start
}

// A List is a page of names in the order of their bytes.
type List struct {
	Names []string // not to be changed
	More  bool     // there are more after the last of Names
}

// A Lister lists what is in one registry. Errors: as Reader's.
type Lister interface {
	// Tags lists a repository's tags. Error beside: ErrNameUnknown.
	Tags(ctx context.Context, repository string, page Page) (List, error)
	// Referrers lists the manifests whose subject is d; an unknown repository or digest has none.
	Referrers(ctx context.Context, repository string, d digest.Digest, filter ReferrerFilter) (Referrers, error)
}

// A Catalog lists repositories.
type Catalog interface {
	Repositories(ctx context.Context, page Page) (List, error)
}

// A ReferrerFilter narrows a list of referrers.
type ReferrerFilter struct {
	ArtifactType string        // "" is every type
	Last         digest.Digest // the referrer before the first one wanted, or ""
}

// A Referrer is a manifest that has a subject.
type Referrer struct {
	Descriptor
	ArtifactType string // "" for an index that has none
	Annotations  map[string]string
}

// Referrers is a page of them in the order of their digests.
type Referrers struct {
	Referrers []Referrer
	Filtered  bool // ArtifactType was applied; else the caller filters
	More      bool // there are more after the last one
}
