package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/engine/enginetest"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/basic"
	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/secret"
	secretfile "pierhead.dev/pierhead/secret/file"
	"pierhead.dev/pierhead/server"
	"pierhead.dev/pierhead/store"
)

// A kit is all that an agent has to do with: a control plane on a real store, a private registry of somebody else's
// with one image, and an engine in memory. Agents are started on it, and again on what others left.
type kit struct {
	t       *testing.T
	url     string
	token   string // the node's
	admin   *api.Client
	engine  *enginetest.Memory
	image   string // "127.0.0.1:PORT/team/hello:1"
	digest  string
	secrets string
	runs    atomic.Int64 // of the program
	clock   atomic.Int64 // what everybody's clock is ahead, in nanoseconds
	log     *watchedLog

	answer   atomic.Pointer[http.HandlerFunc]   // in the control plane's place
	upstream atomic.Pointer[http.HandlerFunc]   // in the registry's place; it may pass on
	onCall   atomic.Pointer[func(string) error] // the engine's
	program  atomic.Pointer[enginetest.Program] // what /hello does
	content  http.Handler                       // the registry
	wrap     func(Server) Server                // around the next agent's client
	change   func(*Config)                      // of the next agent
	prepared func(*Agent)                       // the next agent, before it runs
}

const helloOutput = "one\ntwo\nthree\n"

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, log: &watchedLog{}, wrap: func(s Server) Server { return s }, change: func(*Config) {}, prepared: func(*Agent) {}}
	k.controlPlane()
	k.registry()
	k.runsProgram(func(_ context.Context, p enginetest.Process) int {
		fmt.Fprint(p.Stdout, helloOutput)
		return 0
	})
	k.engine = enginetest.NewMemory(map[string]enginetest.Program{"/hello": func(ctx context.Context, p enginetest.Process) int {
		k.runs.Add(1)
		return (*k.program.Load())(ctx, p)
	}})
	k.engine.Now = k.now
	k.engine.OnCall = func(_ context.Context, call string) error {
		if on := k.onCall.Load(); on != nil {
			return (*on)(call)
		}
		return nil
	}
	return k
}

func (k *kit) now() time.Time                           { return time.Now().Add(time.Duration(k.clock.Load())) }
func (k *kit) later(d time.Duration)                    { k.clock.Add(int64(d)) }
func (k *kit) runsProgram(program enginetest.Program)   { k.program.Store(&program) }
func (k *kit) atCall(on func(call string) error)        { k.onCall.Store(&on) }
func (k *kit) inPlace(answer http.HandlerFunc)          { k.answer.Store(&answer) }
func (k *kit) inRegistrysPlace(answer http.HandlerFunc) { k.upstream.Store(&answer) }

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("%v (%s)", err, pierhead.HintOf(err))
	}
}

type noGarbage struct{}

func (noGarbage) Collect(context.Context, hosted.CollectOptions) (hosted.Report, error) {
	return hosted.Report{}, nil
}

func (k *kit) controlPlane() {
	k.t.Helper()
	db, err := store.Open(k.t.Context(), "sqlite:"+filepath.Join(k.t.TempDir(), "pierhead.db"), store.Options{URL: "http://pier.example", Now: k.now})
	k.must(err)
	k.t.Cleanup(func() { db.Close() })
	_, text, _, err := db.Bootstrap(k.t.Context(), "root")
	k.must(err)
	_, k.token, err = db.EnsureNode(k.t.Context(), pierhead.System(), "local")
	k.must(err)
	key, err := tokens.Generate()
	k.must(err)
	plane, err := server.New(server.Config{URL: "http://pier.example", Store: db, Tokens: key, Collector: noGarbage{}, Now: k.now,
		Log: slog.New(slog.DiscardHandler)})
	k.must(err)
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := k.answer.Load(); answer != nil && *answer != nil {
			(*answer)(w, r)
			return
		}
		plane.ServeHTTP(w, r)
	}))
	k.t.Cleanup(func() { plane.Drain(); listening.Close() })
	k.url, k.admin = listening.URL, k.client(listening.URL, text)
	_, err = k.admin.CreateOrganization(k.t.Context(), api.NewOrganization{Name: "acme"})
	k.must(err)
	_, err = k.admin.SetMember(k.t.Context(), "acme", "root", string(pierhead.RoleAdmin))
	k.must(err)
	for _, project := range []string{"vision", "speech"} {
		_, err = k.admin.CreateProject(k.t.Context(), api.NewProject{Owner: "acme", Name: project})
		k.must(err)
	}
}

func (k *kit) client(url, token string) *api.Client {
	c, err := api.NewClient(api.ClientConfig{URL: url, Token: token})
	k.must(err)
	k.t.Cleanup(c.CloseIdle)
	return c
}

const registryUser, registryPassword = "robot", "correct horse"

// registry is private: without its login it gives nothing.
func (k *kit) registry() {
	k.t.Helper()
	k.content = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := k.upstream.Load(); answer != nil && *answer != nil {
			(*answer)(w, r)
			return
		}
		k.serveRegistry(w, r)
	}))
	k.t.Cleanup(listening.Close)
	host := strings.TrimPrefix(listening.URL, "http://")
	k.secrets = k.t.TempDir()
	k.password(registryPassword, host)
	_, err := k.admin.Untested().CreateRegistry(k.t.Context(), "acme", api.Registry{Name: "images", Match: []string{host + "/*"}, PlainHTTP: true,
		Credential: api.Credential{Secret: "file:images"}})
	k.must(err)
	k.image, k.digest = k.push(host + "/team/hello:1")
}

