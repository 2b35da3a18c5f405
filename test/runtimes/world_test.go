package runtimes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// The places of a machine with an agent.
const (
	socketPath = "/run/pierhead/agent.sock"
	serverURL  = "http://127.0.0.1:7070"
	mirrorHost = "localhost:5050"
)

// A world is a control plane, a node with its agent, and registries.
type world struct {
	*machine.Pier
	processes     machine.Processes
	server, agent *machine.Process
	secrets       string // the agent's directory of them
	docker        string // address of the machine's dockerd
	images        atomic.Int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	namespace().Need(t)
	dir := machine.Scratch(t, machine.Remove(t))
	w := &world{Pier: &machine.Pier{Program: built("pier"), Dir: dir, More: []string{"PIER_SOCKET=" + socketPath}, Said: filepath.Join(dir, "said")}, secrets: filepath.Join(dir, "secrets")}
	t.Cleanup(w.processes.End)
	must(t, os.Mkdir(w.secrets, 0o700))
	w.startServer(t)
	w.Must(t, "org", "create", "acme")
	token := w.Must(t, "node", "token", "create", "--org", "acme")
	must(t, os.WriteFile(filepath.Join(dir, "join"), []byte(token), 0o600))
	w.startAgent(t, "--server", serverURL, "--join-file", filepath.Join(dir, "join"))
	return w
}

func (w *world) startServer(t *testing.T) {
	t.Helper()
	w.server = w.processes.Start(t, filepath.Join(w.Dir, "server.log"), append(w.Env(), "PIER_DATA="+w.Dir+"/server"), w.Program, "server")
	w.AwaitReady(t)
}

func (w *world) startAgent(t *testing.T, flags ...string) {
	t.Helper()
	flags = append([]string{"agent", "--engine", "none", "--secrets-dir", w.secrets}, flags...)
	w.agent = w.processes.Start(t, filepath.Join(w.Dir, "agent.log"), append(w.Env(), "PIER_DATA="+w.Dir+"/agent"), w.Program, flags...)
	w.agent.Await(t, "an agent that answers", func(ctx context.Context) bool {
		command := exec.CommandContext(ctx, w.Program, "node", "status")
		command.Env = w.Env()
		return command.Run() == nil
	})
}

// register adds a registry, and waits until the node knows it.
func (w *world) register(t *testing.T, name, match string, more ...string) {
	t.Helper()
	w.Must(t, append([]string{"registry", "add", name, "--org", "acme", "--match", match, "--plain-http", "--no-test"}, more...)...)
	covered := `prefix = "` + strings.TrimSuffix(match, "/*") + `"`
	w.agent.Await(t, "registry "+name+" on the node", func(ctx context.Context) bool {
		command := exec.CommandContext(ctx, w.Program, "node", "setup", "podman", "--dry-run")
		command.Env = w.Env()
		out, err := command.Output()
		return err == nil && strings.Contains(string(out), covered)
	})
}

// push puts an image that was never anywhere, with layers that no store has, into a registry, and returns its name and what
// every program calls it by: the digest of its configuration.
func (w *world) push(t *testing.T, l *machine.Login, repository string) (image, id string) {
	t.Helper()
	content := machine.Image(t, runtime.GOARCH, machine.Random(10_000), machine.Random(300_000))
	image = fmt.Sprintf("%s/%s:%d", l.Registry, repository, w.images.Add(1))
	l.Push(t, image, content)
	digest, err := content.ConfigName()
	must(t, err)
	return image, digest.String()
}
