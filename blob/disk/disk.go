// Package disk keeps blobs in a directory:
//
//	lock
//	sha256/ab/abcdef…      the blobs; likewise sha512
//	uploads/ID             what an upload has taken so far
//	uploads/ID.json        its algorithm and note
//	uploads/.new-…         a Put under way
//
// A blob gets its name only when its bytes are on disk, so there is never half of one, and equal blobs are kept once.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/internal/durable"
)

// A Config says where the blobs are and what bounds them.
type Config struct {
	Dir        string        // is made where it is missing
	Layer      durable.Layer // for tests; nil is the operating system
	MaxBlob    int64         // bytes; zero: 1 TiB
	MaxUploads int           // under way at a time; zero: 10000
	Now        func() time.Time
}

// A Store keeps blobs in a directory. It is the only one there: a lock keeps other processes out.
type Store struct {
	dir        string
	layer      durable.Layer
	dirs       *durable.Dirs
	lock       *durable.Lock
	maxBlob    int64
	maxUploads int
	now        func() time.Time

	mu       sync.Mutex
	sessions map[string]*session
}

var _ blob.Store = (*Store)(nil)

// Open opens the directory. Error: durable.ErrLocked while another process, or another Store, has it.
func Open(c Config) (*Store, error) {
	s := &Store{
		dir: filepath.Clean(c.Dir), layer: c.Layer, maxBlob: c.MaxBlob, maxUploads: c.MaxUploads, now: c.Now,
		sessions: map[string]*session{},
	}
	if s.layer == nil {
		s.layer = durable.OS{}
	}
	if s.maxBlob <= 0 {
		s.maxBlob = 1 << 40
	}
	if s.maxUploads <= 0 {
		s.maxUploads = 10_000
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.dirs = durable.NewDirs(s.layer, s.dir)
	if err := s.dirs.Ensure(filepath.Join(s.dir, uploadsDir)); err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	lock, err := durable.AcquireLock(filepath.Join(s.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	s.lock = lock
	if err := s.loadUploads(); err != nil {
		return nil, errors.Join(fmt.Errorf("blob directory: %w", err), lock.Close())
	}
	return s, nil
}

// Close lets another process have the directory.
func (s *Store) Close() error { return s.lock.Close() }

func (s *Store) path(d digest.Digest) string {
	encoded := d.Encoded()
	return filepath.Join(s.dir, d.Algorithm().String(), encoded[:2], encoded)
}

// Open opens a blob as a file.
func (s *Store) Open(_ context.Context, d digest.Digest) (blob.Content, error) {
	f, err := os.Open(s.path(d))
	if err != nil {
		return blob.Content{}, notFound(d, err)
	}
	info, err := f.Stat()
	if err != nil {
		return blob.Content{}, errors.Join(fmt.Errorf("blob %s: %w", d, err), f.Close())
	}
	return blob.Content{Info: blob.Info{Digest: d, Size: info.Size()}, File: f}, nil
}

// Read returns a small blob whole.
func (s *Store) Read(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	content, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer content.File.Close()
	if content.Size > limit {
		return nil, fmt.Errorf("blob %s: %w", d, blob.ErrTooLarge)
	}
	data := make([]byte, content.Size)
	if _, err := io.ReadFull(content.File, data); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	return data, nil
}

// Stat tells a blob's size.
func (s *Store) Stat(_ context.Context, d digest.Digest) (blob.Info, error) {
	info, err := os.Stat(s.path(d))
	if err != nil {
		return blob.Info{}, notFound(d, err)
	}
	return blob.Info{Digest: d, Size: info.Size()}, nil
}

// Put keeps what r has.
func (s *Store) Put(ctx context.Context, d digest.Digest, r io.Reader) (blob.Info, error) {
	temp := durable.TempName(filepath.Join(s.dir, uploadsDir))
	f, err := s.layer.Create(temp)
	if err != nil {
		return blob.Info{}, writing(d, err)
	}
	w := &hashing{file: f, hash: d.Algorithm().Hash(), max: s.maxBlob}
	err = w.copy(ctx, r)
	if err == nil && w.digest(d.Algorithm()) != d {
		err = blob.ErrDigest
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = s.keep(temp, d)
	}
	if err != nil {
		// What is left behind goes at the next Open.
		_ = s.layer.Remove(temp)
		return blob.Info{}, writing(d, err)
	}
	return blob.Info{Digest: d, Size: w.size}, nil
}

// keep gives a synced file its name as a blob. It replaces an equal one rather than leave it: the other's name may not
// be synced yet, and then this call could not answer for it.
func (s *Store) keep(file string, d digest.Digest) error {
	target := s.path(d)
	if err := s.dirs.Ensure(filepath.Dir(target)); err != nil {
		return err
	}
	if err := s.layer.Rename(file, target); err != nil {
		return err
	}
	return s.layer.SyncDir(filepath.Dir(target))
}

// Delete takes a blob away. It is not synced: a blob that comes back after a crash does no harm.
func (s *Store) Delete(_ context.Context, d digest.Digest) error {
	if err := s.layer.Remove(s.path(d)); err != nil {
		return notFound(d, err)
	}
	return nil
}

// Blobs tells every blob.
func (s *Store) Blobs(ctx context.Context) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			fans, err := os.ReadDir(filepath.Join(s.dir, algorithm.String()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !yield(blob.Info{}, err) {
				return
			}
			for _, fan := range fans {
				if !s.blobsIn(ctx, algorithm, fan.Name(), yield) {
					return
				}
			}
		}
	}
}

func (s *Store) blobsIn(ctx context.Context, algorithm digest.Algorithm, fan string, yield func(blob.Info, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(blob.Info{}, err)
		return false
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, algorithm.String(), fan))
	if err != nil {
		return yield(blob.Info{}, err)
	}
	for _, entry := range entries {
		d := digest.NewDigestFromEncoded(algorithm, entry.Name())
		info, err := entry.Info()
		if d.Validate() != nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return yield(blob.Info{}, err)
		}
		if !yield(blob.Info{Digest: d, Size: info.Size()}, nil) {
			return false
		}
	}
	return true
}

func notFound(d digest.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob %s: %w", d, blob.ErrNotFound)
	}
	return fmt.Errorf("blob %s: %w", d, err)
}

func writing(what fmt.Stringer, err error) error {
	if durable.Full(err) {
		err = fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	return fmt.Errorf("writing %s: %w", what, err)
}

// temporary tells whether a name in the uploads directory is a Put that a crash interrupted.
func temporary(name string) bool { return strings.HasPrefix(name, durable.TempPrefix) }
