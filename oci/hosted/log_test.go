package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/internal/durabletest"
	"pierhead.dev/pierhead/oci"
)

func openForTest(t *testing.T, dir string) *Registry {
	t.Helper()
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs"), Layer: durabletest.NoSync{}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(Config{Dir: dir, Blobs: blobs, Layer: durabletest.NoSync{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); blobs.Close() })
	return r
}

// log makes a log of so many records, each appended by itself.
func logOf(t *testing.T, count int) (data []byte, ends []int) {
	t.Helper()
	for i := range count {
		line, err := record{Op: opLink, Digest: digest.FromString(fmt.Sprint(i)), Size: int64(i)}.line(int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, line...)
		ends = append(ends, len(data))
	}
	return data, ends
}

// What a crash left is cut off; what a disk damaged later is told.
func TestParseLogTellsCrashFromDamage(t *testing.T) {
	data, ends := logOf(t, 5)
	for cut := range len(data) {
		records, good, err := parseLog(data[:cut])
		want := 0
		for want < len(ends) && ends[want] <= cut {
			want++
		}
		if err != nil || len(records) != want || want > 0 && good != int64(ends[want-1]) {
			t.Fatalf("cut at %d: %d records, good to %d, %v", cut, len(records), good, err)
		}
	}
	for at := range data {
		broken := bytes.Clone(data)
		broken[at] ^= 1
		records, good, err := parseLog(broken)
		if lastLine := at >= ends[3]; lastLine {
			if err != nil || len(records) != 4 || good != int64(ends[3]) {
				t.Errorf("byte %d of the last line: %d records, good to %d, %v", at, len(records), good, err)
			}
		} else if at == ends[3]-1 {
			continue // the newline before the last line: the two are one bad line, which nothing vouches for
		} else if !errors.Is(err, errDamaged) {
			t.Errorf("byte %d: %d records, %v", at, len(records), err)
		}
	}
	// Two lines of one write, of which the first did not reach the disk.
	first, _ := record{Op: opLink, Digest: digest.FromString("x")}.line(int64(len(data)))
	second, _ := record{Op: opLink, Digest: digest.FromString("y")}.line(int64(len(data)))
	clear(first[:len(first)-1])
	records, good, err := parseLog(append(append(bytes.Clone(data), first...), second...))
	if err != nil || len(records) != 5 || good != int64(len(data)) {
		t.Errorf("%d records, good to %d, %v", len(records), good, err)
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte("00000000 0 {}\n"))
	f.Add([]byte(""))
	line, _ := record{Op: opManifest, Digest: "sha256:x", Tags: []string{"v1"}, Annotations: map[string]string{"a": "b\n"}}.line(0)
	f.Add(line)
	f.Fuzz(func(t *testing.T, data []byte) {
		records, good, err := parseLog(data)
		if good < 0 || good > int64(len(data)) {
			t.Fatalf("good to %d of %d", good, len(data))
		}
		if err != nil {
			return
		}
		again, goodAgain, err := parseLog(data[:good])
		if err != nil || goodAgain != good || !reflect.DeepEqual(records, again) {
			t.Errorf("the good part alone: good to %d of %d, %v", goodAgain, good, err)
		}
	})
}

// A damaged repository is refused; the others go on.
func TestDamagedRepositoryIsRefused(t *testing.T) {
	dir := durabletest.Scratch(t)
	r := openForTest(t, dir)
	for _, name := range []string{"a/damaged", "a/good"} {
		for i := range 3 {
			if err := r.link(name, digest.FromString(fmt.Sprint(i)), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.cache = newCache(r.loadRepository) // forget
	name := filepath.Join(dir, "repositories", "a", "damaged", logName)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Tags(t.Context(), "a/damaged", oci.Page{}); !errors.Is(err, errDamaged) {
		t.Errorf("damaged: %v", err)
	}
	if err := r.link("a/damaged", digest.FromString("x"), 1); !errors.Is(err, errDamaged) {
		t.Errorf("writing to it: %v", err)
	}
	if _, err := r.Tags(t.Context(), "a/good", oci.Page{}); err != nil {
		t.Error(err)
	}
}

// A log that is mostly of the past is written anew, and says the same.
func TestCompaction(t *testing.T) {
	dir := durabletest.Scratch(t)
	r := openForTest(t, dir)
	ctx := t.Context()
	m := oci.Manifest{Content: []byte(`{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json"}`)}
	if _, err := r.PutManifest(ctx, "a/b", m, []string{"kept"}); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if _, err := r.PutManifest(ctx, "a/b", m, []string{fmt.Sprint("moving", i%3)}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "repositories", "a", "b", logName))
	if err != nil || info.Size() > 400_000 {
		t.Fatalf("%d bytes, %v", info.Size(), err)
	}
	want, err := r.Tags(ctx, "a/b", oci.Page{N: oci.All})
	if err != nil || len(want.Names) != 4 {
		t.Fatalf("%+v, %v", want, err)
	}
	r.cache = newCache(r.loadRepository)
	if got, err := r.Tags(ctx, "a/b", oci.Page{N: oci.All}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read again: %+v, %v", got, err)
	}
	if _, err := r.PutManifest(ctx, "a/b", m, []string{"after"}); err != nil {
		t.Error(err)
	}
}

// Repositories that are not in use are forgotten when there are too many entries, and read again.
func TestCacheIsBounded(t *testing.T) {
	r := openForTest(t, durabletest.Scratch(t))
	r.cache.max = 100
	for i := range 50 {
		if err := r.link(fmt.Sprintf("a/%d", i), digest.FromString("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	if r.cache.entries > 100 || len(r.cache.all) > 10 || r.cache.idle.Len() != len(r.cache.all) || len(r.cache.places) != len(r.cache.all) {
		t.Errorf("%d entries of %d repositories, %d idle, %d places", r.cache.entries, len(r.cache.all), r.cache.idle.Len(), len(r.cache.places))
	}
	for i := range 50 {
		if _, err := r.StatBlob(t.Context(), fmt.Sprintf("a/%d", i), digest.FromString("x")); err != nil {
			t.Error(err)
		}
	}
	for i := range 1000 { // names that are not there are not remembered
		if _, err := r.Tags(t.Context(), fmt.Sprintf("no/%d", i), oci.Page{}); !errors.Is(err, oci.ErrNameUnknown) {
			t.Fatal(err)
		}
	}
	if len(r.cache.all) > 10 {
		t.Errorf("%d repositories", len(r.cache.all))
	}
}

// A repository larger than all the room there is used to be read anew for every request.
func TestLargeRepositoryStays(t *testing.T) {
	r := openForTest(t, durabletest.Scratch(t))
	r.cache.max = 1
	loads := 0
	load := r.cache.load
	r.cache.load = func(name string) (*repository, error) { loads++; return load(name) }
	for i := range 20 {
		if err := r.link("a/large", digest.FromString(fmt.Sprint(i)), 1); err != nil {
			t.Fatal(err)
		}
	}
	if loads != 1 {
		t.Errorf("it was read %d times", loads)
	}
}
