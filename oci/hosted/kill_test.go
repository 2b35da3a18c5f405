package hosted_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/ocitest"
)

var kills = flag.Int("kills", 3, "how often TestKill kills a registry")

const killVariable = "PIERHEAD_TEST_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killVariable); dir != "" {
		if err := pushForever(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// pushForever is the child: it pushes from several goroutines and prints what was acknowledged, a line at a time.
func pushForever(dir string) error {
	r, err := openDir(config{dir: dir})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for worker := range 4 {
		go func() {
			for {
				if err := pushOne(r, worker); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

func pushOne(r oci.Registry, worker int) error {
	ctx := context.Background()
	repository := fmt.Sprintf("worker/%d", worker%2) // two of them share one
	content := strings.Repeat(fmt.Sprint(rand.Uint64()), 1+rand.IntN(20_000))
	d := digest.FromString(content)
	u, err := r.StartUpload(ctx, repository, "")
	if err == nil {
		_, err = u.Append(ctx, 0, strings.NewReader(content))
	}
	if err == nil {
		_, err = u.Finish(ctx, d)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "blob %s %s\n", repository, d)
	m := ocitest.Index()
	m.Content = fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"blob":%q}}`, d)
	tag := d.Encoded()[:20]
	pushed, err := r.PutManifest(ctx, repository, m, []string{tag})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "tag %s %s %s\n", repository, tag, pushed.Digest)
	return nil
}

// What was acknowledged survives kill -9 at random points.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	var acknowledged []string
	for range *kills {
		lines := killAfter(t, dir, 1+rand.IntN(200))
		acknowledged = append(acknowledged, lines...)
		r := open(t, config{dir: dir})
		for _, line := range acknowledged {
			if err := survived(t, r, strings.Fields(line)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		checkWhole(t, r)
		r.close()
	}
	t.Logf("%d kills, %d acknowledgements", *kills, len(acknowledged))
}

// killAfter starts the child, kills it after so many acknowledgements, and returns all that it gave.
func killAfter(t *testing.T, dir string, count int) []string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(executable)
	child.Env = append(os.Environ(), killVariable+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	var lines []string
	for reader := bufio.NewReader(out); ; {
		line, err := reader.ReadString('\n')
		if err != nil { // a line without its end was not printed whole
			return lines
		}
		if strings.HasPrefix(line, "error") {
			t.Fatal(line)
		}
		if lines = append(lines, line); len(lines) == count {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func survived(t *testing.T, r oci.Registry, fields []string) error {
	if fields[0] == "tag" {
		m, err := r.Manifest(t.Context(), fields[1], fields[2])
		if err == nil && m.Digest.String() != fields[3] {
			err = fmt.Errorf("the tag names %s", m.Digest)
		}
		return err
	}
	return whole(t, r, fields[1], digest.Digest(fields[2]))
}

func whole(t *testing.T, r oci.Registry, repository string, d digest.Digest) error {
	b, err := r.Blob(t.Context(), repository, d, 0, -1)
	if err != nil {
		return err
	}
	defer b.Close()
	verifier := d.Verifier()
	if _, err := io.Copy(verifier, b.Body); err != nil {
		return err
	}
	if !verifier.Verified() {
		return fmt.Errorf("the content does not match")
	}
	return nil
}

// checkWhole checks that every blob of the store is what its name says, and every tag leads somewhere.
func checkWhole(t *testing.T, r *instance) {
	t.Helper()
	for info, err := range r.blobs.Blobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		content, err := r.blobs.Read(t.Context(), info.Digest, 1<<30)
		if err != nil || digest.FromBytes(content) != info.Digest {
			t.Errorf("blob %s is not whole: %v", info.Digest, err)
		}
	}
	for _, name := range []string{"worker/0", "worker/1"} {
		list, err := r.Tags(t.Context(), name, oci.Page{N: oci.All})
		if err != nil {
			continue // killed before its first push
		}
		for _, tag := range list.Names {
			if _, err := r.Manifest(t.Context(), name, tag); err != nil {
				t.Errorf("%s:%s: %v", name, tag, err)
			}
		}
	}
}
