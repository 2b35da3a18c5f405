// Package engines runs the conformance test of engines with the real ones of this machine: Podman as a service of
// ours with a store of its own, and a dockerd in a scratch folder. Containers have no network, so that nothing changes in
// the machine's; TestBridge gives them one where it can do no harm.
package engines

import (
	"testing"

	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/engine/docker"
	"pierhead.dev/pierhead/engine/enginetest"
	"pierhead.dev/pierhead/test/internal/machine"
)

func open(t *testing.T, address string) engine.Engine {
	t.Helper()
	e, err := docker.New(address, docker.Config{Network: network()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestPodman(t *testing.T) {
	machine.Need(t, "podman", "conmon")
	t.Setenv("PIER_TEST_ENGINE", "not for containers")
	t.Setenv("HTTP_PROXY", "http://not.for.containers.example.test:1")
	dir := podmanDir(t)
	service := startPodman(t, dir)
	enginetest.Run(t, enginetest.Harness{
		Open:  func(t *testing.T) engine.Engine { return open(t, service.Address()) },
		Names: func(t *testing.T, image string) []string { return names(t, service.Address(), image) },
		Restart: func(t *testing.T) {
			must(t, service.Close())
			service = startPodman(t, dir)
		},
		Shell:   enginetest.Busybox(t),
		Network: network() == docker.NetworkBridge,
	})
	must(t, service.Close()) // the last one; it outlived the test that started it
}

func TestDocker(t *testing.T) {
	machine.Need(t, "dockerd", "unshare")
	t.Setenv("PIER_TEST_ENGINE", "not for containers")
	address := machine.Dockerd(t, machine.Scratch(t, machine.Remove(t)), network() == docker.NetworkBridge)
	enginetest.Run(t, enginetest.Harness{
		Open:    func(t *testing.T) engine.Engine { return open(t, address) },
		Names:   func(t *testing.T, image string) []string { return names(t, address, image) },
		Shell:   enginetest.Busybox(t),
		Network: network() == docker.NetworkBridge,
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names asks the engine itself, past our own code.
func names(t *testing.T, address, image string) []string {
	t.Helper()
	api, err := client.New(client.WithHost(address))
	must(t, err)
	defer api.Close()
	found, err := api.ImageInspect(t.Context(), image)
	must(t, err)
	return append(found.RepoTags, found.RepoDigests...)
}
