package googletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"time"
)

// A Trouble is what an operation answers instead of what it should.
type Trouble struct {
	Times      int           // how often; 0 is always
	Delay      time.Duration // before the answer, or before the right one where nothing else is set
	Status     int           // with an error of that status
	Message    string        // and this message
	Reason     string        // and this reason
	RetryAfter string        // and this header
	Body       string        // 200 with this body
	Echo       bool          // 400 with the request itself as the message, secrets included
}

// Trouble makes an operation answer wrongly from now on; the zero Trouble ends it.
func (c *Cloud) Trouble(op Operation, t Trouble) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t == (Trouble{}) {
		delete(c.troubles, op)
		return
	}
	c.troubles[op] = &t
}

// Away makes a host unreachable, or reachable again.
func (c *Cloud) Away(host string, away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away[host] = away
}

// Strays lists the hosts beyond Google's that somebody tried to reach through Transport.
func (c *Cloud) Strays() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.strays...)
}

// begin counts a call; false means that it was answered already.
func (c *Cloud) begin(w http.ResponseWriter, r *http.Request, op Operation) bool {
	c.mu.Lock()
	c.calls[op]++
	var t Trouble
	if known := c.troubles[op]; known != nil {
		t = *known
		if known.Times > 0 {
			if known.Times--; known.Times == 0 {
				delete(c.troubles, op)
			}
		}
	}
	c.mu.Unlock()
	if t.Delay > 0 {
		select {
		case <-r.Context().Done():
			return false
		case <-time.After(t.Delay):
		}
	}
	switch {
	case t.Echo:
		body, _ := io.ReadAll(r.Body)
		form, _ := url.QueryUnescape(string(body))
		apiError(w, http.StatusBadRequest, "INVALID_ARGUMENT", form+" "+r.Header.Get("Authorization"), "")
	case t.Status != 0:
		if t.RetryAfter != "" {
			w.Header().Set("Retry-After", t.RetryAfter)
		}
		apiError(w, t.Status, http.StatusText(t.Status), t.Message, t.Reason)
	case t.Body != "":
		_, _ = io.WriteString(w, t.Body)
	default:
		return true
	}
	return false
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// oauthError is the form of the token services.
func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}

// apiError is the form of all other services.
func apiError(w http.ResponseWriter, status int, code, message, reason string) {
	e := map[string]any{"code": status, "message": message, "status": code}
	if reason != "" {
		e["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}}
	}
	writeJSON(w, status, map[string]any{"error": e})
}

// Transport reaches this Google and nobody else: its hosts by https, its metadata server by http.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	handler, err := t.cloud.reach(r.URL)
	if err != nil {
		return nil, err
	}
	served := r.Clone(r.Context())
	served.Host, served.RequestURI, served.Body = r.URL.Host, r.URL.RequestURI(), io.NopCloser(bytes.NewReader(body))
	served.RemoteAddr = "127.0.0.1:1"
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	handler.ServeHTTP(recorder, served)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := recorder.Result()
	response.Request = r
	return response, nil
}

func (c *Cloud) reach(u *url.URL) (http.Handler, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	host := u.Hostname()
	handler := c.Handler(host)
	metadata := host == "metadata.google.internal" || host == "169.254.169.254"
	switch {
	case handler == nil, metadata != (u.Scheme == "http"):
		c.strays = append(c.strays, u.Scheme+"://"+u.Host)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	case c.away[host], metadata && c.machine == nil:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return handler, nil
}

// methodNotAllowed answers what is asked in a way that the real services do not know.
func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	apiError(w, http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("%s %s is not known here", r.Method, r.URL.Path), "")
}
