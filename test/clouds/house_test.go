package clouds

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// A house is a running pier on a node in a world, with the organization acme and its project acme/vision.
type house struct {
	*machine.Pier
	w       *world
	secrets string // the operator's directory of secrets
	tokens  string // and of tokens
	marker  string // is in its database, its log and elsewhere, and no secret
}

// saidFile is where all that commands say is written down, in the directory of a house.
const saidFile = "said"

// The places of a house's pier; there is one at a time.
const (
	houseAddress = "127.0.0.1:7070"
	houseURL     = "http://" + houseAddress
)

// house runs a pier whose node has these variables beside what every house has, and Podman with a store of its own.
func (w *world) house(t *testing.T, variables ...string) *house {
	t.Helper()
	return w.houseWith(t, "podman", variables...)
}

// office is a house without an engine, where nothing can be run but all can be asked.
func (w *world) office(t *testing.T, variables ...string) *house {
	t.Helper()
	return w.houseWith(t, "none", variables...)
}

func (w *world) houseWith(t *testing.T, engine string, variables ...string) *house {
	t.Helper()
	var h *house
	dir := machine.Scratch(t, func(dir string) {
		machine.RemoveStore(t, "../setup/remove-store.sh")(dir + "/data/agent/engine")
		h.keep(t)
	})
	h = &house{Pier: &machine.Pier{Program: built("pier"), Dir: dir, Said: filepath.Join(dir, saidFile)}, w: w, secrets: filepath.Join(dir, "secrets"), tokens: filepath.Join(dir, "tokens"),
		marker: "marker-" + strings.ToLower(rand.Text())}
	must(t, os.Mkdir(h.secrets, 0o700))
	must(t, os.Mkdir(h.tokens, 0o700))
	h.More = append([]string{"SSL_CERT_FILE=" + w.roots(), "PIER_ORG=acme", "PIER_PROJECT=acme/vision", "PIER_TEST_MARKER=" + h.marker}, variables...)
	must(t, os.WriteFile(filepath.Join(dir, "valohai.yaml"), []byte("- step:\n    name: train\n    image: none\n    command: train --epochs=2\n"), 0o600))
	listProcesses(t, filepath.Join(dir, processFile))
	h.Serve(t, houseAddress, "data", "up", "--engine", engine, "--own-store", "--network", "none",
		"--private-network", internet+"/32", "--secrets-dir", h.secrets, "--token-dir", h.tokens)
	h.AwaitReady(t)
	h.Must(t, "org", "create", "acme")
	h.Must(t, "project", "create", "acme/vision")
	h.Must(t, words("registry add "+h.marker+" --match registry.marker.example/* --no-credential --no-test")...)
	t.Cleanup(func() { h.search(t) }) // before it ends
	return h
}

// lay puts a secret where the operator does, for file:NAME.
func (h *house) lay(t *testing.T, name, content string) (reference string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(h.secrets, name), []byte(content), 0o600))
	return "file:" + name
}

// add adds a registry whose login must be proved.
func (h *house) add(t *testing.T, arguments ...string) {
	t.Helper()
	h.adds(t, "", arguments...)
}

// adds is add with a password on standard input.
func (h *house) adds(t *testing.T, input string, arguments ...string) {
	t.Helper()
	out, said, code := h.Run(t, "", input, append([]string{"registry", "add"}, arguments...)...)
	if code != 0 || !strings.Contains(said, "Proved by node local") {
		t.Fatalf("pier registry add %s: exit code %d\n%s%s", strings.Join(arguments, " "), code, said, out)
	}
}

// runs wants an execution on the image to pull it and end well, and returns its log.
func (h *house) runs(t *testing.T, image, digest string, more ...string) string {
	t.Helper()
	log, said, code := h.Run(t, "", "", append([]string{"run", "train", "--image", image, "--watch"}, more...)...)
	for _, line := range []string{"Pulling image: " + image + "\n", "Image digest: " + digest + "\n", "training for 2 epochs", "done"} {
		if code != 0 || !strings.Contains(log+"\n", line) {
			t.Fatalf("pier run on %s ended with %d, and the log lacks %q:\n%s%s", image, code, line, log, said)
		}
	}
	return log
}

// fails wants an execution on the image not to start, and words in what the person sees.
func (h *house) fails(t *testing.T, image string, words ...string) {
	t.Helper()
	log, said, code := h.Run(t, "", "", "run", "train", "--image", image, "--watch")
	if code != 125 {
		t.Errorf("pier run on %s ended with %d, not 125:\n%s%s", image, code, log, said)
	}
	tells(t, "pier run on "+image, log+said, words...)
}

// suffers wants an execution on the image not to start, and words both in what the person sees then and in the explanation.
func (h *house) suffers(t *testing.T, image string, words ...string) {
	t.Helper()
	h.fails(t, image, append(slices.Clone(words), "Hint: ")...)
	h.explains(t, image, words...)
}

// refuses wants a command to end with an exit code, and words in what it says.
func (h *house) refuses(t *testing.T, code int, arguments []string, words ...string) {
	t.Helper()
	out, said, got := h.Run(t, "", "", arguments...)
	if got != code {
		t.Errorf("pier %s ended with %d, not %d:\n%s%s", strings.Join(arguments, " "), got, code, said, out)
	}
	tells(t, "pier "+strings.Join(arguments, " "), out+said, words...)
}

// explains wants words in an explanation.
func (h *house) explains(t *testing.T, image string, words ...string) {
	t.Helper()
	tells(t, "pier explain "+image, h.Must(t, "explain", image), words...)
}

// tells wants words in a text, in one piece each.
func tells(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not tell %q:\n%s", what, word, text)
		}
	}
}

func words(text string) []string { return strings.Fields(text) }
