//go:build kubelet

package kubelet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/bcrypt"

	"pierhead.dev/pierhead/test/internal/machine"
	"pierhead.dev/pierhead/test/leaks"
)

// pause is the image of the container that holds a pod together, which a runtime pulls without the kubelet's credentials.
const pause = "pause.invalid/pause:1"

// A world is a control plane, a node with its agent and containerd, and registries. A kubelet is started in it.
type world struct {
	*machine.Pier
	dir            string
	started        []*process
	server, agent  *process
	containerd     *process
	listen, mirror string // addresses of server and agent
	agentFlags     []string
	passwords      []string // all that there ever were
	train          []byte   // the program in all images
	images         int      // pushed so far
}

// A login is one of a registry's, with the agent's secret of the same name.
type login struct {
	user, htpasswd, registry string
	password                 string
}

func newWorld(t *testing.T, agentFlags ...string) *world {
	t.Helper()
	namespace().Need(t)
	w := &world{dir: machine.Scratch(t, remove(t)), listen: machine.FreeAddress(t), mirror: machine.FreeAddress(t), agentFlags: agentFlags}
	t.Cleanup(func() {
		for _, p := range slices.Backward(w.started) {
			p.kill()
		}
	})
	w.Pier = &machine.Pier{Program: built("pier"), Dir: w.dir}
	var err error
	w.train, err = os.ReadFile(built("train"))
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(w.dir, "secrets"), 0o700))
	w.startContainerd(t)
	w.startServer(t)
	w.Must(t, "org", "create", "acme")
	token := w.Must(t, "node", "token", "create", "--org", "acme")
	must(t, os.WriteFile(filepath.Join(w.dir, "join"), []byte(token), 0o600))
	w.startAgent(t, "--server", "http://"+w.listen, "--join-file", filepath.Join(w.dir, "join"))
	return w
}

func (w *world) env(more ...string) []string { return append(w.Env(), more...) }

func (w *world) startServer(t *testing.T) {
	t.Helper()
	w.server = w.start(t, filepath.Join(w.dir, "server.log"), w.env("PIER_DATA="+w.dir+"/server", "PIER_LISTEN="+w.listen), w.Program, "server")
	w.AwaitReady(t)
}

func (w *world) startAgent(t *testing.T, flags ...string) {
	t.Helper()
	flags = slices.Concat([]string{"agent", "--engine", "none", "--secrets-dir", filepath.Join(w.dir, "secrets")}, w.agentFlags, flags)
	w.agent = w.start(t, filepath.Join(w.dir, "agent.log"), w.env("PIER_DATA="+w.dir+"/agent", "PIER_MIRROR="+w.mirror), w.Program, flags...)
	await(t, "an agent that lends", w.agent, func(ctx context.Context) bool { return w.answers(ctx) })
}

// startContainerd starts one with the image that pods need in its store.
func (w *world) startContainerd(t *testing.T) {
	t.Helper()
	config := fmt.Sprintf(`version = 2
root = "%[1]s/ctd/root"
state = "%[1]s/ctd/run"
[grpc]
  address = "%[2]s"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s"
  restrict_oom_score_adj = true
`, w.dir, w.runtime(), pause)
	path := filepath.Join(w.dir, "containerd.toml")
	must(t, os.WriteFile(path, []byte(config), 0o600))
	w.containerd = w.start(t, filepath.Join(w.dir, "containerd.log"), os.Environ(), "containerd", "--config", path)
	archive := filepath.Join(w.dir, "pause.tar")
	img := machine.Image(t, runtime.GOARCH, w.train)
	file, err := img.ConfigFile()
	must(t, err)
	file.Config.Entrypoint = []string{"/bin/train", "--pause=1000h"}
	img, err = mutate.ConfigFile(img, file)
	must(t, err)
	tag, err := name.NewTag(pause)
	must(t, err)
	must(t, tarball.WriteToFile(archive, tag, img))
	await(t, "an image in containerd", w.containerd, func(ctx context.Context) bool {
		return run(ctx, "ctr", "--address", w.runtime(), "--namespace", "k8s.io", "images", "import", archive) == nil
	})
}

func (w *world) runtime() string { return filepath.Join(w.dir, "c.sock") }

