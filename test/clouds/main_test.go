// Package clouds proves every kind of registry and every secret store with the real pier: under the vendors' own host
// names, over TLS, with metadata services at their own addresses, and behind each vendor's door a registry that nobody
// here wrote. The clouds are those of identity/amazontest, identity/googletest and identity/azuretest, which refuse what
// the real ones refuse.
//
// All of it happens in a network namespace, which has a name server, the metadata addresses and nothing else: no request
// can leave it. TestMain runs the tests there. A world is what is around a node, and a house is a running pier in it;
// when a house ends, every secret that its world ever made is searched for in all that it left behind.
package clouds

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// programsVariable tells the test inside the namespace where what was built is.
const programsVariable = "PIER_TEST_CLOUDS"

// needed is what there must be beside Go.
var needed = []string{"podman", "conmon", "docker-registry", "unshare", "ip"}

// addresses are the machine's: one for all names on the internet, and those of the clouds' metadata services.
const (
	internet     = "10.77.0.1"
	metadata     = "169.254.169.254"
	taskMetadata = "169.254.170.2"
	podMetadata  = "169.254.170.23"
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run builds the programs and runs the tests in a namespace, or, where there can be none, here: each says why it is left
// out.
func run(m *testing.M) (code int, err error) {
	if os.Getenv(programsVariable) != "" || os.Getuid() != 0 {
		return m.Run(), nil
	}
	for _, program := range needed {
		if _, err := exec.LookPath(program); err != nil {
			return m.Run(), nil
		}
	}
	dir, err := os.MkdirTemp("/tmp", "pw")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	build := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "pierhead.dev/pierhead/cmd/pier", "pierhead.dev/pierhead/test/demo/train")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the programs: %w\n%s", err, output)
	}
	return enter(dir)
}

// inside makes the namespace's network and names. Engines keep things in /run that would stay.
const inside = `cd "$1"; shift
ip link set lo up
for address in ` + internet + ` ` + metadata + ` ` + taskMetadata + ` ` + podMetadata + `; do ip address add $address/32 dev lo; done
for place in /run/netns /run/containers; do mkdir -p $place; mount -t tmpfs none $place; done
echo "nameserver 127.0.0.1" >resolv.conf
echo "127.0.0.1 localhost" >hosts
for file in resolv.conf hosts; do mount --bind $file /etc/$file; done
cd "$1"; shift
exec "$@"`

// enter runs this very test in a namespace; what it leaves running ends with it.
func enter(dir string) (code int, err error) {
	here, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	arguments := append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"sh", "-ec", inside, "sh", dir, here}, os.Args...)
	command := exec.Command("unshare", arguments...)
	command.Env = append(os.Environ(), programsVariable+"="+dir)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return command.ProcessState.ExitCode(), nil
}

func built(name string) string { return filepath.Join(os.Getenv(programsVariable), name) }

// need leaves a test out where there is no namespace for it.
func need(t *testing.T) {
	t.Helper()
	machine.Need(t, needed...)
	if os.Getenv(programsVariable) == "" {
		t.Fatal("this is not the namespace of TestMain")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
