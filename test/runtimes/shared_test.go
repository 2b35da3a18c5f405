package runtimes

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// share puts registries behind one host, by the first segment of a repository's name, the user's: what is under it is for
// that login and no other, as on many a company's registry.
func share(t *testing.T, logins ...*machine.Login) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	behind := map[string]string{}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		user, _, _ := strings.Cut(strings.TrimPrefix(r.In.URL.Path, "/v2/"), "/")
		to := behind[user]
		if to == "" { // who asks whether this is a registry
			to = behind[logins[0].User]
		}
		r.SetURL(&url.URL{Scheme: "http", Host: to})
		r.Out.Host = r.In.Host // it is in the answers
	}}
	for _, l := range logins {
		behind[l.User] = l.Registry
		l.MoveTo(t, listener.Addr().String())
	}
	server := &http.Server{Handler: proxy}
	go func() { _ = server.Serve(listener) }() // until Close
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}
