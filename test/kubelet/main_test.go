//go:build kubelet

package kubelet

import (
	"os"
	"path/filepath"
	"testing"

	"pierhead.dev/pierhead/test/internal/machine"
)

// nodeIP is the node's address. The kubelet takes none of loopback.
const nodeIP = "10.99.77.1"

// inside gives the namespace a network device, since the kubelet wants one with a route, and, where the machine has control
// groups of version 1, a tree of them without the parts of version 2, which confuse runc. The kubelet sets three of the
// kernel's settings, which have no namespace: here they are files.
const inside = `ip link add node0 type bridge
ip address add ` + nodeIP + `/24 dev node0
ip link set node0 up
ip route add default via ` + nodeIP + `
for setting in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
	cat /proc/sys/$setting >setting-$(basename $setting)
	mount --bind setting-$(basename $setting) /proc/sys/$setting
done
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
	umount -R /sys/fs/cgroup || true
	mount -t tmpfs -o mode=755 none /sys/fs/cgroup
	for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
		mkdir /sys/fs/cgroup/$controller
		mount -t cgroup -o $controller none /sys/fs/cgroup/$controller || rmdir /sys/fs/cgroup/$controller
	done
fi
`

// namespace is where all of it happens.
func namespace() machine.Namespace {
	return machine.Namespace{Variable: "PIER_TEST_KUBELET", Needs: []string{"containerd", "ctr", "runc", "docker-registry", "etcd"},
		Build:  []string{"pierhead.dev/pierhead/cmd/pier", "pierhead.dev/pierhead/cmd/pier-credential-provider", "pierhead.dev/pierhead/test/demo/train"},
		Inside: inside}
}

func TestMain(m *testing.M) { namespace().Main(m) }

func built(name string) string { return namespace().Built(name) }

// kubernetes is the path of one of Kubernetes' programs.
func kubernetes(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv("KUBE_BIN_DIR"), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("KUBE_BIN_DIR names no directory with Kubernetes in it, which make test-kubelet builds: %v", err)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
