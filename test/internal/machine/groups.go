package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PlainGroups is shell for Namespace.Inside: where the machine has control groups of version 1, a tree of them without the
// parts of version 2, which confuse crun and runc.
const PlainGroups = `if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
	umount -R /sys/fs/cgroup || true
	mount -t tmpfs -o mode=755 none /sys/fs/cgroup
	for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
		mkdir /sys/fs/cgroup/$controller
		mount -t cgroup -o $controller none /sys/fs/cgroup/$controller || rmdir /sys/fs/cgroup/$controller
	done
fi
`

// RemoveGroups removes the control groups of a runtime's containers, which outlive a namespace: those with this name
// ("k8s.io") and all below. Processes in them may be about to end; it waits for that.
func RemoveGroups(name string) {
	for begun := time.Now(); !emptied(name) && time.Since(begun) < within; time.Sleep(20 * time.Millisecond) {
	}
}

func emptied(name string) bool {
	for _, pattern := range []string{"/sys/fs/cgroup/*/" + name + "/*", "/sys/fs/cgroup/*/" + name, "/sys/fs/cgroup/" + name + "/*", "/sys/fs/cgroup/" + name} {
		groups, _ := filepath.Glob(pattern) // the pattern is good
		for _, group := range groups {
			if err := syscall.Rmdir(group); err != nil && !errors.Is(err, syscall.ENOTDIR) { // settings of a group are files
				return false
			}
		}
	}
	return true
}

// ProcessesOf are the numbers of all processes here whose program's name begins so.
func ProcessesOf(program string) []int {
	var found []int
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is good
	for _, path := range names {
		text, err := os.ReadFile(path)
		if pid, second := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && second == nil && strings.HasPrefix(string(text), program) {
			found = append(found, pid)
		}
	}
	return found
}
