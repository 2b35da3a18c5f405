package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/engine/enginetest"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
)

func policy(p pierhead.PullPolicy) func(*api.Spec) {
	return func(s *api.Spec) { s.PullPolicy = string(p) }
}

// An image that lies on the node serves a project that proved its own access within the last hour, and nobody else.
func TestPullPolicies(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var asked atomic.Int64
	k.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); k.serveRegistry(w, r) })
	k.start(t.TempDir())
	run := func(what string, change func(*api.Spec), state pierhead.ExecutionState, asks bool) pierhead.Execution {
		t.Helper()
		before := asked.Load()
		id := k.submit(change)
		e := k.final(id)
		if e.Progress.State != state || (asked.Load() > before) != asks {
			t.Errorf("%s: it ended with %+v; the registry was asked %d times", what, e.Progress, asked.Load()-before)
		}
		if state == pierhead.ExecutionSucceeded && k.logOf(id) != k.head()+helloOutput {
			t.Errorf("%s: the log is %q", what, k.logOf(id))
		}
		return e
	}
	e := run("never, and nothing is there", policy(pierhead.PullNever), pierhead.ExecutionFailed, false)
	if !e.Progress.PullFailed || e.Progress.Hint == "" {
		t.Errorf("it says %+v", e.Progress)
	}
	run("if-not-present, and nothing is there", policy(pierhead.PullIfNotPresent), pierhead.ExecutionSucceeded, true)
	local := run("if-not-present, proved", policy(pierhead.PullIfNotPresent), pierhead.ExecutionSucceeded, false)
	if local.Progress.Registry != "images" || local.Progress.Digest != k.digest {
		t.Errorf("a local image is told as %+v", local.Progress)
	}
	run("never, proved", policy(pierhead.PullNever), pierhead.ExecutionSucceeded, false)
	run("always", policy(pierhead.PullAlways), pierhead.ExecutionSucceeded, true)
	other, err := k.admin.CreateExecution(t.Context(), api.NewExecution{Project: "acme/speech", Spec: api.Spec{Step: "test", Image: k.image, Command: []string{"/hello"}, PullPolicy: "never"}})
	k.must(err)
	if p := k.final(other.ID).Progress; p.State != pierhead.ExecutionFailed {
		t.Errorf("another project's image served: %+v", p)
	}
	k.later(proofLife)
	run("never, an hour later", policy(pierhead.PullNever), pierhead.ExecutionFailed, false)
	run("if-not-present, an hour later", policy(pierhead.PullIfNotPresent), pierhead.ExecutionSucceeded, true)
}

// The oldest proofs go first, and expired ones in any case.
func TestKnownImagesAreBounded(t *testing.T) {
	k, now := &images{path: filepath.Join(t.TempDir(), "images.json"), by: map[string]knownImage{}}, time.Now()
	k.now = func() time.Time { return now }
	for i := range maxKnownImages + 10 {
		k.by[fmt.Sprint("p image", i)] = knownImage{ProvedAt: now.Add(time.Duration(i-maxKnownImages-10) * time.Millisecond)}
	}
	k.by["p expired"] = knownImage{ProvedAt: now.Add(-proofLife)}
	k.trim()
	_, expired := k.by["p expired"]
	_, oldest := k.by["p image9"]
	_, kept := k.by["p image10"]
	if len(k.by) != maxKnownImages || expired || oldest || !kept {
		t.Errorf("%d are kept; expired %t, the tenth oldest %t, the eleventh %t", len(k.by), expired, oldest, kept)
	}
}

// A login that is refused, at once or in the middle of the pull, is given up for an anonymous pull, and that is said once.
func TestPulledAnonymously(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"/v2/", "/blobs/"} {
		k := newKit(t)
		var refused atomic.Bool
		k.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) {
			login := r.Header.Get("Authorization") != ""
			switch {
			case !strings.Contains(r.URL.Path, from):
				k.serveRegistry(w, r)
			case login || !refused.Load():
				refused.Store(login)
				refuse(w)
			default:
				k.content.ServeHTTP(w, r)
			}
		})
		k.start(t.TempDir())
		id := k.submit()
		p, log := k.final(id).Progress, k.logOf(id)
		if p.State != pierhead.ExecutionSucceeded || !p.Anonymous {
			t.Errorf("%s: it ended with %+v", from, p)
		}
		if !strings.HasPrefix(log, k.head()+"Image pulled anonymously: ") || strings.Count(log, "anonymously") != 1 || !strings.HasSuffix(log, helloOutput) {
			t.Errorf("%s: the log is %q", from, log)
		}
	}
}

