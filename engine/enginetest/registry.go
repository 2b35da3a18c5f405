package enginetest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pierhead.dev/pierhead/engine"
)

// A Registry stands for the agent's loopback end-point: plain HTTP on 127.0.0.1, with a name and a password.
type Registry struct {
	Host               string // "127.0.0.1:PORT"
	Username, Password string
	Refused            atomic.Int64 // requests without the right password
}

// NewRegistry starts one that lives as long as the test. It must run on the engine's machine.
func NewRegistry(t *testing.T) *Registry {
	t.Helper()
	r := &Registry{Username: "execution", Password: "p&ss/w+rd=" + random(t)}
	content := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		username, password, _ := request.BasicAuth()
		if username != r.Username || password != r.Password {
			r.Refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		content.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// Push puts an image there under a repository such as "registry.example.test/team/hello", and returns how to pull it.
func (r *Registry) Push(t *testing.T, repository string, image v1.Image) engine.ImageSource {
	t.Helper()
	digest, err := image.Digest()
	must(t, err)
	must(t, remote.Write(r.reference(t, repository, digest), image, r.login()))
	return r.source(repository, digest)
}

// PushIndex does so for an index.
func (r *Registry) PushIndex(t *testing.T, repository string, index v1.ImageIndex) engine.ImageSource {
	t.Helper()
	digest, err := index.Digest()
	must(t, err)
	must(t, remote.WriteIndex(r.reference(t, repository, digest), index, r.login()))
	return r.source(repository, digest)
}

func (r *Registry) login() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: r.Username, Password: r.Password})
}

func (r *Registry) reference(t *testing.T, repository string, digest v1.Hash) name.Reference {
	t.Helper()
	reference, err := name.NewDigest(r.Host + "/" + repository + "@" + digest.String())
	must(t, err)
	return reference
}

func (r *Registry) source(repository string, digest v1.Hash) engine.ImageSource {
	return engine.ImageSource{
		Reference: r.Host + "/" + repository + "@" + digest.String(),
		Username:  r.Username, Password: r.Password,
		Tags: []string{repository + ":1"},
	}
}
