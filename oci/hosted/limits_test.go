package hosted_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/durabletest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/ocitest"
)

var many = flag.Int("many", 10_000, "how many blobs and tags TestMany pushes")

// Many blobs and tags: pushing, listing and starting stay fast. The bounds are generous; they catch a scan per request.
func TestMany(t *testing.T) {
	dir := filepath.Join(durabletest.Scratch(t), "registry")
	r := open(t, config{dir: dir, layer: durabletest.NoSync{}})
	ctx := t.Context()
	began := time.Now()
	for i := range *many {
		ocitest.Blob(t, r, "a/many", fmt.Sprint("blob ", i))
		m := oci.Manifest{Content: fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"n":"%d"}}`, i)}
		if _, err := r.PutManifest(ctx, "a/many", m, []string{fmt.Sprintf("tag-%07d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d blobs and tags pushed in %v", *many, time.Since(began))
	r.close()

	began = time.Now()
	r = open(t, config{dir: dir, layer: durabletest.NoSync{}})
	opened := time.Since(began)
	began = time.Now()
	list, err := r.Tags(ctx, "a/many", oci.Page{N: oci.All})
	if err != nil || len(list.Names) != *many {
		t.Fatalf("%d tags, %v", len(list.Names), err)
	}
	first := time.Since(began)
	began = time.Now()
	const lookups = 1000
	for i := range lookups {
		tag := list.Names[i*(len(list.Names)-1)/lookups]
		page, err := r.Tags(ctx, "a/many", oci.Page{N: 10, Last: tag})
		if err != nil || len(page.Names) == 0 || page.Names[0] <= tag {
			t.Fatalf("%+v, %v", page, err)
		}
		if _, err := r.Manifest(ctx, "a/many", tag); err != nil {
			t.Fatal(err)
		}
	}
	each := time.Since(began) / lookups
	t.Logf("opened in %v, first list in %v, a page and a manifest in %v", opened, first, each)
	if opened > time.Second || each > 2*time.Millisecond {
		t.Errorf("opened in %v, a page and a manifest in %v", opened, each)
	}
	report, err := r.Collect(ctx, hosted.CollectOptions{})
	if err != nil || report.Manifests != *many {
		t.Fatalf("%+v, %v", report, err)
	}
	t.Logf("collected in %v", report.Took)
}

// A full disk is told as such, and nothing half-written is left to see; when there is space again, everything goes on.
func TestFullDisk(t *testing.T) {
	layer := durabletest.NewDisk(1 << 20)
	r := open(t, config{dir: durabletest.Scratch(t), layer: layer})
	ctx := t.Context()
	kept := ocitest.Blob(t, r, "a/b", "kept")
	m := ocitest.Index()
	if _, err := r.PutManifest(ctx, "a/b", m, []string{"v1"}); err != nil {
		t.Fatal(err)
	}
	refused := 0
	const step = 7
	for free := int64(0); free < 600; free += step {
		layer.Free.Store(free)
		repository := fmt.Sprintf("new/%d", free)
		if err := pushBlob(t, r, repository, strings.Repeat("x", 200)); errors.Is(err, oci.ErrFull) {
			refused++
		} else if err != nil {
			t.Fatalf("blob with %d bytes free: %v", free, err)
		}
		layer.Free.Store(free)
		full := oci.Manifest{Content: fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"n":"%d"}}`, free)}
		if _, err := r.PutManifest(ctx, "a/b", full, []string{"v2"}); err != nil && !errors.Is(err, oci.ErrFull) {
			t.Fatalf("manifest with %d bytes free: %v", free, err)
		}
		if _, err := r.Manifest(ctx, "a/b", "v1"); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 200/step || refused >= 600/step {
		t.Errorf("%d pushes were refused", refused)
	}
	layer.Free.Store(1 << 30)
	if err := pushBlob(t, r, "a/b", "after"); err != nil {
		t.Error(err)
	}
	if err := whole(t, r, "a/b", kept); err != nil {
		t.Error(err)
	}
	for info, err := range r.blobs.Blobs(ctx) {
		if content, readErr := r.blobs.Read(ctx, info.Digest, 1<<20); err != nil || readErr != nil || digest.FromBytes(content) != info.Digest {
			t.Errorf("%s: %v, %v", info.Digest, err, readErr)
		}
	}
}

