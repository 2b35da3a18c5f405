package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/durabletest"
)

// Whatever a crash loses, a file that WriteFile replaced has one of its contents, and the acknowledged one once it was.
func TestWriteFileSurvivesEveryCrash(t *testing.T) {
	root := t.TempDir()
	recorder := durabletest.NewRecorder(root)
	dirs := durable.NewDirs(recorder, filepath.Join(root, "a"))
	dir := filepath.Join(root, "a", "b")
	if err := dirs.Ensure(dir); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[int]string{} // changes made -> content that must be there from then on
	for i := range 5 {
		content := strings.Repeat(fmt.Sprint(i), 100)
		if err := durable.WriteFile(recorder, filepath.Join(dir, "file"), []byte(content)); err != nil {
			t.Fatal(err)
		}
		acknowledged[recorder.Len()] = content
	}
	for n := range recorder.Len() + 1 {
		for _, loss := range durabletest.Losses {
			checkCrash(t, recorder, n, loss, acknowledged)
		}
	}
}

func checkCrash(t *testing.T, recorder *durabletest.Recorder, n int, loss durabletest.Loss, acknowledged map[int]string) {
	t.Helper()
	want := ""
	for i := 0; i <= n; i++ {
		if content, ok := acknowledged[i]; ok {
			want = content
		}
	}
	dir := durabletest.Scratch(t)
	if err := recorder.Rebuild(dir, n, loss, 1); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "a", "b", "file"))
	if err != nil && want != "" {
		t.Errorf("after %d (%s), %v: %v", n, recorder.Op(n), loss, err)
	}
	if err == nil && string(got) < want {
		t.Errorf("after %d (%s), %v: %.5q…, acknowledged was %.5q…", n, recorder.Op(n), loss, got, want)
	}
	if err == nil && (len(got) != 100 || strings.Count(string(got), string(got[:1])) != 100) {
		t.Errorf("after %d (%s), %v: half a file: %q", n, recorder.Op(n), loss, got)
	}
}

// The recorder must find what it is there for: without the sync of the file, the test above fails.
func TestRecorderFindsAMissingSync(t *testing.T) {
	root := t.TempDir()
	recorder := durabletest.NewRecorder(root)
	f, err := recorder.Create(filepath.Join(root, "temp"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := errors.Join(recorder.Rename(filepath.Join(root, "temp"), filepath.Join(root, "file")), recorder.SyncDir(root)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := recorder.Rebuild(dir, recorder.Len(), durabletest.Dropped, 1); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || len(got) != 0 {
		t.Errorf("the file has %q, %v; it was never synced", got, err)
	}
}

// A full disk leaves the old content, and no rubbish beside it.
func TestWriteFileOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	disk := durabletest.NewDisk(150)
	if err := durable.WriteFile(disk, name, bytes.Repeat([]byte("a"), 100)); err != nil {
		t.Fatal(err)
	}
	err := durable.WriteFile(disk, name, bytes.Repeat([]byte("b"), 100))
	if !durable.Full(err) {
		t.Errorf("error %v", err)
	}
	if got, _ := os.ReadFile(name); string(got) != strings.Repeat("a", 100) {
		t.Errorf("content %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	lock, err := durable.AcquireLock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.AcquireLock(name); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	lock.Close()
	again, err := durable.AcquireLock(name)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
