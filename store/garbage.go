package store

import (
	"context"
	"strconv"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// AllowCollection lets a garbage collection of the hosted registry begin, or refuses it, and says so in the audit log.
// The collection itself is the registry's. Errors: ErrNotAllowed.
func (s *Store) AllowCollection(ctx context.Context, c pierhead.Caller, dryRun bool) error {
	return s.change(ctx, c, access.GarbageCollect, "hosted registry", func(k *call) error {
		k.nothing = true
		k.note("dry_run", strconv.FormatBool(dryRun))
		return k.allow(access.GarbageCollect, installation())
	})
}
