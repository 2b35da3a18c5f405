// Package clouds proves every kind of registry and every secret store with the real pier: under the vendors' own host
// names, over TLS, with metadata services at their own addresses, and behind each vendor's door a registry that nobody
// here wrote. The clouds are those of identity/amazontest, identity/googletest and identity/azuretest, which refuse what
// the real ones refuse.
//
// All of it happens in a network namespace, which has a name server, the metadata addresses and nothing else: no request
// can leave it. TestMain runs the tests there. A world is what is around a node, and a house is a running pier in it;
// when a house ends, every secret that its world ever made is searched for in all that it has, and in the end every secret
// of all worlds in all that any house left behind and any command said.
package clouds

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// The machine's addresses: of all names on the internet, of the names at home, whose certificates only who is told trusts,
// and of the clouds' metadata services.
const (
	internet     = "10.77.0.1"
	intranet     = "10.77.0.2"
	metadata     = "169.254.169.254"
	taskMetadata = "169.254.170.2"
	podMetadata  = "169.254.170.23"
)

// namespace is where all of it happens. There are two, because the tests wait more than they work, for engines and for
// metadata services that do not answer.
func namespace() machine.Namespace {
	return machine.Namespace{Variable: "PIER_TEST_CLOUDS", Needs: []string{"podman", "conmon", "docker-registry"},
		Build:     []string{"pierhead.dev/pierhead/cmd/pier", "pierhead.dev/pierhead/test/demo/train"},
		Addresses: []string{internet, intranet, metadata, taskMetadata, podMetadata},
		Shards:    2, Before: makeKept, After: searchSuite}
}

func TestMain(m *testing.M) { namespace().Main(m) }

// makeKept makes the places for what is searched in the end.
func makeKept(dir string) error {
	return errors.Join(os.Mkdir(filepath.Join(dir, keptHouses), 0o700), os.Mkdir(filepath.Join(dir, keptRecords), 0o700))
}

func built(name string) string { return namespace().Built(name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
