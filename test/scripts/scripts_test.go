// Package scripts types commands as people do: each file in testdata is one story with the real program, against a
// `pier up` of its own with a data directory, ports and contexts of its own.
package scripts

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// readyWithin is how long a started process may take until it answers.
const readyWithin = 30 * time.Second

var goOn = flag.Bool("continue", false, "go on after a line that fails, to see all that do")

func TestScripts(t *testing.T) {
	program := build(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		ContinueOnError:     *goOn,
		Setup:               func(env *testscript.Env) error { return setUp(env, program) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": up, "down": down, "crash": crash, "registry": foreignRegistry, "find": find, "envsubst": substitute, "waitlog": waitLog, "layout": layout,
			"refuse": refuse, "freeze": freeze, "thaw": thaw, "smalldisk": smallDisk, "fill": fill,
		},
		Condition: condition,
	})
}

// build makes the program once, as make build does.
func build(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	command := exec.Command("go", "build", "-trimpath", "-o", directory+"/", "pierhead.dev/pierhead/cmd/pier", "pierhead.dev/pierhead/cmd/docker-credential-pier", "pierhead.dev/pierhead/cmd/pier-credential-provider", "pierhead.dev/pierhead/test/demo/prepare", "pierhead.dev/pierhead/test/demo/train")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building pier: %v\n%s", err, output)
	}
	return directory
}

func setUp(env *testscript.Env, programs string) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	// Sockets have short names only, and Podman keeps one in the data directory.
	data, err := os.MkdirTemp("/tmp", "ps")
	if err != nil {
		return err
	}
	env.Defer(func() { removeStore(data) })
	env.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
	env.Setenv("PIER_DATA", data)
	env.Setenv("PIER_LISTEN", "127.0.0.1:"+ports[0])
	env.Setenv("PIER_MIRROR", "127.0.0.1:"+ports[1])
	env.Setenv("PIER_SOCKET", data+"/agent.sock")
	env.Setenv("PIER_ENGINE", "none")
	env.Setenv("PIER_NETWORK", "none") // a bridge would leave the engine's chains in this machine's firewall
	env.Setenv("SERVER", "127.0.0.1:"+ports[0])
	env.Setenv("REGISTRY", "127.0.0.1:"+ports[2])
	env.Setenv("SECRETS", data+"/secrets")
	env.Values["processes"] = new(processes)
	env.Defer(env.Values["processes"].(*processes).stop)
	return nil
}

// removeStore deletes a data directory with a Podman store in it, mounts included.
func removeStore(data string) {
	_ = exec.Command("../setup/remove-store.sh", data+"/agent/engine").Run()
	_ = os.RemoveAll(data)
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

// condition knows [engine]: whether containers can run here, and [mount]: whether a disk can be mounted. With CI set it
// must be so.
func condition(name string) (bool, error) {
	var err error
	switch name {
	case "engine":
		_, err = exec.LookPath("podman")
	case "mount":
	default:
		return false, fmt.Errorf("unknown condition %q", name)
	}
	if err == nil && os.Getuid() != 0 {
		err = errors.New("not root")
	}
	if err != nil && os.Getenv("CI") != "" {
		return false, fmt.Errorf("there is no %s here: %w", name, err)
	}
	return err == nil, nil
}

// processes are those that a script has started; the newest pier is the one that down and crash mean.
type processes struct {
	pier     *exec.Cmd
	pierLog  string
	registry *exec.Cmd
}

func (p *processes) stop() {
	for _, command := range []*exec.Cmd{p.pier, p.registry} {
		if command != nil {
			_ = command.Process.Signal(syscall.SIGTERM)
			_ = command.Process.Signal(syscall.SIGCONT)
			_ = command.Wait()
		}
	}
}

func of(ts *testscript.TestScript) *processes { return ts.Value("processes").(*processes) }

// start runs a program in the background with the script's environment; its output goes to a file.
func start(ts *testscript.TestScript, log string, name string, arguments ...string) *exec.Cmd {
	command := exec.Command(name, arguments...)
	command.Dir = ts.MkAbs(".")
	command.Env = environment(ts)
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	ts.Check(command.Start())
	return command
}

func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "XDG_CONFIG_HOME", "PIER_DATA", "PIER_LISTEN", "PIER_MIRROR", "PIER_SOCKET", "PIER_ENGINE", "PIER_NETWORK", "PIER_OWN_STORE", "PIER_ALLOW_MOUNTS", "PIER_SECRET_TEAM", "PIER_URL", "PIER_TLS"} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// await returns when url answers 200, or fails when the process ends first.
func await(ts *testscript.TestScript, command *exec.Cmd, url, log string) {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		ts.Check(err)
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode < 500 {
				return
			}
		}
		if ctx.Err() != nil || command.Process.Signal(syscall.Signal(0)) != nil {
			text, _ := os.ReadFile(log)
			ts.Fatalf("%s did not come up:\n%s", command.Path, text)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// up starts `pier up ARGUMENTS` and waits until it is ready. Its output is in up.log.
func up(ts *testscript.TestScript, neg bool, arguments []string) {
	p := of(ts)
	if neg || p.pier != nil {
		ts.Fatalf("usage: up [flags], once until down or crash")
	}
	p.pierLog = ts.MkAbs("up.log")
	program, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), ":")[0], "pier"))
	ts.Check(err)
	p.pier = start(ts, p.pierLog, program, append([]string{"up"}, arguments...)...)
	await(ts, p.pier, "http://"+ts.Getenv("SERVER")+"/readyz", p.pierLog)
}

