// Package blobtest is what every blob.Store must do.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob"
)

// Test runs the conformance tests. Each gets a new, empty store from open; reopen closes it and opens it again with
// what it holds.
func Test(t *testing.T, open func(t *testing.T) (store blob.Store, reopen func() blob.Store)) {
	t.Run("PutOpenDelete", func(t *testing.T) { s, _ := open(t); testPut(t, s) })
	t.Run("PutRefuses", func(t *testing.T) { s, _ := open(t); testPutRefuses(t, s) })
	t.Run("Upload", func(t *testing.T) { s, _ := open(t); testUpload(t, s) })
	t.Run("UploadOffsets", func(t *testing.T) { s, _ := open(t); testOffsets(t, s) })
	t.Run("UploadBreaksOff", func(t *testing.T) { s, _ := open(t); testBreaksOff(t, s) })
	t.Run("UploadOtherAlgorithm", func(t *testing.T) { s, _ := open(t); testOtherAlgorithm(t, s) })
	t.Run("UploadWrongDigest", func(t *testing.T) { s, _ := open(t); testWrongDigest(t, s) })
	t.Run("UploadCancel", func(t *testing.T) { s, _ := open(t); testCancel(t, s) })
	t.Run("UploadBusy", func(t *testing.T) { s, _ := open(t); testBusy(t, s) })
	t.Run("Restart", func(t *testing.T) { s, reopen := open(t); testRestart(t, s, reopen) })
	t.Run("Walk", func(t *testing.T) { s, _ := open(t); testWalk(t, s) })
	t.Run("Concurrent", func(t *testing.T) { s, _ := open(t); testConcurrent(t, s) })
}

func testPut(t *testing.T, s blob.Store) {
	ctx := t.Context()
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		for _, content := range []string{"", "hello", strings.Repeat("0123456789", 100_000)} {
			d := algorithm.FromString(content)
			want(t, open(ctx, s, d), blob.ErrNotFound)
			for range 2 { // the second one finds it there
				if info, err := s.Put(ctx, d, strings.NewReader(content)); err != nil || info.Size != int64(len(content)) {
					t.Fatalf("Put: %+v, %v", info, err)
				}
			}
			holds(t, s, d, content)
			want(t, s.Delete(ctx, d), nil)
			want(t, open(ctx, s, d), blob.ErrNotFound)
			want(t, s.Delete(ctx, d), blob.ErrNotFound)
			_, err := s.Stat(ctx, d)
			want(t, err, blob.ErrNotFound)
		}
	}
}

func testPutRefuses(t *testing.T, s blob.Store) {
	ctx := t.Context()
	d := digest.FromString("right")
	_, err := s.Put(ctx, d, strings.NewReader("wrong"))
	want(t, err, blob.ErrDigest)
	broken := errors.New("broken")
	_, err = s.Put(ctx, d, io.MultiReader(strings.NewReader("ri"), iotest.ErrReader(broken)))
	want(t, err, broken)
	want(t, open(ctx, s, d), blob.ErrNotFound)
	if _, err := s.Put(ctx, d, strings.NewReader("right")); err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(ctx, d, 4)
	want(t, err, blob.ErrTooLarge)
}

func testUpload(t *testing.T, s blob.Store) {
	ctx := t.Context()
	u := start(t, s, "")
	again, err := s.Upload(ctx, u.Info().ID)
	if err != nil || again.Info().Note != "note" {
		t.Fatalf("Upload: %v", err)
	}
	d := digest.FromString("onetwothree")
	for i, part := range []string{"one", "two", "", "three"} {
		offset := int64(-1)
		if i%2 == 1 {
			offset = u.Info().Size
		}
		if _, err := u.Append(ctx, offset, iotest.OneByteReader(strings.NewReader(part))); err != nil {
			t.Fatal(err)
		}
		want(t, open(ctx, s, d), blob.ErrNotFound) // nothing can be read before Finish
	}
	if info, err := u.Finish(ctx, d); err != nil || info.Size != 11 || info.Digest != d {
		t.Fatalf("Finish: %+v, %v", info, err)
	}
	holds(t, s, d, "onetwothree")
	isGone(t, s, u)
}

