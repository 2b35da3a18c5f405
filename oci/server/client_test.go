package server_test

import (
	"strings"
	"testing"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/oci/ocitest"
	"pierhead.dev/pierhead/oci/server"
)

// Our own client reads from our own registry as any reader does.
func TestOwnClient(t *testing.T) {
	ocitest.TestReader(t, func(t *testing.T) (oci.Reader, oci.Registry) {
		r := openHosted(t)
		s := serve(t, server.Config{Registry: r, Authorizer: server.Open{}})
		host := strings.TrimPrefix(s.URL, "http://")
		c, err := client.New(client.Config{Rules: egress.Rules{Host: host, PlainHTTP: true, Listed: []string{host}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c, r
	})
}
