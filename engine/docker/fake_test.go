package docker

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

const testDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// fake is an engine's API on a socket, with the answers that a test gives it. Paths are without their version.
type fake struct {
	*http.ServeMux
	socket string
	server *httptest.Server
}

func newFake(t *testing.T, component string) *fake {
	t.Helper()
	f := &fake{ServeMux: http.NewServeMux(), socket: filepath.Join(t.TempDir(), "s.sock")}
	listener, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	ping := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") }
	f.HandleFunc("/_ping", ping)
	f.answer("GET /v1.41/version", http.StatusOK, map[string]any{
		"Version": "1.2.3", "Components": []map[string]string{{"Name": component, "Version": "4.3.1"}},
	})
	f.server = httptest.NewUnstartedServer(f)
	f.server.Listener.Close()
	f.server.Listener = listener
	f.server.Start()
	t.Cleanup(f.server.Close)
	return f
}

func newPodman(t *testing.T) *fake { return newFake(t, "Podman Engine") }
func newDocker(t *testing.T) *fake { return newFake(t, "Engine") }

// engine is a client of the fake.
func (f *fake) engine(t *testing.T) *Engine {
	t.Helper()
	e, err := New("unix://"+f.socket, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// answer answers a pattern with a JSON body.
func (f *fake) answer(pattern string, status int, body any) {
	f.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	})
}

// text answers a pattern with a body as it is.
func (f *fake) text(pattern string, body string) {
	f.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
}

func message(text string) map[string]string { return map[string]string{"message": text} }
