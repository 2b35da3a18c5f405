package machine

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image makes an image from scratch: files as layers of their own, the first of them /bin/train, at most four.
func Image(t *testing.T, architecture string, contents ...[]byte) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for i, content := range contents {
		var err error
		img, err = mutate.AppendLayers(img, layerOf(t, []string{"bin/train", "data/a", "data/b", "data/c"}[i], content))
		must(t, err)
	}
	file, err := img.ConfigFile()
	must(t, err)
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config.Env = "linux", architecture, []string{"PATH=/bin"}
	img, err = mutate.ConfigFile(img, file)
	must(t, err)
	return img
}

func layerOf(t *testing.T, path string, content []byte) v1.Layer {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	must(t, w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}))
	_, err := w.Write(content)
	must(t, errors.Join(err, w.Close()))
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	must(t, err)
	return layer
}

// Random bytes do not get smaller by packing, and no store has them.
func Random(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content) // it never fails
	return content
}
