package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/server"
)

// crowded is a registry on a full disk.
type crowded struct{}

func (crowded) Collect(context.Context, hosted.CollectOptions) (hosted.Report, error) {
	return hosted.Report{}, errors.Join(oci.ErrFull, errors.New("write /var/lib/pierhead/registry/…: no space left on device"))
}

// Who collects to make room and has too little of it for that used to read that the server made a mistake.
func TestCollectOnFullDisk(t *testing.T) {
	k := newKit(t, func(c *server.Config) { c.Collector = crowded{} })
	status, _, text := k.send("POST", "/api/v1/garbage-collections", k.token["root"], `{}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "the disk is too full") || !strings.Contains(text, "free some space") {
		t.Errorf("%d %s", status, text)
	}
}
