// Package hosted is our own registry, which owns its content: repositories, tags, links and uploads on disk, over a
// blob.Store for the bytes. It does what the OCI distribution specification asks for (1.1, and what its main branch
// adds), and collects what is no longer needed.
//
// Its directory:
//
//	lock
//	format                            the version of what follows
//	repositories/NAME/_log            all that a repository has, as a log of changes (see log.go)
//
// A repository is read into memory when it is first asked for, and forgotten when others need the room; start-up reads
// none. From then on tags, manifests, links and referrers are answered from memory. Every change is one record,
// appended and synced before it is acknowledged: a manifest with its tags is there whole or not at all.
package hosted

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/oci"
)

// A Config says where the registry is.
type Config struct {
	Dir         string           // is made where it is missing
	Blobs       blob.Store       // the bytes; nobody else uses it
	MaxManifest int64            // bytes; zero: 4 MiB, which the specification asks for at least
	Log         *slog.Logger     // repairs after a crash; nil: nowhere
	Layer       durable.Layer    // for tests; nil is the operating system
	Now         func() time.Time // nil is time.Now
}

// format is the version of what is on disk. An older one is read; a newer one is refused.
const format = "pierhead hosted registry 1\n"

// A Registry is the hosted registry. It is safe for concurrent use.
type Registry struct {
	dir         string
	blobs       blob.Store
	maxManifest int64
	log         *slog.Logger
	layer       durable.Layer
	now         func() time.Time
	dirs        *durable.Dirs
	lock        *durable.Lock
	cache       *cache
	manifests   *contentCache

	inUse      inUse
	collection sync.Mutex // one collection at a time
}

var _ oci.Registry = (*Registry)(nil)

// Open opens the registry in c.Dir. Errors: durable.ErrLocked while another process has it; a format of a later version.
func Open(c Config) (*Registry, error) {
	if c.Dir == "" || c.Blobs == nil {
		return nil, errors.New("the hosted registry needs a directory and a blob store")
	}
	r := &Registry{
		dir: filepath.Clean(c.Dir), blobs: c.Blobs, maxManifest: c.MaxManifest, log: c.Log, layer: c.Layer, now: c.Now,
		manifests: newContentCache(), inUse: inUse{changes: map[digest.Digest]int{}},
	}
	if r.maxManifest <= 0 {
		r.maxManifest = 4 << 20
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.layer == nil {
		r.layer = durable.OS{}
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.cache = newCache(r.loadRepository)
	r.dirs = durable.NewDirs(r.layer, r.dir)
	if err := r.dirs.Ensure(r.repositories()); err != nil {
		return nil, fmt.Errorf("registry directory: %w", err)
	}
	lock, err := durable.AcquireLock(filepath.Join(r.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("registry directory: %w", err)
	}
	r.lock = lock
	if err := r.checkFormat(); err != nil {
		return nil, errors.Join(fmt.Errorf("registry directory %s: %w", r.dir, err), lock.Close())
	}
	return r, nil
}

// Close lets another process have the directory. Nothing is in flight by then; the blob store is the caller's to close.
func (r *Registry) Close() error { return r.lock.Close() }

func (r *Registry) repositories() string { return filepath.Join(r.dir, "repositories") }

func (r *Registry) checkFormat() error {
	name := filepath.Join(r.dir, "format")
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return durable.WriteFile(r.layer, name, []byte(format))
	}
	if err == nil && string(data) != format {
		return fmt.Errorf("its format is %q, this program knows %q", strings.TrimSpace(string(data)), strings.TrimSpace(format))
	}
	return err
}

// existing returns a repository that is there, with its release. Error: ErrNameUnknown, ErrNameInvalid.
func (r *Registry) existing(name string) (*repository, func(), error) {
	if !oci.ValidRepository(name) {
		return nil, nil, oci.ErrNameInvalid.With(name)
	}
	repo, release, err := r.cache.get(name)
	if err != nil {
		return nil, nil, err
	}
	if !repo.exists() {
		release()
		return nil, nil, oci.ErrNameUnknown.With(name)
	}
	return repo, release, nil
}

// change runs f on a repository, which is made where there is none, with the right to change it.
func (r *Registry) change(name string, f func(*repository) error) error {
	if !oci.ValidRepository(name) {
		return oci.ErrNameInvalid.With(name)
	}
	repo, release, err := r.cache.get(name)
	if err != nil {
		return err
	}
	defer release()
	repo.writing.Lock()
	defer repo.writing.Unlock()
	return f(repo)
}

// Repositories lists the repositories, by looking through their directories.
func (r *Registry) Repositories(ctx context.Context, page oci.Page) (oci.List, error) {
	names, err := r.repositoryNames(ctx)
	if err != nil {
		return oci.List{}, err
	}
	return pageOf(names, page), nil
}

func outOf(err error) error {
	switch {
	case err == nil:
		return nil
	case durable.Full(err), errors.Is(err, blob.ErrFull):
		return errors.Join(oci.ErrFull, err)
	case errors.Is(err, blob.ErrTooMany):
		return errors.Join(oci.ErrTooManyRequests, err)
	case errors.Is(err, blob.ErrTooLarge):
		return errors.Join(oci.ErrBlobTooLarge, err)
	case errors.Is(err, blob.ErrDigest):
		return oci.ErrDigestInvalid
	case errors.Is(err, blob.ErrNotFound):
		return oci.ErrBlobUnknown
	case errors.Is(err, blob.ErrUploadUnknown):
		return oci.ErrBlobUploadUnknown
	case errors.Is(err, blob.ErrBusy):
		return oci.ErrUploadBusy
	case errors.Is(err, blob.ErrOffset):
		return oci.ErrRangeInvalid
	}
	return err
}
