package docker

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pierhead.dev/pierhead/engine"
)

const loopback = "127.0.0.1:5050/registry.example.test/team/x@" + testDigest

func source() engine.ImageSource {
	return engine.ImageSource{Reference: loopback, Username: "execution", Password: "s3cr<t>?", Tags: []string{"registry.example.test/team/x:1"}}
}

// images answers for one image and records what its names go through.
func (f *fake) images(t *testing.T, digest string, tags []string) (did *[]string) {
	t.Helper()
	did = new([]string)
	image := map[string]any{"Id": "sha256:1", "RepoTags": tags, "RepoDigests": []string{"127.0.0.1:5050/registry.example.test/team/x@" + digest}}
	f.answer("GET /v1.41/images/", http.StatusOK, image)
	f.HandleFunc("POST /v1.41/images/sha256:1/tag", func(w http.ResponseWriter, r *http.Request) {
		*did = append(*did, "tag "+r.URL.Query().Get("repo")+":"+r.URL.Query().Get("tag"))
		w.WriteHeader(http.StatusCreated)
	})
	f.HandleFunc("DELETE /v1.41/images/", func(w http.ResponseWriter, r *http.Request) {
		*did = append(*did, "drop "+strings.TrimPrefix(r.URL.Path, "/v1.41/images/"))
		_, _ = w.Write([]byte("[]"))
	})
	return did
}

func TestPullPodman(t *testing.T) {
	f := newPodman(t)
	did := f.images(t, testDigest, []string{"registry.example.test/team/x:1"})
	f.HandleFunc("POST /v4.0.0/libpod/images/pull", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("reference") != loopback || q.Get("tlsVerify") != "false" {
			t.Errorf("asked for %v", q)
		}
		login, err := base64.URLEncoding.DecodeString(r.Header.Get("X-Registry-Auth"))
		if want := `{"username":"execution","password":"s3cr\u003ct\u003e?","serveraddress":"127.0.0.1:5050"}`; string(login) != want || err != nil {
			t.Errorf("the login is %s, %v", login, err)
		}
		_, _ = w.Write([]byte(`{"stream":"Trying to pull…\n"}` + "\n" + `{"images":["1"],"id":"1"}` + "\n"))
	})
	id, err := f.engine(t).Pull(t.Context(), source())
	if id != "sha256:1" || err != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	if got := fmt.Sprint(*did); got != "[tag registry.example.test/team/x:1 drop "+loopback+"]" {
		t.Errorf("the names: %s", got)
	}
}

func TestPullDocker(t *testing.T) {
	f := newDocker(t)
	did := f.images(t, testDigest, nil)
	f.HandleFunc("POST /v1.41/images/create", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("fromImage")+"@"+q.Get("tag") != loopback {
			t.Errorf("asked for %v", q)
		}
		if r.Header.Get("X-Registry-Auth") == "" {
			t.Error("there is no login")
		}
		_, _ = w.Write([]byte(`{"status":"Downloading","progressDetail":{"current":1,"total":2}}` + "\n" + `{"status":"Status: Downloaded"}`))
	})
	nameless := source()
	nameless.Tags = nil
	if id, err := f.engine(t).Pull(t.Context(), nameless); id != "sha256:1" || err != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	if len(*did) != 0 {
		t.Errorf("the only name: %s", *did)
	}
}

func TestPullErrors(t *testing.T) {
	podman := func(answer string) *fake {
		f := newPodman(t)
		f.text("POST /v4.0.0/libpod/images/pull", answer)
		f.images(t, testDigest, nil)
		return f
	}
	inStream := newDocker(t)
	inStream.text("POST /v1.41/images/create", `{"status":"Pulling"}{"errorDetail":{"message":"unauthorized"},"error":"unauthorized"}`)
	refused := newDocker(t)
	refused.answer("POST /v1.41/images/create", http.StatusNotFound, message("manifest unknown"))
	another := newDocker(t)
	another.text("POST /v1.41/images/create", `{"status":"done"}`)
	another.images(t, strings.Replace(testDigest, "a", "b", 1), nil)
	for name, c := range map[string]struct {
		fake *fake
		want string
		is   error
	}{
		"podman says so in the stream": {podman(`{"stream":"x"}{"error":"unauthorized: authentication required"}`), "unauthorized", nil},
		"podman breaks off":            {podman(`{"stream":"x"}` + "\n"), "", engine.ErrUnreachable},
		"podman breaks off in a line":  {podman(`{"stream":"x"`), "", engine.ErrUnreachable},
		"podman repeats the password":  {podman(`{"error":"bad login s3cr<t>?"}`), "bad login …", nil},
		"docker says so in the stream": {inStream, "unauthorized", nil},
		"docker says so at once":       {refused, "manifest unknown", nil},
		"another digest":               {another, "another digest", nil},
	} {
		_, err := c.fake.engine(t).Pull(t.Context(), source())
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, engine.ErrUnreachable) != (c.is != nil) || errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), source().Password) {
			t.Errorf("%s: the password is in the error", name)
		}
	}
	tagged := source()
	tagged.Reference = "127.0.0.1:5050/registry.example.test/team/x:1"
	if _, err := newPodman(t).engine(t).Pull(t.Context(), tagged); err == nil {
		t.Error("an image was pulled by its tag")
	}
}

// A name too many does not keep an image from running.
func TestPullKeepsName(t *testing.T) {
	f := newDocker(t)
	f.text("POST /v1.41/images/create", `{"status":"done"}`)
	f.answer("GET /v1.41/images/", http.StatusOK, map[string]any{"Id": "sha256:1", "RepoTags": []string{"a/b:1"}, "RepoDigests": []string{"x@" + testDigest}})
	f.answer("POST /v1.41/images/sha256:1/tag", http.StatusCreated, nil)
	f.answer("DELETE /v1.41/images/", http.StatusConflict, message("image is in use"))
	if id, err := f.engine(t).Pull(t.Context(), source()); id != "sha256:1" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestPlatform(t *testing.T) {
	for said, want := range map[string]string{`{"Os": "linux", "Architecture": "arm64"}`: "linux/arm64", `{"Os": "linux", "Architecture": ""}`: ""} {
		f := newDocker(t)
		f.HandleFunc("GET /v1.41/images/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(said)) })
		if got, err := f.engine(t).Platform(t.Context(), "sha256:1"); got != want || err != nil {
			t.Errorf("%s: got %q, %v", said, got, err)
		}
	}
}
