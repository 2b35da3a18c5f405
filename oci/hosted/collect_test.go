package hosted_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/internal/durabletest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/ocitest"
)

// clock is a time that the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func collect(t *testing.T, r *instance, options hosted.CollectOptions) hosted.Report {
	t.Helper()
	report, err := r.Collect(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestCollectTakesWhatNothingNames(t *testing.T) {
	clock := newClock()
	r := open(t, config{dir: durabletest.Scratch(t), now: clock.now})
	ctx := t.Context()
	m := ocitest.Image(t, r, "a/kept", "layer")
	if _, err := r.PutManifest(ctx, "a/kept", m, []string{"v1"}); err != nil {
		t.Fatal(err)
	}
	rubbish := ocitest.Blob(t, r, "a/kept", "rubbish")
	gone := ocitest.Image(t, r, "a/gone", "deleted layer")
	if _, err := r.PutManifest(ctx, "a/gone", gone, []string{"v1"}); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteManifest(ctx, "a/gone", digest.FromBytes(gone.Content)); err != nil {
		t.Fatal(err)
	}
	u, err := r.StartUpload(ctx, "a/kept", "")
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader("half"))
	}
	if err != nil {
		t.Fatal(err)
	}

	// Young content stays, but for the deleted manifest's bytes: nobody can ask for those any more.
	report := collect(t, r, hosted.CollectOptions{DryRun: true})
	if report.Removed.Links != 0 || report.Removed.Uploads != 0 || report.Removed.Blobs != 1 || report.Removed.Bytes != int64(len(gone.Content)) {
		t.Errorf("young: %+v", report)
	}
	clock.add(25 * time.Hour)
	dry := collect(t, r, hosted.CollectOptions{DryRun: true})
	want := hosted.Removed{Links: 3, Blobs: 4, Bytes: dry.Removed.Bytes, Uploads: 1, Uploaded: 4}
	if dry.Removed != want || !dry.DryRun || dry.Repositories != 2 || dry.Manifests != 1 || dry.Tags != 1 || dry.Blobs != 3 {
		t.Errorf("dry run: %+v", dry)
	}
	if _, err := r.StatBlob(ctx, "a/kept", rubbish); err != nil {
		t.Fatalf("the dry run took something: %v", err)
	}
	clock.add(25 * time.Hour) // as looking at it made it young again
	real := collect(t, r, hosted.CollectOptions{})
	if real.Removed != dry.Removed || real.Blobs != dry.Blobs || real.Bytes != dry.Bytes {
		t.Errorf("dry run %+v, then %+v", dry, real)
	}
	if _, err := r.StatBlob(ctx, "a/kept", rubbish); !errors.Is(err, oci.ErrBlobUnknown) {
		t.Errorf("rubbish: %v", err)
	}
	if err := whole(t, r, "a/kept", digest.FromString("layer")); err != nil {
		t.Error(err)
	}
	if _, err := r.Manifest(ctx, "a/kept", "v1"); err != nil {
		t.Error(err)
	}
	if again := collect(t, r, hosted.CollectOptions{}); again.Removed != (hosted.Removed{}) {
		t.Errorf("once more: %+v", again)
	}
}