// down ends pier as Ctrl-C does, and fails when that is no clean end.
func down(ts *testscript.TestScript, neg bool, _ []string) { end(ts, syscall.SIGTERM, true) }

// crash ends pier as a power cut does.
func crash(ts *testscript.TestScript, neg bool, _ []string) { end(ts, syscall.SIGKILL, false) }

// freeze makes pier so slow that it does nothing at all, until thaw.
func freeze(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(of(ts).pier.Process.Signal(syscall.SIGSTOP))
}

func thaw(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(of(ts).pier.Process.Signal(syscall.SIGCONT))
}

func end(ts *testscript.TestScript, signal os.Signal, clean bool) {
	p := of(ts)
	if p.pier == nil {
		ts.Fatalf("pier is not up")
	}
	ts.Check(p.pier.Process.Signal(signal))
	if err := p.pier.Wait(); clean && err != nil {
		text, _ := os.ReadFile(p.pierLog)
		ts.Fatalf("pier up ended badly: %v\n%s", err, text)
	}
	p.pier = nil
}

// foreignRegistry starts Debian's docker-registry with a password on it at $REGISTRY, puts team/train:v1 there, and
// lays out the login as secret file:team. The password is in registry/password.
func foreignRegistry(ts *testscript.TestScript, neg bool, _ []string) {
	directory := ts.MkAbs("registry")
	ts.Check(os.MkdirAll(directory, 0o700))
	prepare := func(arguments ...string) {
		ts.Check(ts.Exec("prepare", arguments...))
	}
	prepare("password", directory)
	config := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}}\nhttp: {addr: %q}\nauth: {htpasswd: {realm: test, path: %s/htpasswd}}\n",
		directory, ts.Getenv("REGISTRY"), directory)
	ts.Check(os.WriteFile(directory+"/config.yml", []byte(config), 0o600))
	command := start(ts, directory+"/log", "docker-registry", "serve", directory+"/config.yml")
	of(ts).registry = command
	await(ts, command, "http://"+ts.Getenv("REGISTRY")+"/v2/", directory+"/log")
	train, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), ":")[0], "train"))
	ts.Check(err)
	prepare("image", directory, ts.Getenv("REGISTRY")+"/team/train:v1", train)
	ts.Check(os.MkdirAll(ts.Getenv("SECRETS"), 0o700))
	prepare("secret", directory, ts.Getenv("REGISTRY"), ts.Getenv("SECRETS")+"/team")
}

// find sets a variable to the first match of a regular expression's group in a file: find NAME REGEXP FILE.
func find(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) != 3 {
		ts.Fatalf("usage: find NAME REGEXP FILE")
	}
	match := firstGroup(ts, arguments[1], ts.ReadFile(arguments[2]))
	ts.Setenv(arguments[0], match)
}

// waitLog follows an execution's log until a line has what is given: waitlog ID TEXT.
func waitLog(ts *testscript.TestScript, neg bool, arguments []string) {
	if neg || len(arguments) != 2 {
		ts.Fatalf("usage: waitlog ID TEXT")
	}
	program := filepath.Join(strings.Split(ts.Getenv("PATH"), ":")[0], "pier")
	command := exec.Command(program, "execution", "logs", "--follow", arguments[0])
	command.Env = environment(ts)
	out, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), arguments[1]) {
			return
		}
	}
	ts.Fatalf("the log of %s ended without %q", arguments[0], arguments[1])
}
