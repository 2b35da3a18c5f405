package clients

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// A record is what a proxy in front of pier saw: "METHOD path?query status", in order.
type record struct {
	mu       sync.Mutex
	requests []string
}

// watched is a house that clients reach through a proxy, which writes down what is asked.
func watched(t *testing.T) (*house, *record) {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	back := machine.FreeAddress(t)
	r := new(record)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: back})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients give requests up
	proxy.ModifyResponse = func(answer *http.Response) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests = append(r.requests, fmt.Sprintf("%s %s %d", answer.Request.Method, answer.Request.URL.RequestURI(), answer.StatusCode))
		return nil
	}
	server := &http.Server{Handler: proxy}
	go func() { _ = server.Serve(front) }() // until Close
	t.Cleanup(func() { _ = server.Close() })
	return startHouse(t, back, "http://"+front.Addr().String(), "--engine", "none"), r
}

// take returns what was asked since the last call, and forgets it.
func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.requests
	r.requests = nil
	return taken
}

// count is how many requests have all of the parts.
func count(requests []string, parts ...string) int {
	return len(slices.DeleteFunc(slices.Clone(requests), func(request string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(request, part) })
	}))
}
