package scripts

import (
	"os"
	"regexp"
	"strconv"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	ociLayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

func firstGroup(ts *testscript.TestScript, expression, text string) string {
	compiled, err := regexp.Compile(expression)
	ts.Check(err)
	match := compiled.FindStringSubmatch(text)
	if len(match) < 2 {
		ts.Fatalf("%s matches nothing in:\n%s", expression, text)
	}
	return match[1]
}

// substitute replaces ${NAME} in files by the script's variables.
func substitute(ts *testscript.TestScript, _ bool, files []string) {
	for _, file := range files {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// layout writes an OCI image layout with one image of three random layers, of 4096 bytes each or as many as is said:
// layout DIR TAG [BYTES].
func layout(ts *testscript.TestScript, _ bool, arguments []string) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	size := int64(4096)
	if len(arguments) == 3 {
		var err error
		size, err = strconv.ParseInt(arguments[2], 10, 64)
		ts.Check(err)
	}
	for range 3 {
		layer, err := random.Layer(size, types.OCIUncompressedLayer)
		ts.Check(err)
		img, err = mutate.AppendLayers(img, layer)
		ts.Check(err)
	}
	path, err := ociLayout.Write(ts.MkAbs(arguments[0]), empty.Index)
	ts.Check(err)
	ts.Check(path.AppendImage(img, ociLayout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": arguments[1]})))
}
