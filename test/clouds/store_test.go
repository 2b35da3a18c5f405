package clouds

import (
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pierhead.dev/pierhead/test/internal/machine"
)

// A store is Debian's docker-registry. It knows nothing of logins: each vendor's door stands in front of a part of it,
// whose repositories begin with the door's host.
type store struct {
	address string
	train   []byte
}

// startStore runs one until the end of the test.
func startStore(t *testing.T, w *world) *store {
	t.Helper()
	s := &store{address: machine.Distribution(t, filepath.Join(w.dir, "registry"), "")}
	var err error
	s.train, err = os.ReadFile(built("train"))
	must(t, err)
	return s
}

// behind is the part of the store with the images of a host, for those whom a door let in.
func (s *store) behind(host string) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", s.address, s.address
		if rest, ok := strings.CutPrefix(r.In.URL.Path, "/v2/"); ok && rest != "" {
			r.Out.URL.Path = "/v2/" + host + "/" + rest
		}
		r.Out.Header.Del("Authorization")
	}}
}

// put makes an image that prints something when it runs, and keeps it under a reference; no engine has its last layer.
func (s *store) put(t *testing.T, reference string) v1.Hash {
	t.Helper()
	img := machine.Image(t, runtime.GOARCH, s.train, machine.Random(5000))
	return s.write(t, reference, img)
}

// deep is put with more layers: an engine fetches five blobs of it.
func (s *store) deep(t *testing.T, reference string) v1.Hash {
	t.Helper()
	return s.write(t, reference, machine.Image(t, runtime.GOARCH, s.train, machine.Random(5000), machine.Random(5000), machine.Random(5000)))
}

func (s *store) write(t *testing.T, reference string, img v1.Image) v1.Hash {
	t.Helper()
	parsed, err := name.ParseReference(s.address+"/"+reference, name.Insecure)
	must(t, err)
	must(t, remote.Write(parsed, img, remote.WithContext(t.Context())))
	digest, err := img.Digest()
	must(t, err)
	return digest
}
