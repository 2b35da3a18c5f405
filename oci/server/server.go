// Package server puts a registry behind HTTP: our own (oci/hosted), or a remote one that a node shows to its engine.
// A request is parsed into a Request of some Kind, an Authorizer lets it go on, Config says which oci.Registry answers,
// and a table has one handler for each kind.
//
// It does the OCI distribution specification 1.1 and what its main branch adds. Time limits for slow clients are those
// of the http.Server that it runs in. Response writers are passed on as they are, so that a blob's file goes out by
// sendfile: who wraps this handler must keep io.ReaderFrom.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"pierhead.dev/pierhead/oci"
)

// A Config says what is served, and to whom.
type Config struct {
	Registry oci.Registry // what is served; oci.ReadOnly makes one of an oci.Reader
	// Open chooses what answers one request, where that is not always Registry. Its errors are oci.Errors, or come
	// out as 500.
	Open        func(r *http.Request, q Request, g Grant) (oci.Registry, error)
	Authorizer  Authorizer   // nil refuses everything; say Open{} for a registry that is open to all
	MaxManifest int64        // bytes; zero: 4 MiB
	Log         *slog.Logger // what went wrong inside; nil: nowhere
}

type server struct {
	config Config
}

// New makes the handler of /v2/.
func New(c Config) http.Handler {
	if c.Authorizer == nil {
		c.Authorizer = denyAll{}
	}
	if c.Registry == nil {
		c.Registry = oci.Unsupported{}
	}
	if c.Open == nil {
		registry := c.Registry
		c.Open = func(*http.Request, Request, Grant) (oci.Registry, error) { return registry, nil }
	}
	if c.MaxManifest <= 0 {
		c.MaxManifest = 4 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &server{config: c}
}

// call is one request on its way to its handler.
type call struct {
	Request
	http     *http.Request
	grant    Grant
	registry oci.Registry
	config   *Config
}

func (c *call) ctx() context.Context { return c.http.Context() }

// handlers is the table. A handler that returns an error has written nothing.
var handlers = map[Kind]func(w http.ResponseWriter, c *call) error{
	KindPing:           ping,
	KindManifest:       getManifest,
	KindManifestPut:    putManifest,
	KindManifestDelete: deleteManifest,
	KindTagDelete:      deleteTag,
	KindBlob:           getBlob,
	KindBlobDelete:     deleteBlob,
	KindUploadStart:    startUpload,
	KindMount:          mount,
	KindUploadStatus:   uploadStatus,
	KindUploadAppend:   appendUpload,
	KindUploadFinish:   finishUpload,
	KindUploadCancel:   cancelUpload,
	KindTags:           listTags,
	KindReferrers:      listReferrers,
	KindCatalog:        listRepositories,
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := s.serve(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) error {
	q, err := parse(r.Method, r.URL)
	if err != nil {
		if errors.Is(err, oci.ErrUnsupported) { // RFC 9110, section 15.5.6
			w.Header().Set("Allow", strings.Join(methods(r.URL.Path), ", "))
		}
		return err
	}
	grant, err := s.config.Authorizer.Authorize(r, q)
	if err != nil {
		return err
	}
	registry, err := s.config.Open(r, q, grant)
	if err != nil {
		return backend(err)
	}
	c := &call{Request: q, http: r, grant: grant, registry: registry, config: &s.config}
	return backend(handlers[q.Kind](w, c))
}

// backend turns a registry's own "unauthorized" into "denied": it is about the credential that was used behind this
// server, and a client would try its own again in vain.
func backend(err error) error {
	if errors.Is(err, oci.ErrUnauthorized) {
		return errors.Join(oci.ErrDenied.With("the registry behind this one refused the credential"), err)
	}
	return err
}

func ping(w http.ResponseWriter, _ *call) error {
	return writeJSON(w, http.StatusOK, "application/json", struct{}{})
}