// An image for another kind of machine used to end with "exec format error" and no word of why.
func TestImageForAnotherPlatformIsNoted(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	host, _, _ := strings.Cut(k.image, "/")
	foreign := host + "/team/foreign:1"
	to, err := name.ParseReference(foreign)
	k.must(err)
	image := enginetest.NewImage(t, []string{"/hello"}, nil, enginetest.Entry{Name: "hello", Content: []byte("program")})
	config, err := image.ConfigFile()
	k.must(err)
	config = config.DeepCopy()
	config.Architecture = "s390x"
	image, err = mutate.ConfigFile(image, config)
	k.must(err)
	k.must(remote.Write(to, image, remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword})))
	k.start(t.TempDir())
	id := k.submit(func(s *api.Spec) { s.Image = foreign })
	p := k.final(id).Progress
	want := "Pulling image: " + foreign + "\nImage digest: " + p.Digest + "\nNote: the image says that it is made for linux/s390x, and this node is linux/"
	if log := k.logOf(id); p.State != pierhead.ExecutionSucceeded || !strings.HasPrefix(log, want) || !strings.HasSuffix(log, "\n"+helloOutput) {
		t.Errorf("it ended with %+v and the log %q", p, log)
	}
}

// The engine's own trouble used to come with its name for our end-point and a hint at the credential.
func TestEnginesTroubleIsNotTheRegistrys(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.atCall(func(call string) error {
		if call == "Pull" {
			return errors.New("writing blob: no room")
		}
		return nil
	})
	k.start(t.TempDir())
	p := k.final(k.submit()).Progress
	if want := k.image + " cannot be pulled: the engine says: writing blob: no room"; p.Reason != want || !p.PullFailed || !strings.Contains(p.Hint, "the engine") {
		t.Errorf("it ended with %+v, want %q", p, want)
	}
}

// What went wrong with the bytes themselves used to be told with a hint at the credential.
func TestDamagedContentIsTold(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		k.serveRegistry(answer, r)
		content := answer.Body.Bytes()
		if strings.Contains(r.URL.Path, "/blobs/") && answer.Code == http.StatusOK && len(content) > 0 {
			content[0] ^= 1
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(content)
	})
	k.start(t.TempDir())
	p := k.final(k.submit()).Progress
	if p.State != pierhead.ExecutionFailed || !p.PullFailed || !strings.HasPrefix(p.Reason, k.image+" cannot be pulled: blob sha256:") ||
		!strings.Contains(p.Reason, "another digest") || !strings.Contains(p.Hint, "damaged") {
		t.Errorf("it ended with %+v", p)
	}
}

// What the registry said is told, with the digest that it was about, and not what the engine made of it.
func TestPullFailureSaysWhatTheRegistrySaid(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.inRegistrysPlace(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		k.serveRegistry(w, r)
	})
	k.start(t.TempDir())
	id := k.submit()
	p := k.final(id).Progress
	if p.State != pierhead.ExecutionFailed || !p.PullFailed || !strings.Contains(p.Reason, k.image) || !strings.Contains(p.Reason, "blob sha256:") || p.Hint == "" {
		t.Errorf("it ended with %+v", p)
	}
	if log := k.logOf(id); log != k.head()+"Error: "+p.Reason+"\nHint: "+p.Hint+"\n" {
		t.Errorf("the log is %q", log)
	}
}

func TestTicketForgetsWhatARetryGot(t *testing.T) {
	ticket, broken := &ticket{}, errors.New("broken")
	one, two := "sha256:1", "sha256:2"
	ticket.saw(one, broken)
	ticket.saw("sha256-1.sig", errors.New("no such tag"))
	if err := ticket.failure(); err != broken {
		t.Errorf("after a failure: %v", err)
	}
	ticket.saw(two, errors.New("other"))
	ticket.saw(two, nil)
	if err := ticket.failure(); err != broken {
		t.Errorf("after another one that a retry got: %v", err)
	}
	ticket.saw(one, nil)
	if err := ticket.failure(); err != nil {
		t.Errorf("after both: %v", err)
	}
}

func TestEndpointRepository(t *testing.T) {
	for written, want := range map[string]string{
		"127.0.0.1:5000/team/x:1":         "127.0.0.1_5000/team/x",
		"MyRegistry.Azurecr.IO/ml/x@" + d: "myregistry.azurecr.io/ml/x",
		"REGISTRY:5000/x":                 "registry_5000/x",
		"ubuntu":                          "docker.io/library/ubuntu",
	} {
		reference, err := image.Parse(written)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := endpointRepository(reference); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", written, got, err, want)
		}
	}
	reference, err := image.Parse("[::1]:5000/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := endpointRepository(reference); err == nil || pierhead.HintOf(err) == "" {
		t.Errorf("an IPv6 host gives %v", err)
	}
}

