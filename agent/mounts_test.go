package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pierhead.dev/pierhead"
)

// An execution gets the image, not the means: what the operator did not list, and whatever holds keys, stays out of
// reach, by links and by parents too.
func TestMountsStayWithinWhatTheOperatorListed(t *testing.T) {
	root := t.TempDir()
	for _, directory := range []string{"data/sets", "keys", "outside", "mixed/agent"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"data/out": "outside", "data/keys": "keys", "data/in": "data/sets"} {
		if err := os.Symlink(filepath.Join(root, target), filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	rule := mountRule{
		allowed:   []string{filepath.Join(root, "data"), filepath.Join(root, "mixed")},
		forbidden: []string{filepath.Join(root, "keys"), filepath.Join(root, "mixed/agent"), filepath.Join(root, "not-there")},
	}
	for _, test := range []struct {
		source, destination string
		kind                error
	}{
		{"data", "/data", nil},
		{"data/sets", "/data", nil},
		{"data/in", "/data", nil},
		{"data/out", "/data", pierhead.ErrNotAllowed},
		{"data/keys", "/data", pierhead.ErrNotAllowed},
		{"data/../outside", "/data", pierhead.ErrNotAllowed},
		{"outside", "/data", pierhead.ErrNotAllowed},
		{"mixed", "/data", pierhead.ErrNotAllowed},       // it contains a forbidden one
		{"mixed/agent", "/data", pierhead.ErrNotAllowed}, //
		{"nothing", "/data", pierhead.ErrBadInput},
		{"data", "data", pierhead.ErrBadInput},
		{"data", "/", pierhead.ErrBadInput},
		{"data", "/data,source=/etc", pierhead.ErrBadInput}, // Podman reads commas
	} {
		_, err := rule.admit([]pierhead.Mount{{Source: root + "/" + test.source, Destination: test.destination}})
		if !errors.Is(err, test.kind) || (err == nil) != (test.kind == nil) {
			t.Errorf("mounting %s at %s: %v; want %v", test.source, test.destination, err, test.kind)
		}
	}
	if _, err := rule.admit([]pierhead.Mount{{Source: "relative", Destination: "/data"}}); !errors.Is(err, pierhead.ErrBadInput) {
		t.Errorf("a relative source: %v", err)
	}
}
