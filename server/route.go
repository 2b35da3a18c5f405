package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// writeTimeout is how long one answer, or one piece of a stream, may take to reach the client.
const writeTimeout = 60 * time.Second

// An operation is one route of the API.
type operation struct {
	id      string // "create-registry": the OpenAPI operationId
	method  string
	path    string // below api.Prefix
	tag     string // the noun
	summary string
	created bool // success is 201
	poll    bool // success may be 204: nothing happened while the request waited
	stream  bool // success is text, as it comes
	joins   bool // it takes a join token, and nobody else's
}

// none is the answer of operations that have nothing to say: 204.
type none struct{}

// handle registers an operation: it finds the caller, decodes the request into In (fields tagged path, query and body),
// calls do, and sends what it returns as JSON, or the error in the envelope. Every route but the streams goes this way.
func handle[In, Out any](s *Server, o operation, do func(context.Context, pierhead.Caller, In) (Out, error)) {
	register(s, o, reflect.TypeFor[Out](), func(c pierhead.Caller, in In, w http.ResponseWriter, r *http.Request) error {
		out, err := do(r.Context(), c, in)
		if err != nil {
			return err
		}
		return send(w, o, out)
	})
}

// stream registers an operation that writes its answer itself. An error that it returns before the first byte becomes
// the envelope.
func stream[In any](s *Server, o operation, do func(c pierhead.Caller, in In, w http.ResponseWriter, r *http.Request) error) {
	o.stream = true
	register(s, o, nil, do)
}

func register[In any](s *Server, o operation, out reflect.Type, do func(pierhead.Caller, In, http.ResponseWriter, *http.Request) error) {
	described := s.describe(o, reflect.TypeFor[In](), out)
	s.api.Adapter().Handle(described, func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		c, err := s.authenticate(r, o)
		var in In
		if err == nil {
			err = decode(w, r, &in)
		}
		if err == nil {
			err = do(c, in, w, r)
		}
		if err != nil {
			s.refuse(w, r, err)
		}
	})
}

// send writes a success. A nil pointer, and none, are 204.
func send(w http.ResponseWriter, o operation, out any) error {
	value := reflect.ValueOf(out)
	if _, nothing := out.(none); nothing || value.Kind() == reflect.Pointer && value.IsNil() {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	status := http.StatusOK
	if o.created {
		status = http.StatusCreated
	}
	return writeJSON(w, status, out)
}

// writeJSON encodes before it writes, so that an error can still become an answer.
func writeJSON(w http.ResponseWriter, status int, body any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // image references have "&" and "<" nowhere, but commands do, and people read this
	if err := encoder.Encode(body); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	// Errors of the connection are the client's: it is gone.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
	return nil
}

// refuse sends an error in the envelope, unless the answer has begun; what has no kind is logged, not shown.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	record := recordOf(r)
	if record.began() {
		s.config.Log.Warn("an answer broke off", "route", r.Pattern, "error", err)
		panic(http.ErrAbortHandler) // the client must not take the part for the whole
	}
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler) // nobody is there to read it, and returning would be a 200
	}
	status, envelope := api.ErrorOf(err)
	if status.Code == "internal" {
		s.config.Log.Error("a request went wrong inside", "route", r.Pattern, "caller", record.caller, "error", err)
	}
	if status.HTTP == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="pierhead"`)
	}
	_ = writeJSON(w, status.HTTP, envelope) // an envelope always encodes
}

// noRoute answers what nothing else does.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, pierhead.NewProblem(pierhead.ErrNotFound, fmt.Sprintf("there is no %s at this path", r.Method),
		"the API's routes are in /api/openapi.json"))
}
