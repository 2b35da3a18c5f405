package disk_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
	"pierhead.dev/pierhead/blob/blobtest"
	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/durabletest"
)

func TestConformance(t *testing.T) {
	blobtest.Test(t, func(t *testing.T) (blob.Store, func() blob.Store) {
		dir := filepath.Join(t.TempDir(), "blobs")
		store := open(t, disk.Config{Dir: dir})
		t.Cleanup(func() { store.Close() })
		return store, func() blob.Store {
			store.Close()
			store = open(t, disk.Config{Dir: dir})
			return store
		}
	})
}

func open(t *testing.T, c disk.Config) *disk.Store {
	t.Helper()
	store, err := disk.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	defer open(t, disk.Config{Dir: dir}).Close()
	if _, err := disk.Open(disk.Config{Dir: dir}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
}

func TestBounds(t *testing.T) {
	s := open(t, disk.Config{Dir: t.TempDir(), MaxBlob: 10, MaxUploads: 2})
	defer s.Close()
	ctx := t.Context()
	if _, err := s.Put(ctx, digest.FromString("x"), strings.NewReader("more than ten bytes")); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("Put: %v", err)
	}
	u, err := s.Start(ctx, blob.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Append(ctx, 0, strings.NewReader("more than ten bytes")); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("Append: %v", err)
	}
	if _, err := s.Start(ctx, blob.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(ctx, blob.StartOptions{}); !errors.Is(err, blob.ErrTooMany) {
		t.Errorf("third Start: %v", err)
	}
}

// Broken pushes leave their uploads behind. When there were as many as may be, nobody could push any more.
func TestUploadsLeftBehindMakeRoom(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	s := open(t, disk.Config{Dir: t.TempDir(), MaxUploads: 3, Now: func() time.Time { return now }})
	defer s.Close()
	ctx := t.Context()
	start := func() blob.Upload {
		t.Helper()
		u, err := s.Start(ctx, blob.StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	left, slow, going := start(), start(), start()
	slowly, more := io.Pipe()
	ended := make(chan error)
	go func() {
		_, err := slow.Append(ctx, 0, slowly)
		ended <- err
	}()
	fmt.Fprint(more, "s") // it is being read from here on
	now = now.Add(9 * time.Minute)
	if _, err := going.Append(ctx, 0, strings.NewReader("g")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(ctx, blob.StartOptions{}); !errors.Is(err, blob.ErrTooMany) {
		t.Errorf("a fourth one after 9 minutes: %v", err)
	}
	now = now.Add(time.Minute)
	start()
	if _, err := s.Upload(ctx, left.Info().ID); !errors.Is(err, blob.ErrUploadUnknown) {
		t.Errorf("the one left behind: %v", err)
	}
	if _, err := going.Append(ctx, 1, strings.NewReader("g")); err != nil {
		t.Errorf("one that goes on: %v", err)
	}
	more.Close()
	if err := <-ended; err != nil {
		t.Errorf("a slow one: %v", err)
	}
}

// A full disk is told as such, what an upload brought in vain is given back, the upload can go on from where it stood
// once there is space, and a Put leaves nothing.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	layer := durabletest.NewDisk(300)
	s := open(t, disk.Config{Dir: dir, Layer: layer})
	defer s.Close()
	ctx := t.Context()
	content := strings.Repeat("0123456789", 100)
	d := digest.FromString(content)
	u, err := s.Start(ctx, blob.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Append(ctx, 0, strings.NewReader(content[:100])); err != nil {
		t.Fatal(err)
	}
	info, err := u.Append(ctx, 100, strings.NewReader(content[100:]))
	if !errors.Is(err, blob.ErrFull) || info.Size != 100 {
		t.Fatalf("Append: %+v, %v", info, err)
	}
	layer.Free.Store(10)
	if _, err := s.Put(ctx, d, strings.NewReader(content)); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Put: %v", err)
	}
	layer.Free.Store(0)
	if _, err := s.Start(ctx, blob.StartOptions{}); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Start: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "uploads")); len(entries) != 2 {
		t.Errorf("the uploads directory has %v; want the upload and its json", entries)
	}
	layer.Free.Store(1 << 20)
	if _, err := u.Append(ctx, info.Size, strings.NewReader(content[info.Size:])); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Finish(ctx, d); err != nil {
		t.Fatal(err)
	}
}

// A crash between the two halves of a rename leaves an upload that is a blob already. Going on with it would change that.
func TestUploadThatIsABlobAlready(t *testing.T) {
	dir := t.TempDir()
	s := open(t, disk.Config{Dir: dir})
	u, err := s.Start(t.Context(), blob.StartOptions{})
	if err == nil {
		_, err = u.Append(t.Context(), 0, strings.NewReader("content"))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	d := digest.FromString("content")
	name := filepath.Join(dir, "sha256", d.Encoded()[:2], d.Encoded())
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.Link(filepath.Join(dir, "uploads", u.Info().ID), name)); err != nil {
		t.Fatal(err)
	}
	s = open(t, disk.Config{Dir: dir})
	defer s.Close()
	if _, err := s.Upload(t.Context(), u.Info().ID); !errors.Is(err, blob.ErrUploadUnknown) {
		t.Errorf("Upload: %v", err)
	}
	if content, err := s.Read(t.Context(), d, 100); err != nil || string(content) != "content" {
		t.Errorf("the blob: %q, %v", content, err)
	}
}

// Every prefix of every change, whatever a crash takes of what was not synced: acknowledged blobs are there and whole,
// and no blob is anything but whole.
func TestEveryCrash(t *testing.T) {
	root := durabletest.Scratch(t)
	recorder := durabletest.NewRecorder(root)
	s := open(t, disk.Config{Dir: filepath.Join(root, "blobs"), Layer: recorder})
	contents := map[digest.Digest]string{}
	acknowledged := map[digest.Digest]int{} // after how many changes
	for i := range 6 {
		content := strings.Repeat(fmt.Sprint(i), 50)
		d := digest.FromString(content)
		contents[d] = content
		if err := push(t, s, content, d, i%2 == 0); err != nil {
			t.Fatal(err)
		}
		acknowledged[d] = recorder.Len()
	}
	s.Close()
	for n := range recorder.Len() + 1 {
		for _, loss := range durabletest.Losses {
			dir := durabletest.Scratch(t)
			if err := recorder.Rebuild(dir, n, loss, 1); err != nil {
				t.Fatal(err)
			}
			where := fmt.Sprintf("after %d (%s), %v", n, recorder.Op(n), loss)
			checkStore(t, filepath.Join(dir, "blobs"), where, contents, func(d digest.Digest) bool { return acknowledged[d] <= n })
		}
	}
}

func push(t *testing.T, s *disk.Store, content string, d digest.Digest, upload bool) error {
	ctx := t.Context()
	if !upload {
		_, err := s.Put(ctx, d, strings.NewReader(content))
		return err
	}
	u, err := s.Start(ctx, blob.StartOptions{Note: "note"})
	if err != nil {
		return err
	}
	for _, part := range []string{content[:20], content[20:]} {
		if _, err := u.Append(ctx, -1, strings.NewReader(part)); err != nil {
			return err
		}
	}
	_, err = u.Finish(ctx, d)
	return err
}

func checkStore(t *testing.T, dir, where string, contents map[digest.Digest]string, acknowledged func(digest.Digest) bool) {
	t.Helper()
	s, err := disk.Open(disk.Config{Dir: dir, Layer: durabletest.NoSync{}})
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer s.Close()
	ctx := t.Context()
	// An upload that is still there is driven on: that must not touch a blob.
	for info := range s.Uploads(ctx) {
		if u, err := s.Upload(ctx, info.ID); err != nil {
			t.Errorf("%s: %v", where, err)
		} else if _, err := u.Append(ctx, -1, strings.NewReader("poison")); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	for d, content := range contents {
		data, err := s.Read(ctx, d, 1<<20)
		if err != nil && (acknowledged(d) || !errors.Is(err, blob.ErrNotFound)) {
			t.Errorf("%s: %v", where, err)
		}
		if err == nil && string(data) != content {
			t.Errorf("%s: blob %s has %q", where, d, data)
		}
	}
}