func (k *kit) serveRegistry(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != registryUser || password != registryPassword {
		refuse(w)
		return
	}
	k.content.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// password writes what the secret holds now.
func (k *kit) password(password, host string) {
	k.t.Helper()
	text, err := json.Marshal(map[string]string{"username": registryUser, "password": password, "server": host})
	k.must(err)
	k.must(os.WriteFile(filepath.Join(k.secrets, "images"), text, 0o600))
}

// push puts a new image into the registry.
func (k *kit) push(reference string) (pushed, digest string) {
	k.t.Helper()
	image := enginetest.NewImage(k.t, []string{"/hello"}, nil, enginetest.Entry{Name: "hello", Content: bytes.Repeat([]byte("program"), 10_000)})
	to, err := name.ParseReference(reference)
	k.must(err)
	k.must(remote.Write(to, image, remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword})))
	hash, err := image.Digest()
	k.must(err)
	return reference, hash.String()
}

// An instance is one agent's life.
type instance struct {
	*Agent
	cancel context.CancelFunc
	ended  chan error
}

// start begins an agent on a directory.
func (k *kit) start(directory string) *instance {
	k.t.Helper()
	logger := slog.New(k.log)
	snapshot, err := OpenSnapshot(filepath.Join(directory, "snapshot.json"), logger)
	k.must(err)
	keys, err := OpenDataKeys(filepath.Join(directory, "keys.pem"))
	k.must(err)
	events, err := OpenSpool(filepath.Join(directory, "events"), logger)
	k.must(err)
	b := broker.New(broker.Config{Registries: snapshot, Events: events, Sealed: keys, Now: k.now,
		Secrets:    secret.Mux{"file": secretfile.New(secretfile.Config{Dir: k.secrets})},
		Exchangers: map[pierhead.RegistryType]exchange.Exchanger{pierhead.RegistryGeneric: basic.New()}})
	listener, err := ListenEndpoint("127.0.0.1:0")
	k.must(err)
	config := Config{Name: "local", Directory: directory, Server: k.wrap(k.client(k.url, k.token)), Engine: k.engine, Broker: b, Snapshot: snapshot,
		DataKey: keys.Public(), Endpoint: listener, Log: logger, Now: k.now}
	k.change(&config)
	a, err := New(config, events)
	k.must(err)
	k.prepared(a)
	ctx, cancel := context.WithCancel(k.t.Context())
	i := &instance{Agent: a, cancel: cancel, ended: make(chan error, 1)}
	go func() { i.ended <- a.Run(ctx) }()
	k.t.Cleanup(i.stop)
	return i
}

// stop ends an agent and waits for its end.
func (i *instance) stop() {
	i.cancel()
	if err := <-i.ended; err != nil {
		panic(err)
	}
	i.ended <- nil
}

// submit makes an execution of the image.
func (k *kit) submit(change ...func(*api.Spec)) string {
	k.t.Helper()
	spec := api.Spec{Step: "test", Image: k.image, Command: []string{"/hello"}}
	for _, c := range change {
		c(&spec)
	}
	e, err := k.admin.CreateExecution(k.t.Context(), api.NewExecution{Project: "acme/vision", Spec: spec})
	k.must(err)
	return e.ID
}

// wait returns an execution once it is as wanted.
func (k *kit) wait(id, what string, wanted func(pierhead.Execution) bool) pierhead.Execution {
	k.t.Helper()
	var last pierhead.Execution
	k.until("execution "+what, func() bool {
		e, err := k.admin.Execution(k.t.Context(), id)
		last = e.Noun()
		return err == nil && wanted(last)
	})
	return last
}

func (k *kit) final(id string) pierhead.Execution {
	k.t.Helper()
	return k.wait(id, "at its end", func(e pierhead.Execution) bool { return e.Progress.State.Final() })
}

func (k *kit) state(id string, state pierhead.ExecutionState) pierhead.Execution {
	k.t.Helper()
	return k.wait(id, string(state), func(e pierhead.Execution) bool { return e.Progress.State == state })
}

func (k *kit) logOf(id string) string {
	k.t.Helper()
	text, err := k.admin.ExecutionLog(k.t.Context(), id, 0, false)
	k.must(err)
	defer text.Close()
	content, err := io.ReadAll(text)
	k.must(err)
	return string(content)
}

func (k *kit) head() string {
	return "Pulling image: " + k.image + "\nImage digest: " + k.digest + "\n"
}

// clean checks that nothing of an execution is left on the node.
func (k *kit) clean(directory, id string) {
	k.t.Helper()
	k.until("nothing is left of it", func() bool {
		files, err := os.ReadDir(filepath.Join(directory, "executions"))
		return err == nil && len(files) == 0 && len(k.engine.Containers()) == 0
	})
}

// until waits for a condition that other goroutines bring about.
func (k *kit) until(what string, done func() bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			k.t.Fatalf("still waiting: %s\n%s", what, k.log)
		}
	}
}

// A watchedLog keeps what agents log.
type watchedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *watchedLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}
func (w *watchedLog) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *watchedLog) WithGroup(string) slog.Handler      { return w }

func (w *watchedLog) Handle(_ context.Context, record slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.text, "%s %s", record.Level, record.Message)
	record.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&w.text, " %s=%v", a.Key, a.Value); return true })
	w.text.WriteString("\n")
	return nil
}

func (w *watchedLog) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *watchedLog) has(text string) bool { return strings.Contains(w.String(), text) }

var errKilled = errors.New("this agent is dead")
