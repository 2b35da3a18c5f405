package broker

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/oci"
)

// A strict registry answers as ECR does: a push to a repository that nobody made is a 404, and no push is anonymous.
type strict struct {
	*httptest.Server
	host string

	mu   sync.Mutex
	made map[string]bool
}

func newStrict(t *testing.T) *strict {
	s := &strict{made: map[string]bool{}}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		switch {
		case !strings.HasPrefix(password, "token-"):
			w.Header().Set("WWW-Authenticate", `Basic realm="ecr"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/v2/team/app/") && !s.has("team/app"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'team/app' does not exist"}]}`)
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

func (s *strict) has(repository string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[repository]
}

// A maker is a cloud that makes repositories, or says why not.
type maker struct {
	cloud
	registry *strict
	refuses  error
	calls    int
}

func (m *maker) CreateRepository(_ context.Context, r exchange.Request) error {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	m.calls++
	if m.refuses == nil {
		m.registry.made[r.Repository] = true
	}
	return m.refuses
}

func pushing(t *testing.T, create bool, refuses error) (*node, *maker, Question) {
	s := newStrict(t)
	entry := generic("ecr", func(r *pierhead.Registry) {
		r.Type, r.Credential, r.PlainHTTP, r.CreateRepositories = pierhead.RegistryECR, pierhead.RegistryCredential{Identity: pierhead.IdentityNode}, true, create
	}, s.host+"/*")
	m := &maker{cloud: cloud{identity: nodeRole}, registry: s, refuses: refuses}
	n := newNode(t, entry)
	n.Exchangers[pierhead.RegistryECR] = m
	return n, m, ask(t, s.host+"/team/app:v1")
}

// upload puts one blob, and a manifest with it.
func upload(t *testing.T, p *Push) error {
	ctx, blob := t.Context(), "{}"
	u, err := p.StartUpload(ctx, "team/app", "")
	if err != nil {
		return err
	}
	if _, err := u.Append(ctx, -1, strings.NewReader(blob)); err != nil {
		return err
	}
	d, err := u.Finish(ctx, digest.FromString(blob))
	if err != nil {
		return err
	}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	text := `{"schemaVersion":2,"mediaType":"` + mediaType + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + d.Digest.String() + `","size":2},"layers":[]}`
	_, err = p.PutManifest(ctx, "team/app", oci.Manifest{MediaType: mediaType, Content: []byte(text)}, []string{"v1"})
	return err
}

// I9 I17: a push to a repository that is not there makes it first, where the registry says so, and once; why it cannot be
// made is told.
func TestI17RepositoryIsMadeOnPush(t *testing.T) {
	n, m, q := pushing(t, true, nil)
	p, err := n.OpenPush(t.Context(), alice, q)
	if err != nil {
		t.Fatal(err)
	}
	if err := upload(t, p); err != nil {
		t.Fatal(err)
	}
	if m.calls != 1 || !m.requests[0].Push {
		t.Errorf("%d calls, asked with %+v", m.calls, m.requests[0])
	}
	if _, err := p.StartUpload(t.Context(), "team/other", ""); !errors.Is(err, oci.ErrDenied) {
		t.Errorf("another repository: %v", err)
	}

	n, m, q = pushing(t, true, &exchange.Error{Kind: exchange.ErrRefused, Text: "arn:aws:sts::1:assumed-role/x may not ecr:CreateRepository", Hint: "add ecr:CreateRepository"})
	p, err = n.OpenPush(t.Context(), alice, q)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err = upload(t, p)
		if !errors.Is(err, exchange.ErrRefused) || !strings.Contains(err.Error(), "may not ecr:CreateRepository") || pierhead.HintOf(err) != "add ecr:CreateRepository" {
			t.Errorf("%v (%s)", err, pierhead.HintOf(err))
		}
	}
	if m.calls != 1 {
		t.Errorf("%d calls", m.calls)
	}

	n, m, q = pushing(t, false, nil)
	p, err = n.OpenPush(t.Context(), alice, q)
	if err != nil {
		t.Fatal(err)
	}
	if err := upload(t, p); !errors.Is(err, oci.ErrNameUnknown) || m.calls != 0 {
		t.Errorf("%v after %d calls", err, m.calls)
	}
}

// Nothing is pushed anonymously, by the node's identity alone, or from a personal project.
func TestPushNeedsALogin(t *testing.T) {
	n := newNode(t, generic("open", func(r *pierhead.Registry) { r.Credential.Secret = "" }, "open.example.com/*"), generic("moved", nil, "moved.example.com/*")).with(&cloud{identity: nodeRole})
	n.write("moved", "password", "elsewhere.example.com")
	for name, change := range map[string]func(*Question){
		"open.example.com/app:v1":  func(*Question) {},
		"moved.example.com/app:v1": func(*Question) {},
		"quay.io/acme/app:v1":      func(q *Question) { q.LoginSecret = "file:moved" },
		ecrHost + "/app:v1":        func(*Question) {},
		"moved.example.com/own:v1": func(q *Question) { q.Personal, q.OrganizationID = true, "" },
	} {
		q := ask(t, name)
		change(&q)
		if _, err := n.OpenPush(t.Context(), alice, q); !errors.Is(err, pierhead.ErrPull) || pierhead.HintOf(err) == "" {
			t.Errorf("%s: %v (%s)", name, err, pierhead.HintOf(err))
		}
	}
}
