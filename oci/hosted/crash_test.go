package hosted_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/internal/durabletest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/ocitest"
)

// Every prefix of all changes to files, with what was not synced kept, dropped, torn or mixed: a registry that is opened
// on it has what was acknowledged before, and the change that was under way whole or not at all.
func TestEveryCrash(t *testing.T) {
	root := durabletest.Scratch(t)
	recorder := durabletest.NewRecorder(root)
	r := open(t, config{dir: filepath.Join(root, "registry"), layer: recorder})
	w := &workload{t: t, recorder: recorder, r: r}
	w.run()
	r.close()
	t.Logf("%d changes to files, %d acknowledgements", recorder.Len(), len(w.states))
	for n := range recorder.Len() + 1 {
		for _, loss := range durabletest.Losses {
			for seed := range uint64(3) {
				w.check(n, loss, seed)
			}
		}
	}
}

// workload is a sequence of changes, with the state of the registry after each.
type workload struct {
	t        *testing.T
	recorder *durabletest.Recorder
	r        *instance
	digests  []digest.Digest
	states   []state
}

type state struct {
	changes int // to files, when the change was acknowledged
	text    string
}

var crashRepositories = []string{"acme/app", "bob/tool"}

func (w *workload) run() {
	ctx := w.t.Context()
	w.done()
	for i := range 3 {
		w.blob("acme/app", fmt.Sprintf("layer %d ", i)+strings.Repeat("x", 300))
	}
	w.blob("acme/app", "{}")
	m := w.manifest("acme/app", "one", "v1", "latest")
	w.must(w.r.Mount(ctx, "bob/tool", w.digests[0], []string{"acme/app"}))
	w.blob("bob/tool", "{}")
	w.manifest("bob/tool", "two", "v1")
	w.manifest("acme/app", "three", "latest")
	w.must(nil, w.r.DeleteTag(ctx, "acme/app", "latest"))
	w.must(nil, w.r.DeleteManifest(ctx, "acme/app", m))
	w.must(nil, w.r.DeleteBlob(ctx, "acme/app", w.digests[1]))
	w.blob("acme/app", "layer after deletion")
	// A collection takes nothing that counts.
	_, err := w.r.Collect(ctx, hosted.CollectOptions{})
	w.must(nil, err)
	w.manifest("acme/app", "four", "v2")
}

func (w *workload) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	w.done()
}

func (w *workload) done() {
	w.states = append(w.states, state{changes: w.recorder.Len(), text: w.describe(w.r)})
}

func (w *workload) know(d digest.Digest) {
	if !slices.Contains(w.digests, d) {
		w.digests = append(w.digests, d)
	}
}

func (w *workload) blob(repository, content string) {
	w.t.Helper()
	ctx := w.t.Context()
	d := digest.FromString(content)
	w.know(d)
	u, err := w.r.StartUpload(ctx, repository, "")
	for _, part := range []string{content[:len(content)/2], content[len(content)/2:]} {
		if err == nil {
			_, err = u.Append(ctx, -1, strings.NewReader(part))
		}
	}
	if err == nil {
		_, err = u.Finish(ctx, d)
	}
	w.must(nil, err)
}

