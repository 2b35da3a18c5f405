// Package server is the control plane over HTTP: the REST API under /api/v1 with its OpenAPI document, the token service
// of the hosted registry at /token, the registry itself at /v2/ (a handler that is passed in), and the health paths. It
// keeps nothing itself: the store decides and remembers, agents fetch their work by long polls. It never sees a
// credential of anyone's registry, and imports nothing that could open one.
package server

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/tokens"
	ociserver "pierhead.dev/pierhead/oci/server"
)

// A Config is all that a server is made of. URL, Store and Tokens are needed; the zero value of everything else works.
type Config struct {
	// URL is the server's name in references, "http://127.0.0.1:7070": the realm of the registry's challenge and the
	// issuer of its tokens come from it, never from a request's Host header.
	URL string
	// Service is the audience of registry tokens; the registry's verifier expects the same. Empty: the host of URL.
	Service string
	// Store is the control plane's memory, a *store.Store.
	Store Store
	// Tokens signs registry tokens.
	Tokens *tokens.Key
	// Authority is the SHA-256 of the certificate of this server's own authority, with --tls self: join tokens carry it. Nil:
	// it has none of its own.
	Authority []byte
	// Registry answers /v2/, with access checks of its own. Nil: there is no hosted registry here, and /v2/ is 404.
	Registry http.Handler
	// Collector collects the garbage of that registry. Nil: it cannot be asked for here.
	Collector Collector
	// Console answers everything that nothing else does. Nil: such paths are 404.
	Console http.Handler
	// Ready says why the server should get no traffic, for /readyz. Nil: it is ready until it shuts down.
	Ready func(context.Context) error
	// Version is what the OpenAPI document says of the program. Empty: "dev".
	Version string
	// Log gets one line per request, without tokens, queries and bodies, and what went wrong inside. Nil: nothing.
	Log *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// ExplainWait is how long a question waits for an agent's answer. 0: 5 seconds.
	ExplainWait time.Duration
	// CheckWait is how long a registry that is to be saved waits for a node that proves its credential. 0: 10 seconds.
	CheckWait time.Duration
	// TokenLife is how long a registry token lives. 0: 5 minutes; less than 60 seconds is raised to that, because clients
	// take 60 for granted (distribution token.md).
	TokenLife time.Duration
}

// Store is what the server needs of the store, noun by noun.
type Store interface {
	Authenticator
	Persons
	Organizations
	Members
	Projects
	Tokens
	Namespaces
	Registries
	Checks
	AllowedSecrets
	Executions
	Events
	AuditLog
	Nodes
	Joins
	NodeWork
	Garbage
	Changes
}

// Changes tells long polls when to look again.
type Changes interface {
	// Changed returns a channel that is closed at the next committed change.
	Changed() <-chan struct{}
}

// A Server is the handler of the control plane. It is safe for concurrent use.
type Server struct {
	config    Config
	mux       *http.ServeMux
	api       huma.API
	handler   http.Handler
	questions *questions
	probes    probes
	handed    *handed
	pulls     *ociserver.Bearer // verifies what nodes sign for the hosted registry
	drain     chan struct{}
	drainOnce sync.Once
}

// New makes the handler. Errors are mistakes in the configuration, of kind pierhead.ErrBadInput.
func New(config Config) (*Server, error) {
	address, err := CheckURL(config.URL)
	if err != nil {
		return nil, err
	}
	if config.Store == nil || config.Tokens == nil {
		return nil, fmt.Errorf("server: a store and a key for tokens are needed")
	}
	config.URL = address
	_, host, _ := strings.Cut(address, "://")
	withDefaults(&config, host)
	s := &Server{config: config, mux: http.NewServeMux(), questions: newQuestions(config.Now), handed: newHanded(), drain: make(chan struct{})}
	if s.pulls, err = RegistryTokens(config.URL, config.Service, config.Tokens.ID(), config.Tokens.Public(), config.Store.NodeRevoked); err != nil {
		return nil, err
	}
	s.api = humago.New(s.mux, huma.Config{OpenAPI: document(config.Version)})
	s.routes()
	if err := s.serveDocument(); err != nil {
		return nil, err
	}
	s.handler = s.guarded(s.mux)
	return s, nil
}

// CheckURL returns the server's URL as it is used, without a slash at its end. Errors: pierhead.ErrBadInput.
func CheckURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "the server's URL is not of the form http://HOST:PORT or https://HOST:PORT", "set it with --url")
	}
	if u.Path != "" && u.Path != "/" {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "the server's URL has a path", "references have no place for one: give the server a host or port of its own")
	}
	return u.Scheme + "://" + u.Host, nil
}

// RegistryTokens verifies the tokens of the hosted registry: those of the token service at serverURL, and those that nodes
// sign by its grants. revoked is asked as the process itself; nil where nobody knows.
func RegistryTokens(serverURL, service, keyID string, public crypto.PublicKey, revoked func(context.Context, pierhead.Caller, string) (bool, error)) (*ociserver.Bearer, error) {
	config := ociserver.BearerConfig{Realm: serverURL + "/token", Service: service, Issuer: serverURL, Keys: map[string]crypto.PublicKey{keyID: public}}
	if revoked != nil {
		config.Revoked = func(ctx context.Context, id string) (bool, error) { return revoked(ctx, pierhead.System(), id) }
	}
	return ociserver.NewBearer(config)
}

func withDefaults(c *Config, host string) {
	if c.Service == "" {
		c.Service = host
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ExplainWait == 0 {
		c.ExplainWait = 5 * time.Second
	}
	if c.CheckWait == 0 {
		c.CheckWait = 10 * time.Second
	}
	if c.TokenLife == 0 {
		c.TokenLife = 5 * time.Minute
	}
	c.TokenLife = max(c.TokenLife, 60*time.Second)
}

// routes is the list of what the server answers.
func (s *Server) routes() {
	s.personRoutes()
	s.organizationRoutes()
	s.memberRoutes()
	s.projectRoutes()
	s.tokenRoutes()
	s.registryRoutes()
	s.allowedRoutes()
	s.executionRoutes()
	s.eventRoutes()
	s.auditRoutes()
	s.explainRoutes()
	s.nodeRoutes()
	s.joinRoutes()
	s.workRoutes()
	s.garbageRoutes()
	s.mux.HandleFunc("/token", s.tokenService)
	s.healthRoutes()
	s.mux.HandleFunc("/api/", s.noRoute)
	if s.config.Registry != nil {
		s.mux.Handle("/v2/", s.config.Registry)
	}
	if s.config.Console != nil {
		s.mux.Handle("/", s.config.Console)
	} else {
		s.mux.HandleFunc("/", s.noRoute)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Drain ends long polls and log streams at once; their clients ask again. Everything else goes on.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.drain) }) }

func (s *Server) draining() bool {
	select {
	case <-s.drain:
		return true
	default:
		return false
	}
}
