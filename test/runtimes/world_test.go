package runtimes

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"pierhead.dev/pierhead/test/internal/machine"
)

// The places of a machine with an agent.
const (
	socketPath = "/run/pierhead/agent.sock"
	serverURL  = "http://127.0.0.1:7070"
	mirrorHost = "localhost:5050"
)

// A world is a control plane, a node with its agent, registries, and those who pull.
type world struct {
	*machine.Pier
	processes     machine.Processes
	server, agent *machine.Process
	containerd    *machine.Process
	secrets       string         // the agent's directory of them
	vault         string         // address of a store of them that takes connections and never says a word
	docker        string         // address of the machine's dockerd
	homes         map[way]*home  // of those who pull
	alice         *machine.Login // for all of her registry, so the helper lends it
	carol, dave   *machine.Login // on one host, each for a part, which the helper could not tell apart
	erin          *machine.Login // at Docker Hub, for a part
	gone          *machine.Login // whose secret nobody has
	lost          *machine.Login // likewise, at Docker Hub
	slow          *machine.Login // whose secret is in a store that never answers
	pause         string         // carol's image of the container that holds a pod together, which no kubelet has a login for
	settingUp     sync.Mutex
	images        atomic.Int32 // pushed so far
	commands      atomic.Int32 // typed by those who pull
}

func newWorld(t *testing.T) *world {
	t.Helper()
	namespace().Need(t)
	dir := machine.Scratch(t, func(dir string) {
		machine.Unmount(t, dir)
		machine.Remove(t)(dir)
		for _, group := range []string{"k8s.io", "docker", "libpod_parent"} {
			machine.RemoveGroups(group)
		}
	})
	w := &world{Pier: &machine.Pier{Program: built("pier"), Dir: dir, More: []string{"PIER_SOCKET=" + socketPath, "SSL_CERT_FILE=" + dir + "/roots.pem"}, Said: filepath.Join(dir, "said")},
		secrets: filepath.Join(dir, "secrets"), homes: map[way]*home{}}
	t.Cleanup(w.processes.End)
	must(t, os.Mkdir(w.secrets, 0o700))
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	w.vault = silent.Addr().String()
	must(t, os.WriteFile(filepath.Join(dir, "vault-token"), []byte("hvs.never-asked-for"), 0o600))
	w.startRegistries(t)
	w.startServer(t)
	w.Must(t, "org", "create", "acme")
	token := w.Must(t, "node", "token", "create", "--org", "acme")
	must(t, os.WriteFile(filepath.Join(dir, "join"), []byte(token), 0o600))
	w.startAgent(t, "--server", serverURL, "--join-file", filepath.Join(dir, "join"))
	w.register(t, "alice", w.alice.Registry+"/*")
	w.register(t, "carol", w.carol.Registry+"/carol/*")
	w.register(t, "dave", w.dave.Registry+"/dave/*")
	w.register(t, "gone", w.gone.Registry+"/*")
	w.register(t, "lost", "docker.io/lost/*")
	w.register(t, "slow", w.slow.Registry+"/*")
	w.register(t, "erin", "docker.io/erin/*")
	w.pause = w.pushRunnable(t, w.carol, "/bin/train", "--pause=1000h")
	w.startDockerd(t)
	w.startContainerd(t)
	for _, way := range ways {
		w.homes[way] = w.settle(t, way.program+"-"+way.door)
	}
	return w
}

// startRegistries starts them, and puts carol's and dave's behind one name, and erin's behind Docker Hub's.
func (w *world) startRegistries(t *testing.T) {
	t.Helper()
	for user, l := range map[string]**machine.Login{"alice": &w.alice, "carol": &w.carol, "dave": &w.dave, "erin": &w.erin, "gone": &w.gone, "lost": &w.lost, "slow": &w.slow} {
		*l = machine.Private(t, w.Dir, w.secrets, user)
	}
	shared, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	share(t, shared, shared.Addr().String(), w.carol, w.dave)
	authority := machine.NewAuthority(t)
	must(t, os.WriteFile(filepath.Join(w.Dir, "roots.pem"), authority.PEM, 0o600))
	public, err := tls.Listen("tcp", hub+":443", &tls.Config{GetCertificate: authority.Certificate})
	must(t, err)
	share(t, public, "docker.io", w.erin, w.lost)
	for _, l := range []*machine.Login{w.gone, w.lost} {
		must(t, os.Remove(filepath.Join(w.secrets, l.User)))
	}
}

