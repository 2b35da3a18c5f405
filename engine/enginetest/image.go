package enginetest

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

//go:embed testdata/hello/main.go
var helloSource []byte

// HelloProgram builds the static program that the containers run and returns its content.
func HelloProgram(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "main.go"), helloSource, 0o644))
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "hello", "main.go")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GO111MODULE=off")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the hello program: %v\n%s", err, output)
	}
	program, err := os.ReadFile(filepath.Join(dir, "hello"))
	must(t, err)
	return program
}

// An Entry is a file of an image, or a link where Link is set.
type Entry struct {
	Name    string
	Content []byte
	Link    string
}

// NewImage makes an image for this machine of one layer, never seen before, with a configuration that has what
// engines stumble over: a health check, a volume, a variable, an entrypoint and a command.
func NewImage(t *testing.T, entrypoint, command []string, entries ...Entry) v1.Image {
	t.Helper()
	entries = append(entries, Entry{Name: "unique", Content: []byte(random(t))})
	content := layer(t, entries)
	added, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	must(t, err)
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), added)
	must(t, err)
	file, err := image.ConfigFile()
	must(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{
		Entrypoint: entrypoint, Cmd: command,
		Env:         []string{"PATH=/bin", "OF_THE_IMAGE=1", "CHANGED=no"},
		Volumes:     map[string]struct{}{"/scratch": {}},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/hello"}, Interval: 3_600_000_000_000},
	}
	image, err = mutate.ConfigFile(image, file)
	must(t, err)
	return image
}

// NewIndex makes an index of an image for this machine and one for another.
func NewIndex(t *testing.T, image v1.Image) v1.ImageIndex {
	t.Helper()
	return mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: empty.Image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
}

func layer(t *testing.T, entries []Entry) []byte {
	t.Helper()
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.Name, Mode: 0o755, Size: int64(len(e.Content))}
		if e.Link != "" {
			header.Typeflag, header.Linkname = tar.TypeSymlink, e.Link
		}
		must(t, w.WriteHeader(header))
		_, err := w.Write(e.Content)
		must(t, err)
	}
	must(t, w.Close())
	return content.Bytes()
}

func random(t *testing.T) string {
	t.Helper()
	bytes := make([]byte, 12)
	_, err := rand.Read(bytes)
	must(t, err)
	return hex.EncodeToString(bytes)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
