package machine

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A Namespace is a network, mounts and processes for the tests of one package: no request leaves it, and what the tests
// start, mount and keep in /run ends with it. Its Main is for TestMain.
type Namespace struct {
	Variable  string   // of the environment: tells the tests inside where the programs are
	Needs     []string // programs that there must be, beside those that make the namespace
	Build     []string // packages of programs that are built first
	Modules   []string // directories of programs that are modules of their own, likewise
	Addresses []string // of this machine there, beside 127.0.0.1
	Inside    string   // shell, for what else is to be made in it; it runs in the folder of the programs
	// Shards is how many namespaces the tests are spread over, at the same time; 0: 1. Each has a folder of its own below
	// that of the programs, and Inside runs there.
	Shards int
	// Before and After are called with the folder of the programs, before and after all of it, outside; nil: nothing is done.
	// After is left out when a test failed.
	Before, After func(dir string) error
}

// namespaced makes the network and its names. Engines keep things in /run and /dev/shm that would stay.
const namespaced = `cd "$1"; shift
ip link set lo up
for address in $1; do ip address add $address/32 dev lo; done
shift
[ "$1" = 1 ] || cd "$(mktemp -d shard-XXXXXX)"
shift
echo "nameserver 127.0.0.1" >resolv.conf
echo "127.0.0.1 localhost" >hosts
names=$(readlink -f /etc/resolv.conf)
for place in /run /dev/shm; do mount -t tmpfs none $place; done
mkdir -p /run/lock "$(dirname "$names")"
[ -e "$names" ] || touch "$names"
mount --bind resolv.conf "$names"
mount --bind hosts /etc/hosts
`

// Main builds the programs, runs the tests in the namespace and ends the process; where there can be no namespace they run
// here, and each says why it is left out.
func (n Namespace) Main(m *testing.M) {
	code, err := n.run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (n Namespace) run(m *testing.M) (code int, err error) {
	flag.Parse()
	if os.Getenv(n.Variable) != "" || os.Getuid() != 0 || flag.Lookup("test.list").Value.String() != "" {
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
	if err := call(n.Before, dir); err != nil {
		return 0, err
	}
	if err := build(dir, ".", n.Build...); err != nil {
		return 0, err
	}
	for _, module := range n.Modules {
		if err := build(dir, module, "."); err != nil {
			return 0, err
		}
	}
	code, err = n.enterAll(dir)
	if err == nil && code == 0 {
		err = call(n.After, dir)
	}
	return code, err
}

func call(f func(string) error, dir string) error {
	if f == nil {
		return nil
	}
	return f(dir)
}

func build(dir, module string, packages ...string) error {
	command := exec.Command("go", append([]string{"build", "-trimpath", "-o", dir + "/"}, packages...)...)
	command.Dir, command.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, output)
	}
	return nil
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