func (w *workload) manifest(repository, name string, tags ...string) digest.Digest {
	w.t.Helper()
	m := ocitest.Index()
	m.Content = fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"name":%q}}`, name)
	d := digest.FromBytes(m.Content)
	w.know(d)
	w.must(w.r.PutManifest(w.t.Context(), repository, m, tags))
	return d
}

// describe is all that can be seen of a registry.
func (w *workload) describe(r *instance) string {
	ctx := context.Background()
	var lines []string
	for _, name := range crashRepositories {
		list, err := r.Tags(ctx, name, oci.Page{N: oci.All})
		if err != nil && !errors.Is(err, oci.ErrNameUnknown) {
			lines = append(lines, err.Error())
		}
		for _, tag := range list.Names {
			m, err := r.Manifest(ctx, name, tag)
			lines = append(lines, fmt.Sprintf("%s:%s %s %v", name, tag, m.Digest, err))
		}
		for _, d := range w.digests {
			if m, err := r.Manifest(ctx, name, d.String()); !errors.Is(err, oci.ErrManifestUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
				lines = append(lines, fmt.Sprintf("%s manifest %s %v %v", name, d, digest.FromBytes(m.Content) == d, err))
			}
			if b, err := r.Blob(ctx, name, d, 0, -1); err == nil {
				content, err := io.ReadAll(b.Body)
				b.Close()
				lines = append(lines, fmt.Sprintf("%s blob %s %v %v", name, d, digest.FromBytes(content) == d, err))
			} else if !errors.Is(err, oci.ErrBlobUnknown) && !errors.Is(err, oci.ErrNameUnknown) {
				lines = append(lines, err.Error())
			}
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func (w *workload) check(n int, loss durabletest.Loss, seed uint64) {
	t := w.t
	t.Helper()
	dir := durabletest.Scratch(t)
	if err := w.recorder.Rebuild(dir, n, loss, seed); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("after %d (%s), %v", n, w.recorder.Op(n), loss)
	r, err := openDir(config{dir: filepath.Join(dir, "registry"), layer: durabletest.NoSync{}})
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	defer r.close()
	last := sort.Search(len(w.states), func(i int) bool { return w.states[i].changes > n }) - 1
	got := w.describe(r)
	acknowledged := last < 0 || got == w.states[last].text
	underWay := last+1 < len(w.states) && got == w.states[last+1].text
	if !acknowledged && !underWay {
		t.Errorf("%s: the registry has\n%s\nacknowledged was\n%s", where, got, w.states[max(last, 0)].text)
	}
	// And it goes on.
	d := ocitest.Blob(t, r, "acme/app", "after the crash")
	if _, err := r.StatBlob(t.Context(), "acme/app", d); err != nil {
		t.Errorf("%s: %v", where, err)
	}
}

// A process that is killed and a machine that fails later: what the second process acknowledged, on top of what the
// first had not synced, must survive, and no crash of the second may look like damage.
func TestCrashAfterCrash(t *testing.T) {
	root := durabletest.Scratch(t)
	recorder := durabletest.NewRecorder(root)
	w := &workload{t: t, recorder: recorder, r: open(t, config{dir: filepath.Join(root, "registry"), layer: recorder})}
	w.blob("acme/app", "{}")
	w.manifest("acme/app", "one", "v1")
	w.r.close()
	for n := range recorder.Len() + 1 {
		again := recorder.After(n) // killed: nothing lost, nothing more synced
		dir := durabletest.Scratch(t)
		if err := again.Rebuild(dir, n, durabletest.Kept, 1); err != nil {
			t.Fatal(err)
		}
		again.MoveTo(dir)
		r := open(t, config{dir: filepath.Join(dir, "registry"), layer: again})
		d := ocitest.Blob(t, r, "acme/app", "second process")
		r.close()
		for last := n; last <= again.Len(); last++ {
			seeds := 4
			if torn := strings.HasPrefix(again.Op(last), "write") && n >= recorder.Len()-2; torn {
				seeds = 40 // both processes' lines are in danger at once
			} else if last < again.Len() {
				continue
			}
			for seed := range uint64(seeds) {
				checkSecond(t, again, last, seed, d, fmt.Sprintf("killed after %d (%s), again after %d (%s)", n, recorder.Op(n), last, again.Op(last)))
			}
		}
	}
}

func checkSecond(t *testing.T, recorder *durabletest.Recorder, n int, seed uint64, d digest.Digest, where string) {
	t.Helper()
	dir := durabletest.Scratch(t)
	if err := recorder.Rebuild(dir, n, durabletest.Losses[seed%4], seed); err != nil {
		t.Fatal(err)
	}
	r, err := openDir(config{dir: filepath.Join(dir, "registry"), layer: durabletest.NoSync{}})
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	defer r.close()
	_, err = r.StatBlob(t.Context(), "acme/app", d)
	unknown := errors.Is(err, oci.ErrBlobUnknown) || errors.Is(err, oci.ErrNameUnknown)
	if err != nil && (n == recorder.Len() || !unknown) {
		t.Errorf("%s: %v", where, err)
	}
}
