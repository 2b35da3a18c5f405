package clients

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"pierhead.dev/pierhead/test/internal/machine"
)

// bigLayer is large enough that clients stream and chunk it; random bytes do not get smaller by packing.
const bigLayer = 20 << 20

// An archive is an image made on the spot, as `docker save` writes it.
type archive struct {
	path string
	tag  string    // the name it has in the archive
	id   v1.Hash   // of the configuration, which no client changes on the way
	diff []v1.Hash // of the layers, unpacked
}

// makeArchive packs files as layers of their own.
func makeArchive(t *testing.T, path, tag string, architecture string, contents ...[]byte) archive {
	t.Helper()
	img := machine.Image(t, architecture, contents...)
	reference, err := name.NewTag(tag)
	must(t, err)
	must(t, tarball.WriteToFile(path, reference, img))
	id, err := img.ConfigName()
	must(t, err)
	file, err := img.ConfigFile()
	must(t, err)
	return archive{path, tag, id, file.RootFS.DiffIDs}
}

// makeIndex lays out an index of two architectures.
func makeIndex(t *testing.T, dir string) (digest v1.Hash) {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, architecture := range []string{"amd64", "arm64"} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: machine.Image(t, architecture, machine.Random(3000)),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
	}
	path, err := layout.Write(dir, index)
	must(t, err)
	written, err := path.ImageIndex()
	must(t, err)
	digest, err = written.Digest()
	must(t, err)
	return digest
}

// bigArchive is the image that every client gets.
func bigArchive(t *testing.T, dir string) archive {
	t.Helper()
	return makeArchive(t, filepath.Join(dir, "image.tar"), "example.test/made/here:1", runtime.GOARCH, machine.Random(100), machine.Random(bigLayer), machine.Random(70_000))
}

// look asks the registry itself for what a reference names.
func (h *house) look(t *testing.T, who person, reference string) (*remote.Descriptor, error) {
	t.Helper()
	parsed, err := name.ParseReference(reference)
	must(t, err)
	base := http.DefaultTransport.(*http.Transport).Clone()
	if h.ca != "" {
		base.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		base.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(h.ca))
	}
	t.Cleanup(base.CloseIdleConnections)
	transport := bearing{base, h.token(t, base, who, parsed.Context().RepositoryStr(), "pull")}
	return remote.Get(parsed, remote.WithContext(t.Context()), remote.WithTransport(transport))
}

// token asks the token service. The library above would not go to one on another port of a loopback address.
func (h *house) token(t *testing.T, transport http.RoundTripper, who person, repository, actions string) string {
	t.Helper()
	query := url.Values{"service": {strings.SplitN(h.issuer, "://", 2)[1]}, "scope": {"repository:" + repository + ":" + actions}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.issuer+"/token?"+query.Encode(), nil)
	must(t, err)
	request.SetBasicAuth(who.name, who.token)
	answer, err := transport.RoundTrip(request)
	must(t, err)
	defer answer.Body.Close()
	var body struct{ Token string }
	must(t, json.NewDecoder(answer.Body).Decode(&body))
	return body.Token
}

// bearing sends a token with every request.
type bearing struct {
	http.RoundTripper
	token string
}

func (b bearing) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(request)
}
