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
func share(t *testing.T, listener net.Listener, host string, logins ...*machine.Login) {
	t.Helper()
	behind := map[string]string{}
	for _, l := range logins {
		behind[l.User] = l.Address
		l.MoveTo(t, host)
	}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		user, _, _ := strings.Cut(strings.TrimPrefix(r.In.URL.Path, "/v2/"), "/")
		to := behind[user]
		if to == "" { // who asks whether this is a registry
			to = logins[0].Address
		}
		r.SetURL(&url.URL{Scheme: "http", Host: to})
	}}
	server := &http.Server{Handler: proxy, ErrorLog: proxy.ErrorLog}
	go func() { _ = server.Serve(listener) }() // until Close
	t.Cleanup(func() { _ = server.Close() })
}
