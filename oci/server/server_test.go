package server_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/ocitest"
	"pierhead.dev/pierhead/oci/server"
)

func openHosted(t testing.TB) *hosted.Registry {
	t.Helper()
	dir := t.TempDir()
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := hosted.Open(hosted.Config{Dir: dir, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); blobs.Close() })
	return r
}

func serve(t testing.TB, c server.Config) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(server.New(c))
	t.Cleanup(s.Close)
	return s
}

// The hosted registry through HTTP does what it does by itself.
func TestConformanceOverHTTP(t *testing.T) {
	ocitest.Test(t, func(t *testing.T) oci.Registry {
		return wire{base: serve(t, server.Config{Registry: openHosted(t), Authorizer: server.Open{}}).URL}
	})
}

// go-containerregistry pushes, mounts, lists, pulls and deletes.
func TestGoContainerRegistry(t *testing.T) {
	s := serve(t, server.Config{Registry: openHosted(t), Authorizer: server.Open{}})
	host := strings.TrimPrefix(s.URL, "http://")
	index, err := random.Index(4096, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	multi := reference(t, host+"/acme/multi:v1")
	if err := remote.WriteIndex(multi, index); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(multi)
	if err != nil {
		t.Fatal(err)
	}
	sameDigest(t, got, index)
	image, err := random.Image(1<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	one := reference(t, host+"/acme/one:latest")
	if err := remote.Write(one, image); err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(one)
	if err != nil {
		t.Fatal(err)
	}
	sameDigest(t, pulled, image)
	// Written from another repository, the layers are mounted.
	if err := remote.Write(reference(t, host+"/acme/two:latest"), pulled); err != nil {
		t.Fatal(err)
	}
	layers, err := pulled.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil { // it verifies
			t.Error(err)
		}
	}
	tags, err := remote.List(one.Context())
	if err != nil || len(tags) != 1 || tags[0] != "latest" {
		t.Errorf("tags %v, %v", tags, err)
	}
	if err := remote.Delete(one); err != nil {
		t.Error(err)
	}
	if _, err := remote.Head(one); err == nil {
		t.Error("deleted tag is still there")
	}
}

func reference(t *testing.T, s string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func sameDigest(t *testing.T, a, b interface{ Digest() (ggcr.Hash, error) }) {
	t.Helper()
	x, errX := a.Digest()
	y, errY := b.Digest()
	if errX != nil || errY != nil || x != y {
		t.Errorf("%v, %v; %v, %v", x, errX, y, errY)
	}
}

// fixture is a hosted registry with one image.
type fixture struct {
	*httptest.Server
	registry *hosted.Registry
	manifest digest.Digest
	layer    digest.Digest
}

const layer = "0123456789abcdef"

func newFixture(t *testing.T) fixture {
	t.Helper()
	r := openHosted(t)
	m := ocitest.Image(t, r, "acme/app", layer)
	pushed, err := r.PutManifest(t.Context(), "acme/app", m, []string{"v1"})
	if err != nil {
		t.Fatal(err)
	}
	return fixture{serve(t, server.Config{Registry: r, Authorizer: server.Open{}}), r, pushed.Digest, digest.FromString(layer)}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (f fixture) do(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(data)}
}

func TestAnswers(t *testing.T) {
	f := newFixture(t)
	blobPath, manifestPath := "/v2/acme/app/blobs/"+f.layer.String(), "/v2/acme/app/manifests/"
	tag := `"` + f.layer.String() + `"`
	for _, test := range []struct {
		name, method, path string
		header             []string
		status             int
		body               string
		want               map[string]string
	}{
		{"ping", "GET", "/v2/", nil, 200, "{}", map[string]string{"Docker-Distribution-Api-Version": "registry/2.0"}},
		{"ping without slash", "GET", "/v2", nil, 200, "{}", nil},
		{"manifest head", "HEAD", manifestPath + "v1", nil, 200, "", map[string]string{"Docker-Content-Digest": f.manifest.String()}},
		{"with ns", "HEAD", manifestPath + "v1?ns=docker.io&x=%zz", nil, 200, "", nil},
		{"escaped digest", "HEAD", manifestPath + url.PathEscape(f.manifest.String()), nil, 200, "", nil},
		{"manifest not modified", "GET", manifestPath + "v1", []string{"If-None-Match", `"x", W/"` + f.manifest.String() + `"`}, 304, "", nil},
		{"manifest precondition", "GET", manifestPath + "v1", []string{"If-Match", `"x"`}, 412, "", nil},
		{"blob head", "HEAD", blobPath, nil, 200, "", map[string]string{"Content-Length": "16", "Accept-Ranges": "bytes", "Etag": tag}},
		{"blob", "GET", blobPath, nil, 200, layer, map[string]string{"Content-Length": "16", "Docker-Content-Digest": f.layer.String()}},
		{"blob not modified", "GET", blobPath, []string{"If-None-Match", tag}, 304, "", nil},
		{"part", "GET", blobPath, []string{"Range", "bytes=2-4"}, 206, "234", map[string]string{"Content-Range": "bytes 2-4/16"}},
		{"rest", "GET", blobPath, []string{"Range", "bytes=10-"}, 206, "abcdef", map[string]string{"Content-Range": "bytes 10-15/16"}},
		{"to the largest number", "GET", blobPath, []string{"Range", "bytes=10-9223372036854775807"}, 206, "abcdef", map[string]string{"Content-Range": "bytes 10-15/16"}},
		{"last", "GET", blobPath, []string{"Range", "bytes=-2"}, 206, "ef", map[string]string{"Content-Range": "bytes 14-15/16"}},
		{"if range", "GET", blobPath, []string{"Range", "bytes=2-4", "If-Range", tag}, 206, "234", nil},
		{"if range of another", "GET", blobPath, []string{"Range", "bytes=2-4", "If-Range", `"x"`}, 200, layer, nil},
		{"several parts", "GET", blobPath, []string{"Range", "bytes=0-1,4-5"}, 200, layer, nil},
		{"nothing of it", "GET", blobPath, []string{"Range", "bytes=16-"}, 416, "", map[string]string{"Content-Range": "bytes */16"}},
		{"no such place", "GET", "/v2/acme/app/nothing/x", nil, 404, "", nil},
		{"not ours", "GET", "/v1/", nil, 404, "", nil},
		{"bad name", "GET", "/v2/Acme/manifests/v1", nil, 400, "", nil},
		{"bad digest", "GET", "/v2/acme/app/blobs/sha256:xyz", nil, 400, "", nil},
		{"bad method", "POST", manifestPath + "v1", nil, 405, "", map[string]string{"Allow": "DELETE, GET, PUT, HEAD"}},
		{"bad n", "GET", "/v2/acme/app/tags/list?n=-1", nil, 400, "", nil},
		{"no n", "GET", "/v2/acme/app/tags/list?n=0", nil, 200, `{"name":"acme/app","tags":[]}`, nil},
		{"a huge n", "GET", "/v2/acme/app/tags/list?n=99999999999999999999", nil, 200, `{"name":"acme/app","tags":["v1"]}`, nil},
		{"upload id that is a path", "GET", "/v2/acme/app/blobs/uploads/..%2f..%2flock", nil, 404, "", nil},
		{"finish without digest", "PUT", "/v2/acme/app/blobs/uploads/abc", nil, 400, `{"errors":[{"code":"DIGEST_INVALID","message":"digest does not match the content",` +
			`"detail":"a digest is sha256: and 64 hex digits, or sha512: and 128, in lower case"}]}`, nil},
		{"unknown algorithm", "POST", "/v2/acme/app/blobs/uploads/?digest-algorithm=md5", nil, 400, "", nil},
	} {
		got := f.do(t, test.method, test.path, "", test.header...)
		if got.status != test.status || test.body != "" && got.body != test.body {
			t.Errorf("%s: %d %q, want %d %q", test.name, got.status, got.body, test.status, test.body)
		}
		for key, value := range test.want {
			if got.header.Get(key) != value {
				t.Errorf("%s: %s is %q, want %q", test.name, key, got.header.Get(key), value)
			}
		}
		if got.status >= 400 && got.status != 412 && !strings.HasPrefix(got.body, `{"errors":[{"code":"`) {
			t.Errorf("%s: %d with %q", test.name, got.status, got.body)
		}
	}
}

func TestUploadAnswers(t *testing.T) {
	f := newFixture(t)
	start := f.do(t, "POST", "/v2/acme/app/blobs/uploads", "")
	location := start.header.Get("Location")
	if start.status != 202 || start.header.Get("Range") != "0-0" || start.header.Get("Docker-Upload-UUID") == "" {
		t.Fatalf("%+v", start)
	}
	// As HTTP writes ranges, which some clients do.
	if got := f.do(t, "PATCH", location, "0123", "Content-Range", "bytes 0-3/*"); got.status != 202 || got.header.Get("Range") != "0-3" {
		t.Errorf("%+v", got)
	}
	for name, test := range map[string]struct {
		body, contentRange string
		status             int
	}{
		"again":           {"0123", "0-3", 416},
		"too far":         {"89", "8-9", 416},
		"nonsense":        {"x", "four", 416},
		"backwards":       {"x", "5-4", 416},
		"length differs":  {"x", "4-9", 400},
		"negative number": {"x", "-1-4", 416},
	} {
		got := f.do(t, "PATCH", location, test.body, "Content-Range", test.contentRange)
		if got.status != test.status || test.status == 416 && (got.header.Get("Range") != "0-3" || got.header.Get("Location") != location) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := f.do(t, "GET", location, ""); got.status != 204 || got.header.Get("Range") != "0-3" {
		t.Errorf("status: %+v", got)
	}
	d := digest.FromString("0123end")
	got := f.do(t, "PUT", location+"?digest="+d.String(), "end", "Content-Range", "4-6")
	if got.status != 201 || got.header.Get("Location") != "/v2/acme/app/blobs/"+d.String() || got.header.Get("Docker-Content-Digest") != d.String() {
		t.Errorf("%+v", got)
	}
	// The whole blob in one request; a wrong digest leaves no upload behind.
	if got := f.do(t, "POST", "/v2/acme/app/blobs/uploads/?digest="+digest.FromString("right").String(), "wrong"); got.status != 400 {
		t.Errorf("%+v", got)
	}
	if got := f.do(t, "POST", "/v2/acme/app/blobs/uploads/?digest="+digest.FromString("right").String(), "right"); got.status != 201 {
		t.Errorf("%+v", got)
	}
	if report, err := f.registry.Collect(t.Context(), hosted.CollectOptions{DryRun: true, UploadAge: 1}); err != nil || report.Removed.Uploads != 0 {
		t.Errorf("uploads left: %+v, %v", report.Removed, err)
	}
}

func TestManifestLimit(t *testing.T) {
	f := newFixture(t)
	large := strings.Repeat(" ", 4<<20+1)
	if got := f.do(t, "PUT", "/v2/acme/app/manifests/large", large); got.status != 413 {
		t.Errorf("known length: %d", got.status)
	}
	r, err := http.NewRequestWithContext(t.Context(), "PUT", f.URL+"/v2/acme/app/manifests/large", io.MultiReader(strings.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 413 {
		t.Errorf("unknown length: %d", response.StatusCode)
	}
	tags := url.Values{}
	for i := range 65 {
		tags.Add("tag", fmt.Sprint("t", i))
	}
	if got := f.do(t, "PUT", "/v2/acme/app/manifests/"+f.manifest.String()+"?"+tags.Encode(), "{}"); got.status != 414 {
		t.Errorf("too many tags: %d", got.status)
	}
}

// Lists are followed by their links to the end.
func TestPagesAreLinked(t *testing.T) {
	f := newFixture(t)
	m := ocitest.Index()
	var tags []string
	for i := range 10 {
		tags = append(tags, fmt.Sprint("tag", i))
	}
	if _, err := f.registry.PutManifest(t.Context(), "acme/list", m, tags); err != nil {
		t.Fatal(err)
	}
	var got []string
	path := "/v2/acme/list/tags/list?n=3"
	for path != "" {
		page := f.do(t, "GET", path, "")
		got = append(got, page.body)
		link := page.header.Get("Link")
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	if len(got) != 4 || got[3] != `{"name":"acme/list","tags":["tag9"]}` {
		t.Errorf("%q", got)
	}
}

// recorder tells what a handler copied from.
type recorder struct {
	*httptest.ResponseRecorder
	sources []io.Reader
}

func (r *recorder) ReadFrom(source io.Reader) (int64, error) {
	r.sources = append(r.sources, source)
	return io.Copy(r.ResponseRecorder, source)
}

// A blob goes to the response as a file, so that the system sends it by itself.
func TestBlobsGoOutAsFiles(t *testing.T) {
	f := newFixture(t)
	handler := server.New(server.Config{Registry: f.registry, Authorizer: server.Open{}})
	for _, header := range []string{"", "bytes=3-5"} {
		r := httptest.NewRequest("GET", "/v2/acme/app/blobs/"+f.layer.String(), nil)
		r.Header.Set("Range", header)
		w := &recorder{ResponseRecorder: httptest.NewRecorder()}
		handler.ServeHTTP(w, r)
		if len(w.sources) != 1 {
			t.Fatalf("%q: ReadFrom was called %d times", header, len(w.sources))
		}
		limited, ok := w.sources[0].(*io.LimitedReader)
		if !ok {
			t.Fatalf("%q: copied from a %T", header, w.sources[0])
		}
		if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("%q: copied from a %T", header, limited.R)
		}
	}
}

// Without an authorizer nothing is served.
func TestNoAuthorizer(t *testing.T) {
	f := newFixture(t)
	f.Server = serve(t, server.Config{Registry: f.registry})
	for _, path := range []string{"/v2/", "/v2/acme/app/manifests/v1"} {
		if got := f.do(t, "GET", path, ""); got.status != 403 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

// Large blobs pass whole, in and out.
func TestLargeBlob(t *testing.T) {
	f := newFixture(t)
	content := make([]byte, 20<<20)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	d := digest.FromBytes(content)
	start := f.do(t, "POST", "/v2/acme/large/blobs/uploads/", "")
	if got := f.do(t, "PATCH", start.header.Get("Location"), string(content)); got.status != 202 || got.header.Get("Range") != "0-20971519" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	if got := f.do(t, "PUT", start.header.Get("Location")+"?digest="+d.String(), ""); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := f.do(t, "GET", "/v2/acme/large/blobs/"+d.String(), ""); digest.FromString(got.body) != d {
		t.Errorf("%d bytes came back", len(got.body))
	}
}

// BenchmarkManifest is a warm manifest by tag with a token, without the network.
func BenchmarkManifest(b *testing.B) {
	r := openHosted(b)
	if _, err := r.PutManifest(b.Context(), "acme/app", ocitest.Image(b, r, "acme/app", layer), []string{"v1"}); err != nil {
		b.Fatal(err)
	}
	handler := server.New(server.Config{Registry: r, Authorizer: server.Open{}})
	request := httptest.NewRequest("GET", "/v2/acme/app/manifests/v1", nil)
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
}