const d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (e *endpoint) onlyTicket() *ticket {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.tickets {
		return t
	}
	return nil
}

// testBlobHead asks for an image's configuration as a client does that wants its size first.
func testBlobHead(t *testing.T, base, own, digest, pass string) {
	t.Helper()
	_, _, body := ask(t, "GET", base+own+"/manifests/"+digest, pass, "")
	_, config, _ := strings.Cut(body, `"config"`)
	_, config, _ = strings.Cut(config, "sha256:")
	blob := base + own + "/blobs/sha256:" + config[:64]
	status, header, _ := ask(t, "HEAD", blob, pass, "")
	_, _, content := ask(t, "GET", blob, pass, "")
	if status != 200 || header.Get("Content-Length") != fmt.Sprint(len(content)) || len(content) == 0 {
		t.Errorf("HEAD of a blob: %d, %s bytes, of %d", status, header.Get("Content-Length"), len(content))
	}
}

// The end-point gives one repository to whoever has the password of a ticket that is not revoked, and nothing else.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	paused, goOn := make(chan struct{}), make(chan struct{})
	k.atCall(func(call string) error {
		if call == "Pull" {
			close(paused)
			<-goOn
		}
		return nil
	})
	agent := k.start(t.TempDir())
	id := k.submit()
	<-paused
	mine := agent.endpoint.onlyTicket()
	pass := mine.password
	agent.endpoint.admit("exe_other", "other.example/x", "x", oci.Unsupported{})
	base, own := "http://"+agent.endpoint.Address()+"/v2/", mine.repository
	head := func(path string) string { return own + path + k.digest }
	for _, c := range []struct {
		what, method, path, password, host string
		status                             int
	}{
		{"ping", "GET", "", pass, "", 200},
		{"ping without a login", "GET", "", "", "", 401},
		{"manifest", "GET", head("/manifests/"), pass, "", 200},
		{"manifest, HEAD", "HEAD", head("/manifests/"), pass, "", 200},
		{"manifest without a login", "GET", head("/manifests/"), "", "", 401},
		{"manifest with a wrong login", "GET", head("/manifests/"), "wrong", "", 401},
		{"another repository", "GET", "other.example/x/manifests/" + k.digest, pass, "", 403},
		{"its real name", "GET", "team/hello/manifests/" + k.digest, pass, "", 403},
		{"the catalogue", "GET", "_catalog", pass, "", 403},
		{"a deletion", "DELETE", head("/manifests/"), pass, "", 405},
		{"an upload", "POST", own + "/blobs/uploads/", pass, "", 405},
		{"a foreign host", "GET", head("/manifests/"), pass, "registry.example", 421},
		{"a foreign host with a port", "GET", head("/manifests/"), pass, "10.0.0.1:5050", 421},
		{"localhost", "GET", head("/manifests/"), pass, "localhost:5050", 200},
		{"a loopback of IPv6", "GET", head("/manifests/"), pass, "[::1]:5050", 200},
	} {
		if status, _, _ := ask(t, c.method, base+c.path, c.password, c.host); status != c.status {
			t.Errorf("%s: %d, want %d", c.what, status, c.status)
		}
	}
	testBlobHead(t, base, own, k.digest, pass)
	close(goOn)
	k.final(id)
	if status, _, _ := ask(t, "GET", base+head("/manifests/"), pass, ""); status != 401 {
		t.Errorf("after the pull: %d", status)
	}
}

func ask(t *testing.T, method, url, password, host string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if request.Host = host; password != "" {
		request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(endpointUser+":"+password)))
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

func TestEndpointIsOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:5050", "localhost:0", "127.0.0.1", ""} {
		if _, err := ListenEndpoint(address); !errors.Is(err, pierhead.ErrBadInput) || pierhead.HintOf(err) == "" {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// A snapshot that cannot be used does not keep the node from starting.
func TestSnapshotThatIsOfNoUse(t *testing.T) {
	t.Parallel()
	k, directory := newKit(t), t.TempDir()
	k.must(os.WriteFile(filepath.Join(directory, "snapshot.json"), []byte(`{"Organizations":[{"Registries":[{"Enabled":true,"Match":["[*"]}]}]}`), 0o600))
	k.start(directory)
	if p := k.final(k.submit()).Progress; p.State != pierhead.ExecutionSucceeded {
		t.Errorf("it ended with %+v", p)
	}
}