func testOffsets(t *testing.T, s blob.Store) {
	ctx := t.Context()
	u := start(t, s, digest.SHA256)
	for _, offset := range []int64{1, 100} {
		_, err := u.Append(ctx, offset, strings.NewReader("x"))
		want(t, err, blob.ErrOffset)
	}
	if info, err := u.Append(ctx, 0, strings.NewReader("ab")); err != nil || info.Size != 2 {
		t.Fatalf("%+v, %v", info, err)
	}
	for _, offset := range []int64{0, 1, 3} {
		info, err := u.Append(ctx, offset, strings.NewReader("x"))
		want(t, err, blob.ErrOffset)
		if info.Size != 2 {
			t.Errorf("size %d after a refusal", info.Size)
		}
	}
	if _, err := u.Finish(ctx, digest.FromString("ab")); err != nil {
		t.Error(err)
	}
}

func testBreaksOff(t *testing.T, s blob.Store) {
	ctx := t.Context()
	u := start(t, s, digest.SHA256)
	info, err := u.Append(ctx, 0, io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	want(t, err, io.ErrUnexpectedEOF)
	if info.Size != 2 {
		t.Fatalf("size %d, want what came: 2", info.Size)
	}
	if _, err := u.Append(ctx, 2, strings.NewReader("c")); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Finish(ctx, digest.FromString("abc")); err != nil {
		t.Error(err)
	}
	holds(t, s, digest.FromString("abc"), "abc")
}

func testOtherAlgorithm(t *testing.T, s blob.Store) {
	u := start(t, s, digest.SHA256)
	if _, err := u.Append(t.Context(), 0, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	d := digest.SHA512.FromString("abc")
	if _, err := u.Finish(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	holds(t, s, d, "abc")
}

func testWrongDigest(t *testing.T, s blob.Store) {
	u := start(t, s, digest.SHA512)
	if _, err := u.Append(t.Context(), 0, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	d := digest.SHA512.FromString("abd")
	_, err := u.Finish(t.Context(), d)
	want(t, err, blob.ErrDigest)
	want(t, open(t.Context(), s, d), blob.ErrNotFound)
	isGone(t, s, u)
}

func testCancel(t *testing.T, s blob.Store) {
	u := start(t, s, "")
	if _, err := u.Append(t.Context(), -1, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	want(t, u.Cancel(t.Context()), nil)
	isGone(t, s, u)
}

func testBusy(t *testing.T, s blob.Store) {
	ctx := t.Context()
	u := start(t, s, "")
	r, w := io.Pipe()
	done := make(chan error)
	go func() { _, err := u.Append(ctx, 0, r); done <- err }()
	if _, err := w.Write([]byte("abc")); err != nil { // returns when Append reads
		t.Fatal(err)
	}
	_, err := u.Append(ctx, -1, strings.NewReader("x"))
	want(t, err, blob.ErrBusy)
	_, err = u.Finish(ctx, digest.FromString(""))
	want(t, err, blob.ErrBusy)
	want(t, u.Cancel(ctx), blob.ErrBusy)
	w.Close()
	want(t, <-done, nil)
	if _, err := u.Finish(ctx, digest.FromString("abc")); err != nil {
		t.Error(err)
	}
}

func testRestart(t *testing.T, s blob.Store, reopen func() blob.Store) {
	ctx := t.Context()
	if _, err := s.Put(ctx, digest.FromString("kept"), strings.NewReader("kept")); err != nil {
		t.Fatal(err)
	}
	u := start(t, s, digest.SHA512)
	if _, err := u.Append(ctx, 0, strings.NewReader("first ")); err != nil {
		t.Fatal(err)
	}
	cancelled := start(t, s, "")
	want(t, cancelled.Cancel(ctx), nil)
	s = reopen()
	holds(t, s, digest.FromString("kept"), "kept")
	if _, err := s.Upload(ctx, cancelled.Info().ID); !errors.Is(err, blob.ErrUploadUnknown) {
		t.Errorf("cancelled upload is back: %v", err)
	}
	again, err := s.Upload(ctx, u.Info().ID)
	if err != nil {
		t.Fatal(err)
	}
	if info := again.Info(); info.Size != 6 || info.Note != "note" {
		t.Fatalf("%+v", info)
	}
	if _, err := again.Append(ctx, 6, strings.NewReader("second")); err != nil {
		t.Fatal(err)
	}
	d := digest.SHA512.FromString("first second")
	if _, err := again.Finish(ctx, d); err != nil {
		t.Fatal(err)
	}
	holds(t, s, d, "first second")
}

func testWalk(t *testing.T, s blob.Store) {
	ctx := t.Context()
	u := start(t, s, "")
	if _, err := u.Append(ctx, 0, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	missing := map[digest.Digest]bool{}
	for _, content := range []string{"", "a", "b", "c"} {
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			d := algorithm.FromString(content)
			if _, err := s.Put(ctx, d, strings.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			missing[d] = true
		}
	}
	for info, err := range s.Blobs(ctx) {
		if err != nil || !missing[info.Digest] {
			t.Fatalf("%+v, %v", info, err)
		}
		delete(missing, info.Digest)
	}
	if len(missing) > 0 {
		t.Errorf("not told: %v", missing)
	}
	uploads := 0
	for info, err := range s.Uploads(ctx) {
		if uploads++; err != nil || info.ID != u.Info().ID || info.Size != 3 || info.Modified.IsZero() {
			t.Errorf("%+v, %v", info, err)
		}
	}
	if uploads != 1 {
		t.Errorf("%d uploads", uploads)
	}
}

func testConcurrent(t *testing.T, s blob.Store) {
	ctx := t.Context()
	content := bytes.Repeat([]byte("x"), 100_000)
	d := digest.FromBytes(content)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			u, err := s.Start(ctx, blob.StartOptions{})
			if err == nil {
				_, err = u.Append(ctx, 0, bytes.NewReader(content))
			}
			if err == nil {
				_, err = u.Finish(ctx, d)
			}
			if err == nil {
				_, err = s.Put(ctx, d, bytes.NewReader(content))
			}
			if err == nil {
				_, err = s.Read(ctx, d, 1<<20)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	holds(t, s, d, string(content))
}

func start(t *testing.T, s blob.Store, algorithm digest.Algorithm) blob.Upload {
	t.Helper()
	u, err := s.Start(t.Context(), blob.StartOptions{Algorithm: algorithm, Note: "note"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func isGone(t *testing.T, s blob.Store, u blob.Upload) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Upload(ctx, u.Info().ID)
	want(t, err, blob.ErrUploadUnknown)
	_, err = u.Append(ctx, -1, strings.NewReader("x"))
	want(t, err, blob.ErrUploadUnknown)
	_, err = u.Finish(ctx, digest.FromString("x"))
	want(t, err, blob.ErrUploadUnknown)
	want(t, u.Cancel(ctx), blob.ErrUploadUnknown)
}

func holds(t *testing.T, s blob.Store, d digest.Digest, content string) {
	t.Helper()
	data, err := s.Read(t.Context(), d, 1<<30)
	if err != nil || string(data) != content {
		t.Errorf("Read %s: %d bytes, want %d; %v", d, len(data), len(content), err)
	}
	if info, err := s.Stat(t.Context(), d); err != nil || info.Size != int64(len(content)) || info.Digest != d {
		t.Errorf("Stat %s: %+v, %v", d, info, err)
	}
	opened, err := s.Open(t.Context(), d)
	if err != nil {
		t.Errorf("Open %s: %v", d, err)
		return
	}
	if (opened.File == nil) == (opened.Location == "") || opened.Size != int64(len(content)) {
		t.Errorf("Open %s: %+v", d, opened)
	}
	if opened.File != nil {
		defer opened.File.Close()
		if data, err := io.ReadAll(opened.File); err != nil || string(data) != content {
			t.Errorf("file of %s: %d bytes, %v", d, len(data), err)
		}
	}
}

func open(ctx context.Context, s blob.Store, d digest.Digest) error {
	content, err := s.Open(ctx, d)
	if err == nil && content.File != nil {
		content.File.Close()
	}
	return err
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v", err, target)
	}
}
