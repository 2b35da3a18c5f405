// Package runtimes lets the programs that pull images on people's machines pull private ones, through a node's doors: Docker,
// Podman, Buildah, Skopeo, crane and containerd, by credential helper and by mirror, each configured by pier node setup or
// pier export, from registries that are not ours. Then it takes away the control plane, the agent and the password.
//
// A node is `pier server` and `pier agent`, two processes, in a network namespace where all is in its usual place: the
// socket in /run/pierhead, the mirror at 127.0.0.1:5050, and the configuration of whoever pulls in a home of their own.
package runtimes

import (
	"flag"
	"strconv"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// hub is the address of Docker Hub in the namespace.
const hub = "10.77.0.1"

// inside empties the places where the programs keep things that nobody names, and says where Docker Hub is.
const inside = machine.PlainGroups + `mount -t tmpfs none /var/lib
mkdir /var/lib/containers /run/containers /run/libpod
echo "` + hub + ` registry-1.docker.io" >>hosts
`

// namespace is where all of it happens.
func namespace() machine.Namespace {
	return machine.Namespace{Variable: "PIER_TEST_RUNTIMES", Needs: []string{"docker", "dockerd", "podman", "buildah", "skopeo", "containerd", "ctr", "runc", "docker-registry"},
		Build: []string{"pierhead.dev/pierhead/cmd/pier", "pierhead.dev/pierhead/cmd/docker-credential-pier",
			"github.com/google/go-containerregistry/cmd/crane", "pierhead.dev/pierhead/test/demo/train"},
		Modules: []string{"./cri"}, Addresses: []string{hub}, Inside: inside}
}

// TestMain lets all ways go at the same time: many of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(len(ways)+1)); err != nil {
		panic(err)
	}
	namespace().Main(m)
}

func built(name string) string { return namespace().Built(name) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
