package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Namespace is a network, mounts and processes for the tests of one package: no request leaves it, and what the tests
// start, mount and keep in /run ends with it. Its Run is for TestMain.
type Namespace struct {
	Variable  string   // of the environment: tells the tests inside where the programs are
	Needs     []string // programs that there must be, beside those that make the namespace
	Build     []string // packages of programs that are built first
	Modules   []string // directories of programs that are modules of their own, likewise
	Addresses []string // of this machine there, beside 127.0.0.1
	Inside    string   // shell, for what else is to be made in it; it runs in the folder of the programs
}

// namespaced makes the network and its names. Engines keep things in /run that would stay.
const namespaced = `cd "$1"; shift
ip link set lo up
for address in $1; do ip address add $address/32 dev lo; done
shift
echo "nameserver 127.0.0.1" >resolv.conf
echo "127.0.0.1 localhost" >hosts
for file in resolv.conf hosts; do mount --bind $file /etc/$file; done
for place in /run/netns /run/containers; do mkdir -p $place; mount -t tmpfs none $place; done
`

// Run builds the programs and runs the tests in the namespace, or, where there can be none, here: each says why it is left
// out.
func (n Namespace) Run(m *testing.M) (code int, err error) {
	if os.Getenv(n.Variable) != "" || os.Getuid() != 0 {
		return m.Run(), nil
	}
	for _, program := range n.needs() {
		if _, err := exec.LookPath(program); err != nil {
			return m.Run(), nil
		}
	}
	dir, err := os.MkdirTemp("/tmp", "pn")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := build(dir, ".", n.Build...); err != nil {
		return 0, err
	}
	for _, module := range n.Modules {
		if err := build(dir, module, "."); err != nil {
			return 0, err
		}
	}
	return n.enter(dir)
}

func build(dir, module string, packages ...string) error {
	command := exec.Command("go", append([]string{"build", "-trimpath", "-o", dir + "/"}, packages...)...)
	command.Dir, command.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, output)
	}
	return nil
}

// enter runs this very test in a namespace; what it leaves running ends with it.
func (n Namespace) enter(dir string) (code int, err error) {
	here, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	script := namespaced + n.Inside + "\ncd \"$1\"; shift\nexec \"$@\""
	arguments := append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"sh", "-ec", script, "sh", dir, strings.Join(n.Addresses, " "), here}, os.Args...)
	command := exec.Command("unshare", arguments...)
	command.Env = append(os.Environ(), n.Variable+"="+dir)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return command.ProcessState.ExitCode(), nil
}

func (n Namespace) needs() []string { return append([]string{"unshare", "ip"}, n.Needs...) }

// Built is the path of one of the programs.
func (n Namespace) Built(name string) string { return filepath.Join(os.Getenv(n.Variable), name) }

// Need leaves a test out where there is no namespace for it.
func (n Namespace) Need(t *testing.T) {
	t.Helper()
	Need(t, n.needs()...)
	if os.Getenv(n.Variable) == "" {
		t.Fatal("this is not the namespace of TestMain")
	}
}
