package broker

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/oci"
)

// Who is to wait is told how long, if the registry said so; a login is advised to those who had none.
func TestTooManyRequestsSayHowLong(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "private") && r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="busy"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Retry-After", "21600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(busy.Close)
	host := strings.TrimPrefix(busy.URL, "http://")
	n := newNode(t, generic("busy", func(r *pierhead.Registry) { r.PlainHTTP = true }, host+"/*"))
	n.write("busy", marker, "")
	for image, want := range map[string]string{
		"/public/app:v1":  "wait 6h0m0s, as " + host + " asks; with a login the limit is mostly higher",
		"/private/app:v1": "wait 6h0m0s, as " + host + " asks",
	} {
		_, _, err := n.resolve(host + image)
		if !errors.Is(err, oci.ErrTooManyRequests) || pierhead.HintOf(err) != want {
			t.Errorf("%v\n  hint: %s", err, pierhead.HintOf(err))
		}
	}
}