func pushBlob(t *testing.T, r *instance, repository, content string) error {
	ctx := t.Context()
	u, err := r.StartUpload(ctx, repository, "")
	if err != nil {
		return err
	}
	if _, err := u.Append(ctx, 0, strings.NewReader(content)); err != nil {
		return errors.Join(err, u.Cancel(ctx))
	}
	if _, err := u.Finish(ctx, digest.FromString(content)); err != nil {
		if cancelErr := u.Cancel(ctx); cancelErr != nil && !errors.Is(cancelErr, oci.ErrBlobUploadUnknown) {
			return cancelErr
		}
		return err
	}
	return nil
}

// A second process is kept out, and a directory of a later version is refused before anything is touched.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	r := open(t, config{dir: dir})
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(t.TempDir(), "blobs")})
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	if _, err := hosted.Open(hosted.Config{Dir: dir, Blobs: blobs}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
	r.close()
	if err := os.WriteFile(filepath.Join(dir, "format"), []byte("pierhead hosted registry 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hosted.Open(hosted.Config{Dir: dir, Blobs: blobs}); err == nil || !strings.Contains(err.Error(), "registry 2") {
		t.Errorf("later format: %v", err)
	}
}

// What was pushed, an upload under way too, is there after a restart.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	r := open(t, config{dir: dir})
	ctx := t.Context()
	m := ocitest.Image(t, r, "a/b", "layer")
	if _, err := r.PutManifest(ctx, "a/b", m, []string{"v1"}); err != nil {
		t.Fatal(err)
	}
	u, err := r.StartUpload(ctx, "a/b", "")
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader("one "))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	r = open(t, config{dir: dir})
	if got, err := r.Manifest(ctx, "a/b", "v1"); err != nil || string(got.Content) != string(m.Content) {
		t.Errorf("%+v, %v", got, err)
	}
	again, err := r.Upload(ctx, "a/b", u.Status().ID)
	if err != nil || again.Status().Size != 4 {
		t.Fatalf("upload: %v", err)
	}
	if _, err := again.Append(ctx, 4, strings.NewReader("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Finish(ctx, digest.FromString("one two")); err != nil {
		t.Error(err)
	}
}

// Everything at once, for the race detector, in few repositories.
func TestConcurrent(t *testing.T) {
	r := open(t, config{dir: durabletest.Scratch(t), layer: durabletest.NoSync{}})
	ctx := t.Context()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			repository := fmt.Sprintf("a/%d", worker%2)
			for i := range 20 {
				m := ocitest.Image(t, r, repository, fmt.Sprint("layer ", worker, i))
				_, err := r.PutManifest(ctx, repository, m, []string{fmt.Sprint("t", worker, "-", i), "latest"})
				if err == nil {
					_, err = r.Manifest(ctx, repository, fmt.Sprint("t", worker, "-", i))
				}
				if err == nil {
					_, err = r.Tags(ctx, repository, oci.Page{N: 5})
				}
				if err == nil && i%3 == 0 {
					err = r.DeleteTag(ctx, repository, fmt.Sprint("t", worker, "-", i))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, name := range []string{"a/0", "a/1"} {
		if list, err := r.Tags(ctx, name, oci.Page{N: oci.All}); err != nil || len(list.Names) != 4*13+1 {
			t.Errorf("%s: %d tags, %v", name, len(list.Names), err)
		}
	}
}

// BenchmarkManifest is a warm manifest by tag.
func BenchmarkManifest(b *testing.B) {
	i, err := openDir(config{dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer i.close()
	m := ocitest.Image(b, i, "a/b", "layer")
	if _, err := i.PutManifest(b.Context(), "a/b", m, []string{"v1"}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Manifest(b.Context(), "a/b", "v1"); err != nil {
			b.Fatal(err)
		}
	}
}
