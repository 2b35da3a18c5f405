package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"pierhead.dev/pierhead/oci"
)

// wireError is one entry of an error body (OCI distribution specification, "Error Codes").
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
}

type wireErrors struct {
	Errors []wireError `json:"errors"`
}

// The table from code to status is oci's: each oci.Error has its own. What is none of them is told to the log only.
var errUnknown = &oci.Error{Code: "UNKNOWN", Status: http.StatusInternalServerError, Text: "internal error; the registry's log has it"}

// fail answers with an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	known := errUnknown
	if r.Context().Err() != nil {
		// The client is gone, or this process is about to be. An answer is written all the same, as none would be 200.
		known = oci.ErrUnavailable
		s.config.Log.Debug("registry request broken off", "method", r.Method, "path", r.URL.Path, "error", err)
	} else if !errors.As(err, &known) {
		if known = brokenBody(err); known == errUnknown {
			s.config.Log.Error("registry request", "method", r.Method, "path", r.URL.Path, "error", err)
		}
	} else if known.Status >= http.StatusInternalServerError {
		s.config.Log.Error("registry request", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	body := wireError{Code: known.Code, Message: known.Text}
	var detailed *oci.Detailed
	if errors.As(err, &detailed) && detailed.Err == known {
		body.Detail = detailed.Detail
	}
	var refusal *Refusal
	if errors.As(err, &refusal) {
		body.Detail = refusal.Detail
		if refusal.Challenge != "" {
			w.Header().Set("WWW-Authenticate", refusal.Challenge)
		}
	}
	sending := r.ContentLength > 64<<10 || r.ContentLength < 0
	if sending { // it is told at once, and the connection goes with the rest of its body
		w.Header().Set("Connection", "close")
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 is that already
	}
	_ = writeJSON(w, known.Status, "application/json", wireErrors{[]wireError{body}})
	if sending {
		linger(w, r)
	}
}

// WriteError answers with an error in the form that clients read, for whoever stands before this handler. What is none of
// oci's errors is not told.
func WriteError(w http.ResponseWriter, err error) {
	known := errUnknown
	_ = errors.As(err, &known)
	_ = writeJSON(w, known.Status, "application/json", wireErrors{[]wireError{{Code: known.Code, Message: known.Text}}})
}

// Bounds of linger.
const (
	maxLinger  = 64 << 20 // bytes
	lingerTime = 5 * time.Second
)

// linger reads on for a while when the answer was given before the request had ended: a connection that is closed on
// unread bytes is reset, and a client that sends all before it reads would never see the answer.
func linger(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if control.Flush() == nil && control.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, maxLinger)
	}
}

// brokenBody finds errors of reading a request's body, which are the client's.
func brokenBody(err error) *oci.Error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return oci.ErrManifestTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return oci.ErrSizeInvalid
	}
	return errUnknown
}

func writeJSON(w http.ResponseWriter, status int, mediaType string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // to a client that is gone, if it fails
	return nil
}
