package hosted_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/hosted"
	"pierhead.dev/pierhead/oci/ocitest"
)

func TestConformance(t *testing.T) {
	ocitest.Test(t, func(t *testing.T) oci.Registry { return open(t, config{}).Registry })
}

// instance is a registry with its blobs, as cmd/pier puts them together.
type instance struct {
	*hosted.Registry
	blobs *disk.Store
}

type config struct {
	dir   string // "" is a new one
	layer durable.Layer
	now   func() time.Time
}

func (i *instance) close() error { return errors.Join(i.Registry.Close(), i.blobs.Close()) }

func open(t *testing.T, c config) *instance {
	t.Helper()
	if c.dir == "" {
		c.dir = filepath.Join(t.TempDir(), "registry")
	}
	i, err := openDir(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.close() })
	return i
}

func openDir(c config) (*instance, error) {
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(c.dir, "blobs"), Layer: c.layer, Now: c.now})
	if err != nil {
		return nil, err
	}
	registry, err := hosted.Open(hosted.Config{Dir: c.dir, Blobs: blobs, Layer: c.layer, Now: c.now})
	if err != nil {
		return nil, errors.Join(err, blobs.Close())
	}
	return &instance{registry, blobs}, nil
}