// Untagged manifests stay unless asked for; then those stay that a tag leads to.
func TestCollectUntagged(t *testing.T) {
	clock := newClock()
	r := open(t, config{dir: durabletest.Scratch(t), now: clock.now})
	ctx := t.Context()
	put := func(m oci.Manifest, tags ...string) digest.Digest {
		t.Helper()
		pushed, err := r.PutManifest(ctx, "a/b", m, tags)
		if err != nil {
			t.Fatal(err)
		}
		return pushed.Digest
	}
	refer := func(subject digest.Digest, name string) oci.Manifest {
		return oci.Manifest{Content: fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"name":%q},
			"subject":{"mediaType":"x","digest":%q,"size":1}}`, name, subject)}
	}
	child := ocitest.Image(t, r, "a/b", "child layer")
	untagged := ocitest.Image(t, r, "a/b", "untagged layer")
	kept := map[string]digest.Digest{"child": put(child), "index": put(ocitest.Index(child), "v1")}
	kept["signature of the child"] = put(refer(kept["child"], "signature"))
	kept["signature of the signature"] = put(refer(kept["signature of the child"], "deep"))
	gone := map[string]digest.Digest{"untagged": put(untagged)}
	gone["its signature"] = put(refer(gone["untagged"], "useless"))
	gone["signature of nothing"] = put(refer(digest.FromString("nothing"), "lost"))

	clock.add(2 * time.Hour)
	if report := collect(t, r, hosted.CollectOptions{}); report.Removed.Manifests != 0 || report.Manifests != 7 {
		t.Errorf("not asked for: %+v", report)
	}
	young := put(refer(digest.FromString("nothing"), "young"))
	report := collect(t, r, hosted.CollectOptions{Untagged: true})
	if report.Removed.Manifests != 3 || report.Manifests != 5 || report.Removed.Links != 2 {
		t.Errorf("%+v", report)
	}
	for name, d := range kept {
		if _, err := r.Manifest(ctx, "a/b", d.String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Manifest(ctx, "a/b", young.String()); err != nil {
		t.Errorf("young: %v", err)
	}
	for name, d := range gone {
		if _, err := r.Manifest(ctx, "a/b", d.String()); !errors.Is(err, oci.ErrManifestUnknown) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if err := whole(t, r, "a/b", digest.FromString("child layer")); err != nil {
		t.Error(err)
	}
}

// Pushes beside collections that take everything old enough, and everything is: what was acknowledged is there.
func TestCollectBesidePushes(t *testing.T) {
	r := open(t, config{dir: durabletest.Scratch(t), layer: durabletest.NoSync{}})
	ctx, cancel := context.WithCancel(t.Context())
	var collector, pushers sync.WaitGroup
	collections := 0
	collector.Go(func() {
		for ; ctx.Err() == nil; collections++ {
			if _, err := r.Collect(ctx, hosted.CollectOptions{}); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	for worker := range 4 {
		pushers.Go(func() {
			for i := range 100 {
				// The same few contents come and go all the time, in several repositories.
				content := fmt.Sprint("content ", i%5)
				if err := pushAndDelete(t, r, fmt.Sprintf("w/%d", worker), content); err != nil {
					t.Errorf("worker %d, round %d: %v", worker, i, err)
					return
				}
			}
		})
	}
	pushers.Wait()
	cancel()
	collector.Wait()
	t.Logf("%d collections beside 400 pushes", collections)
}

func pushAndDelete(t *testing.T, r *instance, repository, content string) error {
	ctx := t.Context()
	m := ocitest.Image(t, r, repository, content)
	pushed, err := r.PutManifest(ctx, repository, m, []string{"v1"})
	if err != nil {
		return err
	}
	layer := digest.FromString(content)
	if _, err := r.Mount(ctx, repository+"/mounted", layer, []string{repository}); err != nil {
		return err
	}
	for _, name := range []string{repository, repository + "/mounted"} {
		if err := whole(t, r, name, layer); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.DeleteBlob(ctx, name, layer); err != nil {
			return err
		}
	}
	if _, err := r.Manifest(ctx, repository, "v1"); err != nil {
		return err
	}
	return r.DeleteManifest(ctx, repository, pushed.Digest)
}

// On a full disk a collection makes room. It used to end at the first record that found no room in a log, before it had
// deleted a byte.
func TestCollectOnFullDisk(t *testing.T) {
	layer := durabletest.NewDisk(1 << 20)
	r := open(t, config{dir: durabletest.Scratch(t), layer: layer})
	ctx := t.Context()
	m := ocitest.Image(t, r, "a/kept", "layer")
	if _, err := r.PutManifest(ctx, "a/kept", m, []string{"v1"}); err != nil {
		t.Fatal(err)
	}
	ocitest.Blob(t, r, "a/kept", "rubbish of a repository")
	u, err := r.StartUpload(ctx, "b/new", "")
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader("given up"))
	}
	if err != nil {
		t.Fatal(err)
	}
	layer.Free.Store(0)
	all := hosted.CollectOptions{MinAge: -1, UploadAge: -1}
	report, err := r.Collect(ctx, all)
	if !errors.Is(err, oci.ErrFull) || report.Removed.Uploads != 1 || report.Removed.Uploaded != 8 || report.Removed.Links != 0 {
		t.Errorf("with no room for a record: %+v, %v", report, err)
	}
	layer.Free.Store(1 << 20)
	ocitest.Blob(t, r, "b/lost", "no record of it")
	if err := r.DeleteBlob(ctx, "b/lost", digest.FromString("no record of it")); err != nil {
		t.Fatal(err)
	}
	layer.Free.Store(0)
	report, err = r.Collect(ctx, all)
	if !errors.Is(err, oci.ErrFull) || report.Removed.Blobs != 1 || report.Blobs != 4 || report.Repositories != 2 {
		t.Errorf("what no repository has: %+v, %v", report, err)
	}
	layer.Free.Store(1 << 10)
	if report = collect(t, r, all); report.Removed.Links != 1 || report.Removed.Blobs != 1 || report.Blobs != 3 {
		t.Errorf("with room again: %+v", report)
	}
	if err := whole(t, r, "a/kept", digest.FromString("layer")); err != nil {
		t.Error(err)
	}
}
