package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/server"
	"pierhead.dev/pierhead/store"
)

// A kit is a server on a real store, with people in it: root administers the installation and is no member of anything;
// alice is admin and bob member of acme, eve is admin of umbrella; reader is a read-only token of alice, ci a robot of
// acme, node the agent.
type kit struct {
	t      *testing.T
	store  *store.Store
	server *server.Server
	key    *tokens.Key
	url    string
	token  map[string]string
	log    *buffer
}

const publicURL = "http://pier.example:7070"

// callers are the columns of the tables of who may do what.
var callers = []string{"root", "alice", "bob", "eve", "reader", "ci", "node"}

func newKit(t *testing.T, change ...func(*server.Config)) *kit {
	t.Helper()
	made, err := template()
	if err != nil {
		t.Fatalf("%v (%s)", err, pierhead.HintOf(err))
	}
	k := &kit{t: t, token: made.token, log: &buffer{}}
	path := filepath.Join(t.TempDir(), "pierhead.db")
	k.must(os.WriteFile(path, made.database, 0o600))
	k.store, err = store.Open(t.Context(), "sqlite:"+path, store.Options{URL: publicURL})
	k.must(err)
	t.Cleanup(func() { k.store.Close() })
	k.key, err = tokens.Generate()
	k.must(err)
	config := server.Config{
		URL: publicURL, Store: k.store, Tokens: k.key, Collector: emptyRegistry{}, ExplainWait: 20 * time.Second, CheckWait: time.Millisecond,
		Log: slog.New(slog.NewJSONHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&config)
	}
	if k.server, err = server.New(config); err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(k.server)
	k.url = listening.URL
	t.Cleanup(func() { k.server.Drain(); listening.Close() })
	return k
}

// emptyRegistry has no garbage.
type emptyRegistry struct{}

func (emptyRegistry) Collect(_ context.Context, o hosted.CollectOptions) (hosted.Report, error) {
	return hosted.Report{DryRun: o.DryRun}, nil
}

// A populated database and the tokens of those in it.
type populated struct {
	database []byte
	token    map[string]string
}

// template makes the database that every kit begins with, once: to make it anew for each test takes most of their time.
var template = sync.OnceValues(func() (populated, error) {
	directory, err := os.MkdirTemp("", "pierhead-test")
	if err != nil {
		return populated{}, err
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "pierhead.db")
	db, err := store.Open(context.Background(), "sqlite:"+path, store.Options{URL: publicURL})
	if err != nil {
		return populated{}, err
	}
	token, err := populate(db)
	if err := errors.Join(err, db.Close()); err != nil {
		return populated{}, err
	}
	database, err := os.ReadFile(path)
	return populated{database, token}, err
})

// populate makes the people of a kit and returns the texts of their tokens.
func populate(db *store.Store) (map[string]string, error) {
	ctx, system, token := context.Background(), pierhead.System(), map[string]string{}
	var failed []error
	keep := func(name, text string, err error) {
		token[name], failed = text, append(failed, err)
	}
	_, text, _, err := db.Bootstrap(ctx, "root")
	keep("root", text, err)
	for _, name := range []string{"alice", "bob", "eve"} {
		_, err := db.CreatePerson(ctx, system, name, false)
		failed = append(failed, err)
		_, text, err := db.CreateToken(ctx, system, pierhead.Token{Kind: pierhead.TokenPerson, Name: "test", Person: name})
		keep(name, text, err)
	}
	for _, m := range []pierhead.Member{{Organization: "acme", Person: "alice", Role: pierhead.RoleAdmin},
		{Organization: "acme", Person: "bob", Role: pierhead.RoleMember}, {Organization: "umbrella", Person: "eve", Role: pierhead.RoleAdmin}} {
		if m.Role == pierhead.RoleAdmin {
			_, err := db.CreateOrganization(ctx, system, m.Organization)
			failed = append(failed, err)
		}
		_, err := db.SetMember(ctx, system, m.Organization, m.Person, m.Role)
		failed = append(failed, err)
	}
	alice, err := db.Authenticate(ctx, token["alice"])
	failed = append(failed, err)
	_, text, err = db.CreateToken(ctx, alice, pierhead.Token{Kind: pierhead.TokenPerson, Name: "reader", ReadOnly: true})
	keep("reader", text, err)
	_, text, err = db.CreateToken(ctx, alice, pierhead.Token{Kind: pierhead.TokenRobot, Name: "ci", Organization: "acme"})
	keep("ci", text, err)
	_, text, err = db.EnsureNode(ctx, system, "local")
	keep("node", text, err)
	return token, errors.Join(failed...)
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("%v (%s)", err, pierhead.HintOf(err))
	}
}

// client is the Go client of a caller; "" is nobody.
func (k *kit) client(caller string) *api.Client {
	k.t.Helper()
	client, err := api.NewClient(api.ClientConfig{URL: k.url, Token: k.token[caller]})
	k.must(err)
	k.t.Cleanup(client.CloseIdle)
	return client
}

// send makes one request and returns status and body; token is the text.
func (k *kit) send(method, path, token, body string) (int, http.Header, string) {
	k.t.Helper()
	request, err := http.NewRequestWithContext(k.t.Context(), method, k.url+path, strings.NewReader(body))
	k.must(err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	k.must(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	k.must(err)
	return response.StatusCode, response.Header, string(text)
}

// project makes acme/vision and alice's personal alice/own.
func (k *kit) projects() {
	k.t.Helper()
	_, err := k.client("alice").CreateProject(k.t.Context(), api.NewProject{Owner: "acme", Name: "vision"})
	k.must(err)
	_, err = k.client("alice").CreateProject(k.t.Context(), api.NewProject{Owner: "alice", Name: "own"})
	k.must(err)
}

// registry adds acme's registry "images" with a secret reference.
func (k *kit) registry() api.Registry {
	k.t.Helper()
	r, err := k.client("alice").CreateRegistry(k.t.Context(), "acme", api.Registry{
		Name: "images", Match: []string{"images.example/*"}, Credential: api.Credential{Secret: "file:images"},
	})
	k.must(err)
	return r
}

// execution submits one to acme/vision.
func (k *kit) execution() api.Execution {
	k.t.Helper()
	e, err := k.client("bob").CreateExecution(k.t.Context(), api.NewExecution{Project: "acme/vision", Spec: api.Spec{Step: "train", Image: "images.example/a:b", Command: []string{"true"}}})
	k.must(err)
	return e
}

// taken submits an execution and lets the node take it.
func (k *kit) taken() api.Execution {
	k.t.Helper()
	e := k.execution()
	work, _, err := k.client("node").TakeWork(k.t.Context(), 10, 0)
	k.must(err)
	if len(work) == 0 {
		k.t.Fatal("the node got no work")
	}
	return e
}

// A buffer is a log that can be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still waiting: %s", what)
		}
	}
}
