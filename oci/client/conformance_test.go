package client_test

import (
	"path/filepath"
	"testing"

	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/egress/egresstest"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/ocitest"
	"pierhead.dev/pierhead/oci/server"
)

// Every face of the client does over TLS what the hosted registry does by itself.
func TestConformance(t *testing.T) {
	ocitest.Test(t, func(t *testing.T) oci.Registry {
		dir := t.TempDir()
		blobs, err := disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := hosted.Open(hosted.Config{Dir: dir, Blobs: blobs})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); blobs.Close() })
		w := egresstest.New(t)
		w.HTTPS(host, server.New(server.Config{Registry: r, Authorizer: server.Open{}}))
		c, err := client.New(client.Config{Rules: egress.Rules{Host: host, CA: w.CA()}, Network: w.Network()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	})
}