func (w *world) startServer(t *testing.T) {
	t.Helper()
	w.server = w.processes.Start(t, filepath.Join(w.Dir, "server.log"), append(w.Env(), "PIER_DATA="+w.Dir+"/server"), w.Program, "server")
	w.AwaitReady(t)
}

func (w *world) startAgent(t *testing.T, flags ...string) {
	t.Helper()
	flags = append([]string{"agent", "--engine", "none", "--secrets-dir", w.secrets, "--private-network", hub + "/32",
		"--vault-addr", "http://" + w.vault, "--vault-token-file", filepath.Join(w.Dir, "vault-token")}, flags...)
	w.agent = w.processes.Start(t, filepath.Join(w.Dir, "agent.log"), append(w.Env(), "PIER_DATA="+w.Dir+"/agent"), w.Program, flags...)
	w.agent.Await(t, "an agent that answers", func(ctx context.Context) bool {
		command := exec.CommandContext(ctx, w.Program, "node", "status")
		command.Env = w.Env()
		return command.Run() == nil
	})
}

// register adds a registry with the secret of the same name, and waits until the node knows it.
func (w *world) register(t *testing.T, name, match string) {
	t.Helper()
	secret := "file:" + name
	if name == "slow" {
		secret = "vault:secret/slow"
	}
	arguments := []string{"registry", "add", name, "--org", "acme", "--match", match, "--secret", secret, "--no-test"}
	if strings.HasPrefix(match, "docker.io/") {
		arguments = append(arguments, "--type", "generic")
	} else {
		arguments = append(arguments, "--plain-http")
	}
	w.Must(t, arguments...)
	covered := `prefix = "` + strings.TrimSuffix(match, "/*") + `"`
	w.agent.Await(t, "registry "+name+" on the node", func(ctx context.Context) bool {
		command := exec.CommandContext(ctx, w.Program, "node", "setup", "podman", "--dry-run")
		command.Env = w.Env()
		out, err := command.Output()
		return err == nil && strings.Contains(string(out), covered)
	})
}

// push puts an image that was never anywhere into a registry, and returns its name and what every program calls it by: the
// digest of its configuration. Its layers are in no store either, so there is nothing to be forgotten before it is pulled.
func (w *world) push(t *testing.T, l *machine.Login) (image, id string) {
	t.Helper()
	return w.pushed(t, l, machine.Image(t, runtime.GOARCH, machine.Random(10_000), machine.Random(300_000)))
}

// pushRunnable is push for an image with a program, /bin/train, which a container of its runs if nothing else is said.
func (w *world) pushRunnable(t *testing.T, l *machine.Login, entrypoint ...string) (image string) {
	t.Helper()
	program, err := os.ReadFile(built("train"))
	must(t, err)
	content := machine.Image(t, runtime.GOARCH, program, machine.Random(300_000))
	file, err := content.ConfigFile()
	must(t, err)
	file.Config.Entrypoint = entrypoint
	content, err = mutate.ConfigFile(content, file)
	must(t, err)
	image, _ = w.pushed(t, l, content)
	return image
}

func (w *world) pushed(t *testing.T, l *machine.Login, content v1.Image) (image, id string) {
	t.Helper()
	image = l.Push(t, fmt.Sprintf("%s/app:%d", l.User, w.images.Add(1)), content)
	digest, err := content.ConfigName()
	must(t, err)
	return image, digest.String()
}
