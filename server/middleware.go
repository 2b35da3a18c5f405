package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	ociserver "pierhead.dev/pierhead/oci/server"
)

// A record is what is known of one answer while it is made, for the log.
type record struct {
	http.ResponseWriter
	status int
	bytes  int64
	caller string // empty until the token was read
}

type recordKey struct{}

func recordOf(r *http.Request) *record {
	if known, ok := r.Context().Value(recordKey{}).(*record); ok {
		return known
	}
	return &record{}
}

// Noted is an Authorizer of the hosted registry that names the caller in the log of requests, refused ones too.
func Noted(a ociserver.Authorizer) ociserver.Authorizer { return noted{a} }

type noted struct{ ociserver.Authorizer }

func (n noted) Authorize(r *http.Request, q ociserver.Request) (ociserver.Grant, error) {
	grant, err := n.Authorizer.Authorize(r, q)
	recordOf(r).caller = grant.Caller
	return grant, err
}

func (w *record) began() bool { return w.status != 0 }

// WriteHeader notes the status; 1xx are not the answer yet.
func (w *record) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (w *record) Write(data []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(data)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile for the registry's blobs: the server's own writer has it, and a wrapper would hide it.
func (w *record) ReadFrom(from io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, from)
	w.bytes += n
	return n, err
}

// Flush is for handlers that look for it themselves.
func (w *record) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (w *record) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// guarded is around every handler: security headers, one line of log, and a panic that ends one request only.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		known := &record{ResponseWriter: w}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, known))
		// A deadline that the last answer on this connection set would cut a large blob off.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		secure(w.Header(), r.URL.Path)
		defer s.logRequest(r, known, began)
		defer s.recovered(known, r)
		next.ServeHTTP(known, r)
	})
}

// secure sets what no answer of ours should be without. Registry answers are cacheable by their clients, all others not.
func secure(header http.Header, path string) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	if strings.HasPrefix(path, "/api/") || path == "/token" {
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Cache-Control", "no-store")
	}
}

func (s *Server) recovered(known *record, r *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	s.config.Log.Error("a handler panicked", "route", r.Pattern, "reason", reason, "stack", string(debug.Stack()))
	if known.began() {
		panic(http.ErrAbortHandler)
	}
	s.refuse(known, r, errors.New("panic"))
}

// maxLogged is more than the path of any manifest, in bytes; what is longer is made to fill the log.
const maxLogged = 512

// logRequest names the route for the API, where paths may hold what was mistyped, and the path for the registry. It
// never has the query: tokens and signatures travel there.
func (s *Server) logRequest(r *http.Request, known *record, began time.Time) {
	level := slog.LevelDebug
	if known.status >= http.StatusBadRequest && known.status != http.StatusUnauthorized { // a registry's clients ask without a token first
		level = slog.LevelInfo
	}
	where := r.Pattern
	if strings.HasPrefix(r.URL.Path, "/v2/") && !strings.Contains(r.URL.Path, "pier_") {
		where = r.URL.Path[:min(len(r.URL.Path), maxLogged)]
	}
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = r.RemoteAddr
	}
	s.config.Log.Log(context.WithoutCancel(r.Context()), level, "request", "method", r.Method, "route", where, "status", known.status,
		"bytes", known.bytes, "took", time.Since(began).Round(time.Microsecond), "caller", known.caller, "remote", remote)
}
