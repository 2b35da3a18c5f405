package clouds

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

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
	s := &store{address: machine.FreeAddress(t)}
	var err error
	s.train, err = os.ReadFile(built("train"))
	must(t, err)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n",
		filepath.Join(w.dir, "registry"), s.address)
	path := filepath.Join(w.dir, "registry.yml")
	must(t, os.WriteFile(path, []byte(config), 0o600))
	log, err := os.Create(filepath.Join(w.dir, "registry.log"))
	must(t, err)
	defer log.Close()
	command := exec.Command("docker-registry", "serve", path)
	command.Env, command.Stdout, command.Stderr = append(os.Environ(), "OTEL_TRACES_EXPORTER=none"), log, log
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err == nil {
			must(t, connection.Close())
			return s
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("docker-registry does not listen:\n%s", said)
		case <-time.After(10 * time.Millisecond):
		}
	}
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

func (s *store) write(t *testing.T, reference string, img v1.Image) v1.Hash {
	t.Helper()
	parsed, err := name.ParseReference(s.address+"/"+reference, name.Insecure)
	must(t, err)
	must(t, remote.Write(parsed, img, remote.WithContext(t.Context())))
	digest, err := img.Digest()
	must(t, err)
	return digest
}