// newLogin starts a registry of other people's with one login, which is a secret of the agent's; with no name it lets
// everybody in.
func (w *world) newLogin(t *testing.T, user string) *login {
	t.Helper()
	l := &login{user: user}
	if user == "" {
		l.registry = machine.Distribution(t, filepath.Join(w.dir, "registry-public"), "")
		return l
	}
	l.htpasswd, l.password = filepath.Join(w.dir, user+".htpasswd"), "first-password-of-"+user
	w.writeHtpasswd(t, l)
	l.registry = machine.Distribution(t, filepath.Join(w.dir, "registry-"+user), l.htpasswd)
	w.writeSecret(t, l)
	return l
}

func (w *world) writeHtpasswd(t *testing.T, l *login) {
	t.Helper()
	w.passwords = append(w.passwords, l.password)
	hash, err := bcrypt.GenerateFromPassword([]byte(l.password), bcrypt.MinCost)
	must(t, err)
	must(t, os.WriteFile(l.htpasswd, []byte(l.user+":"+string(hash)+"\n"), 0o600))
}

func (w *world) writeSecret(t *testing.T, l *login) {
	t.Helper()
	text, err := json.Marshal(map[string]string{"username": l.user, "password": l.password, "server": l.registry})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "secrets", l.user), text, 0o600))
}

// push puts an image that was never anywhere into a registry, and returns its name.
func (w *world) push(t *testing.T, l *login, repository string) string {
	t.Helper()
	w.images++
	image := fmt.Sprintf("%s/%s:%d", l.registry, repository, w.images)
	tag, err := name.NewTag(image, name.Insecure)
	must(t, err)
	auth := authn.Anonymous
	if l.user != "" {
		auth = &authn.Basic{Username: l.user, Password: l.password}
	}
	must(t, remote.Write(tag, w.image(t), remote.WithAuth(auth), remote.WithContext(t.Context())))
	return image
}

func (w *world) image(t *testing.T) v1.Image {
	return machine.Image(t, runtime.GOARCH, w.train, machine.Random(64<<10))
}

// keepsSecrets looks for passwords, in every form, in all that the programs left on disk and were started with, and for
// tokens in what they said.
func (w *world) keepsSecrets(t *testing.T) {
	t.Helper()
	var secrets [][]byte
	for _, password := range w.passwords {
		secrets = append(secrets, []byte(password))
	}
	needle, err := leaks.NewNeedle(secrets...)
	must(t, err)
	planted := base64.StdEncoding.EncodeToString([]byte("alice:" + w.passwords[0]))
	if found, err := needle.ScanBytes([]byte("Authorization: Basic "+planted), "planted"); err != nil || len(found) == 0 {
		t.Errorf("the search finds nothing that was planted: %v", err)
	}
	var report leaks.Report
	needle.SearchPaths(t.Context(), []string{w.dir}, []string{filepath.Join(w.dir, "secrets")}, &report)
	needle.SearchProcesses(&report)
	if report.Exit() != leaks.ExitClean || report.Databases < 1 || report.Processes < 4 {
		var text strings.Builder
		must(t, report.Print(&text, needle))
		t.Errorf("a password is where it should not be:\n%s", text.String())
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	must(t, err)
	for _, log := range logs {
		text, err := os.ReadFile(log)
		must(t, err)
		if filepath.Base(log) != "apiserver.log" && strings.Contains(string(text), "eyJhbG") {
			t.Errorf("there is a token in %s", log)
		}
	}
}

// remove deletes what containers leave: their shims go on after containerd, and all that runs here is this test's.
func remove(t *testing.T) func(dir string) {
	return func(dir string) {
		for _, program := range []string{"containerd-shim", "train"} {
			for _, pid := range processesOf(program) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Error(err)
		}
		lines := strings.Split(string(mounts), "\n")
		slices.Reverse(lines)
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
				_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
			}
		}
		machine.Remove(t)(dir)
		for begun := time.Now(); !emptied() && time.Since(begun) < within; time.Sleep(20 * time.Millisecond) {
		}
	}
}

// emptied removes the control groups of containers, which outlive a namespace; one whose processes are about to end stays.
func emptied() bool {
	for _, pattern := range []string{"/sys/fs/cgroup/*/k8s.io/*", "/sys/fs/cgroup/*/k8s.io", "/sys/fs/cgroup/k8s.io/*", "/sys/fs/cgroup/k8s.io"} {
		groups, _ := filepath.Glob(pattern) // the pattern is good
		for _, group := range groups {
			if err := syscall.Rmdir(group); err != nil && err != syscall.ENOTDIR { // settings of a group are files
				return false
			}
		}
	}
	return true
}
