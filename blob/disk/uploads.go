package disk

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/internal/durable"
)

const (
	uploadsDir = "uploads"
	metaSuffix = ".json"
)

// storedUpload is what ID.json holds. Files of earlier versions stay readable: fields are added, never changed.
type storedUpload struct {
	Algorithm digest.Algorithm `json:"algorithm"`
	Note      string           `json:"note"`
}

// session is an upload. Its hash is nil after a restart, and made again from the file when it is needed: what was
// written but not synced before a power failure may be torn, so a hash that was kept beside it could not be trusted.
type session struct {
	store     *Store
	id        string
	algorithm digest.Algorithm
	note      string

	busy sync.Mutex // held by the one call that is served
	mu   sync.Mutex // guards what follows, for Info beside a running call
	gone bool
	size int64
	at   time.Time
	hash hash.Hash // only under busy
}

// maxIdle is how long an upload to which nothing comes may keep others from beginning.
const maxIdle = 10 * time.Minute

// Start begins an upload. It is not synced: an upload that a power failure took is begun again.
func (s *Store) Start(ctx context.Context, options blob.StartOptions) (blob.Upload, error) {
	u := &session{store: s, id: rand.Text(), algorithm: options.Algorithm, note: options.Note, at: s.now()}
	if u.algorithm == "" {
		u.algorithm = digest.SHA256
	}
	u.hash = u.algorithm.Hash()
	if !s.register(u) {
		s.dropIdle(ctx)
		if !s.register(u) {
			return nil, blob.ErrTooMany
		}
	}
	if err := u.create(); err != nil {
		u.remove()
		return nil, writing(u, err)
	}
	return u, nil
}

// register makes an upload known, unless there are too many.
func (s *Store) register(u *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= s.maxUploads {
		return false
	}
	s.sessions[u.id] = u
	return true
}

// dropIdle cancels the uploads that clients left behind: every broken push leaves one.
func (s *Store) dropIdle(ctx context.Context) {
	before := s.now().Add(-maxIdle)
	for info := range s.Uploads(ctx) {
		if info.Modified.After(before) {
			continue
		}
		if u, err := s.Upload(ctx, info.ID); err == nil {
			_ = u.Cancel(ctx) // one that is busy stays
		}
	}
}

