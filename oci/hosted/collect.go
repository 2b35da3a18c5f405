package hosted

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/oci"
)

// CollectOptions say what a garbage collection takes.
type CollectOptions struct {
	DryRun    bool          // report only
	MinAge    time.Duration // what was pushed, or asked for, more recently stays; zero: one hour, negative: no matter how recently
	UploadAge time.Duration // uploads to which nothing came for so long go; zero: one day, negative: all
	Untagged  bool          // take manifests too that no tag leads to, by itself, an index, or as what a kept one's referrer is
}

// A Report is what a garbage collection found and took, or would have taken. Bytes are those of blobs in the store.
type Report struct {
	DryRun       bool
	Repositories int
	Tags         int
	Manifests    int // kept
	Blobs        int // kept in the store, manifests' bytes among them
	Bytes        int64
	Removed      Removed
	Took         time.Duration
}

// Removed is the part of a Report about what is gone.
type Removed struct {
	Manifests int // from repositories
	Links     int // blobs from repositories
	Blobs     int // from the store
	Bytes     int64
	Uploads   int
	Uploaded  int64 // bytes of those uploads
}

// Collect takes away what is no longer needed: links of blobs that no manifest of their repository names, blobs and
// manifests' bytes that no repository has, and uploads that nobody goes on with. Pushes go on meanwhile; what they use
// stays. A second call waits for the first.
func (r *Registry) Collect(ctx context.Context, options CollectOptions) (Report, error) {
	r.collection.Lock()
	defer r.collection.Unlock()
	options.MinAge = ageOr(options.MinAge, time.Hour)
	options.UploadAge = ageOr(options.UploadAge, 24*time.Hour)
	c := &collector{registry: r, options: options, needed: map[digest.Digest]bool{}, report: Report{DryRun: options.DryRun}}
	start := r.now()
	err := c.run(ctx)
	c.report.Took = r.now().Sub(start)
	return c.report, err
}

// ageOr is an age with its default for zero.
func ageOr(age, zero time.Duration) time.Duration {
	if age == 0 {
		return zero
	}
	return max(age, 0)
}

type collector struct {
	registry *Registry
	options  CollectOptions
	needed   map[digest.Digest]bool // by some repository
	report   Report
}

func (c *collector) run(ctx context.Context) error {
	defer c.registry.inUse.collect()()
	if err := c.sweepUploads(ctx); err != nil {
		return err
	}
	for {
		before := c.report.Removed
		full, err := c.round(ctx)
		if err != nil || full == nil || c.report.Removed == before {
			return errors.Join(err, full)
		}
	}
}

// round marks and sweeps once. On a full disk there may be no room to write down what a repository loses: then that
// stays, and the rest goes. Full is such an error; what went has made room for another round.
func (c *collector) round(ctx context.Context) (full, err error) {
	c.needed, c.report = map[digest.Digest]bool{}, Report{DryRun: c.options.DryRun, Removed: c.report.Removed}
	names, err := c.registry.repositoryNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := c.mark(ctx, name); errors.Is(err, oci.ErrFull) {
			full = err
		} else if err != nil {
			return nil, fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return full, c.sweep(ctx)
}

// mark takes from a repository what it does not need, and notes what it does. The repository takes no changes
// meanwhile, so that nothing comes to rely on what goes; it can be read all the time. Error: oci.ErrFull, when it could
// not lose anything.
func (c *collector) mark(ctx context.Context, name string) error {
	repo, release, err := c.registry.cache.get(name)
	if err != nil {
		return err
	}
	defer release()
	repo.writing.Lock()
	defer repo.writing.Unlock()
	m, err := c.survey(ctx, repo)
	if err != nil {
		return err
	}
	changes := m.unneeded(c.registry.now().Add(-c.options.MinAge).Unix())
	var full error
	if len(changes) > 0 && !c.options.DryRun {
		if err := repo.commit(changes...); errors.Is(err, oci.ErrFull) {
			full, changes = err, nil
		} else if err != nil {
			return err
		}
	}
	if !c.options.DryRun {
		c.registry.removeTemporaries(repo)
	}
	c.count(repo, changes)
	return full
}

// count notes the changes to a repository, and what it needs after them, made or not.
func (c *collector) count(repo *repository, changes []record) {
	gone := map[digest.Digest]operation{}
	for _, change := range changes {
		gone[change.Digest] = change.Op
		if change.Op == opUnlink {
			c.report.Removed.Links++
		} else {
			c.report.Removed.Manifests++
		}
	}
	repo.mu.RLock()
	defer repo.mu.RUnlock()
	c.report.Repositories++
	for d := range repo.links {
		if gone[d] != opUnlink {
			c.needed[d] = true
		}
	}
	for d := range repo.manifests {
		if gone[d] != opDeleteManifest {
			c.needed[d] = true
			c.report.Manifests++
		}
	}
	c.report.Tags += len(repo.tags)
}

// sweep deletes from the store what no repository needs.
func (c *collector) sweep(ctx context.Context) error {
	for info, err := range c.registry.blobs.Blobs(ctx) {
		if err != nil {
			return err
		}
		removed := false
		if !c.needed[info.Digest] {
			removed, err = c.registry.inUse.unless(info.Digest, func() error { return c.delete(ctx, info.Digest) })
		}
		if err != nil {
			return err
		}
		if removed {
			c.report.Removed.Blobs++
			c.report.Removed.Bytes += info.Size
		} else {
			c.report.Blobs++
			c.report.Bytes += info.Size
		}
	}
	return nil
}

func (c *collector) delete(ctx context.Context, d digest.Digest) error {
	if c.options.DryRun {
		return nil
	}
	if err := c.registry.blobs.Delete(ctx, d); err != nil && !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	return nil
}

func (c *collector) sweepUploads(ctx context.Context) error {
	before := c.registry.now().Add(-c.options.UploadAge)
	for info, err := range c.registry.blobs.Uploads(ctx) {
		if err != nil {
			return err
		}
		if info.Modified.After(before) {
			continue
		}
		if !c.options.DryRun {
			err := c.cancel(ctx, info.ID)
			if errors.Is(err, blob.ErrBusy) || errors.Is(err, blob.ErrUploadUnknown) {
				continue // someone goes on with it after all, or is done
			}
			if err != nil {
				return err
			}
		}
		c.report.Removed.Uploads++
		c.report.Removed.Uploaded += info.Size
	}
	return nil
}

func (c *collector) cancel(ctx context.Context, id string) error {
	u, err := c.registry.blobs.Upload(ctx, id)
	if err != nil {
		return err
	}
	return u.Cancel(ctx)
}
