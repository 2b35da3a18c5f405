package clients

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// With --tls self every client works that is given the certificate of the context, and none that is not. dockerd takes
// any certificate of a loopback address, so for Docker only the first half is shown.
func TestTLS(t *testing.T) {
	address := machine.FreeAddress(t)
	h := startHouse(t, address, "https://"+address, "--tls", "self", "--engine", "none")
	unknowing := *h
	unknowing.ca = "\n"
	dir := machine.Scratch(t, machine.Remove(t))
	image := makeArchive(t, filepath.Join(dir, "small.tar"), "example.test/made/small:1", runtime.GOARCH, machine.Random(10), machine.Random(300_000))
	for _, program := range clients {
		t.Run(program.name, func(t *testing.T) {
			machine.Need(t, program.needs...)
			c := program.open(t, h)
			must(t, c.login(h.alice))
			must(t, c.login(h.reader))
			testThereAndBack(t, h, c, image, h.host+"/acme/"+program.name)
			if program.name == "docker" {
				return
			}
			stranger := program.open(t, &unknowing)
			if err := stranger.push(h.alice, image, h.host+"/acme/"+program.name+":v2"); err == nil || !strings.Contains(err.Error(), "x509") {
				t.Errorf("a push without the certificate: %v", err)
			}
		})
	}
}

// An execution runs on an image of the hosted registry, with TLS on the way, and nobody set up a credential.
func TestExecutionOnHostedImage(t *testing.T) {
	machine.Need(t, "podman", "conmon", "skopeo", "unshare")
	address := machine.FreeAddress(t)
	h := startHouse(t, address, "https://"+address, "--tls", "self", "--engine", "podman", "--own-store", "--network", "none")
	c := openSkopeo(t, h)
	must(t, c.login(h.alice))
	program, err := os.ReadFile(built("train"))
	must(t, err)
	image := makeArchive(t, filepath.Join(c.dir, "train.tar"), "example.test/made/train:1", runtime.GOARCH, program)
	reference := h.host + "/acme/train:v1"
	must(t, c.push(h.alice, image, reference))
	must(t, os.WriteFile(h.Dir+"/valohai.yaml", []byte("- step:\n    name: train-model\n    image: "+reference+"\n    command: train --epochs=2\n"), 0o600))
	h.Must(t, "project", "create", "acme/vision")
	log := h.Must(t, "run", "train-model", "--project", "acme/vision", "--watch")
	for _, line := range []string{"Pulling image: " + reference, "Image digest: sha256:", "training for 2 epochs", "done"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	told := h.Must(t, "execution", "list", "--output", "json")
	if !strings.Contains(told, `"state": "succeeded"`) {
		t.Errorf("the execution did not succeed:\n%s", told)
	}
	// In a project of somebody else's it is not there.
	if _, said, code := h.pierOf(t, h.eve, "project", "create", "eve/own"); code != 0 {
		t.Fatal(said)
	}
	if out, _, code := h.pierOf(t, h.eve, "run", "train-model", "--project", "eve/own", "--watch"); code != 125 || !strings.Contains(out, "Error: ") {
		t.Errorf("exit code %d, not 125:\n%s", code, out)
	}
}