func (u *session) create() error {
	meta, err := json.Marshal(storedUpload{Algorithm: u.algorithm, Note: u.note})
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{u.path() + metaSuffix, meta}, {u.path(), nil}} {
		f, err := u.store.layer.Create(file.name)
		if err != nil {
			return err
		}
		_, err = f.Write(file.data)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Upload finds an upload.
func (s *Store) Upload(_ context.Context, id string) (blob.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.sessions[id]; ok {
		return u, nil
	}
	return nil, blob.ErrUploadUnknown
}

// Uploads tells every upload.
func (s *Store) Uploads(context.Context) iter.Seq2[blob.UploadInfo, error] {
	return func(yield func(blob.UploadInfo, error) bool) {
		s.mu.Lock()
		sessions := make([]*session, 0, len(s.sessions))
		for _, u := range s.sessions {
			sessions = append(sessions, u)
		}
		s.mu.Unlock()
		for _, u := range sessions {
			if !yield(u.Info(), nil) {
				return
			}
		}
	}
}

// loadUploads finds the uploads of an earlier process, and clears away what is of no more use.
func (s *Store) loadUploads() error {
	dir := filepath.Join(s.dir, uploadsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, isMeta := strings.CutSuffix(entry.Name(), metaSuffix)
		switch {
		case temporary(entry.Name()):
			if err := s.layer.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		case isMeta:
			if err := s.loadUpload(id); err != nil {
				return err
			}
		default: // data: met with its meta file, or left over when that is gone
			if _, err := os.Stat(filepath.Join(dir, id+metaSuffix)); errors.Is(err, fs.ErrNotExist) {
				if err := s.layer.Remove(filepath.Join(dir, id)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Store) loadUpload(id string) error {
	u := &session{store: s, id: id}
	info, err := os.Stat(u.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	meta, metaErr := os.ReadFile(u.path() + metaSuffix)
	if metaErr != nil {
		return metaErr
	}
	var stored storedUpload
	usable := err == nil && json.Unmarshal(meta, &stored) == nil && stored.Algorithm.Available()
	// A second name means that a crash came between the two halves of a rename: this file is a finished blob already,
	// and appending to it would change that.
	if stat, ok := fileStat(info); usable && (!ok || stat.Nlink != 1) {
		usable = false
	}
	if !usable {
		return u.removeFiles()
	}
	u.algorithm, u.note, u.size, u.at = stored.Algorithm, stored.Note, info.Size(), info.ModTime()
	s.sessions[id] = u
	return nil
}

func fileStat(info os.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return stat, ok
}

func (u *session) path() string { return filepath.Join(u.store.dir, uploadsDir, u.id) }

// String names the upload in errors.
func (u *session) String() string { return "upload " + u.id }

// Info tells how far it is.
func (u *session) Info() blob.UploadInfo {
	u.mu.Lock()
	defer u.mu.Unlock()
	return blob.UploadInfo{ID: u.id, Note: u.note, Size: u.size, Modified: u.at}
}

// begin makes this the one call that is served.
func (u *session) begin() (done func(), err error) {
	if !u.busy.TryLock() {
		return nil, blob.ErrBusy
	}
	u.mu.Lock()
	gone := u.gone
	u.mu.Unlock()
	if gone {
		u.busy.Unlock()
		return nil, blob.ErrUploadUnknown
	}
	return u.busy.Unlock, nil
}

// Append takes r to its end.
func (u *session) Append(ctx context.Context, offset int64, r io.Reader) (blob.UploadInfo, error) {
	done, err := u.begin()
	if err != nil {
		return u.Info(), err
	}
	defer done()
	if offset >= 0 && offset != u.Info().Size {
		return u.Info(), blob.ErrOffset
	}
	f, err := u.store.layer.Append(u.path())
	if err != nil {
		return u.Info(), writing(u, err)
	}
	if err := u.rehash(f); err != nil {
		return u.Info(), errors.Join(writing(u, err), f.Close())
	}
	before := u.Info().Size
	w := &hashing{file: f, hash: u.hash, size: before, max: u.store.maxBlob, grown: u.grown}
	if err = w.copy(ctx, r); durable.Full(err) {
		// What came would be kept for the client to go on with; on a full disk it is in everybody's way.
		if cut := f.Truncate(before); cut == nil {
			u.hash = nil
			u.grown(before)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return u.Info(), writing(u, err)
	}
	return u.Info(), nil
}

func (u *session) grown(size int64) {
	u.mu.Lock()
	u.size, u.at = size, u.store.now()
	u.mu.Unlock()
}

// rehash makes the hash again after a restart.
func (u *session) rehash(f io.ReaderAt) error {
	if u.hash != nil {
		return nil
	}
	h := u.algorithm.Hash()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, u.Info().Size)); err != nil {
		return err
	}
	u.hash = h
	return nil
}

// Finish makes it a blob.
func (u *session) Finish(_ context.Context, d digest.Digest) (blob.Info, error) {
	done, err := u.begin()
	if err != nil {
		return blob.Info{}, err
	}
	defer done()
	f, err := u.store.layer.Append(u.path())
	if err != nil {
		return blob.Info{}, writing(u, err)
	}
	err = u.check(f, d)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		// Also after a sync that was refused: what is on disk is not known any more.
		u.remove()
		return blob.Info{}, writing(u, err)
	}
	if err := u.store.keep(u.path(), d); err != nil {
		return blob.Info{}, writing(u, err)
	}
	u.remove()
	return blob.Info{Digest: d, Size: u.Info().Size}, nil
}

func (u *session) check(f io.ReaderAt, d digest.Digest) error {
	h := u.hash
	if h == nil || d.Algorithm() != u.algorithm {
		h = d.Algorithm().Hash()
		if _, err := io.Copy(h, io.NewSectionReader(f, 0, u.Info().Size)); err != nil {
			return err
		}
	}
	if digest.NewDigest(d.Algorithm(), h) != d {
		return blob.ErrDigest
	}
	return nil
}

// Cancel takes it away.
func (u *session) Cancel(context.Context) error {
	done, err := u.begin()
	if err != nil {
		return err
	}
	defer done()
	if err := u.remove(); err != nil {
		return fmt.Errorf("cancelling %s: %w", u, err)
	}
	return nil
}

// remove forgets the upload; the caller holds busy, or is the only one who knows it.
func (u *session) remove() error {
	u.mu.Lock()
	u.gone = true
	u.mu.Unlock()
	u.store.mu.Lock()
	delete(u.store.sessions, u.id)
	u.store.mu.Unlock()
	return u.removeFiles()
}

func (u *session) removeFiles() error {
	var errs []error
	for _, name := range []string{u.path(), u.path() + metaSuffix} {
		if err := u.store.layer.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
