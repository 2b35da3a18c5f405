package docker

import (
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

// podmanLimit is what Podman, run by root, sets as a container's limit of open files and of processes
// (define.RLimitDefaultValue).
const podmanLimit = 1 << 20

// podmanLimits are the resource limits to ask Podman for. It raises those of a container beyond our own, which a root
// without the right to do so (as in most containers) is refused: "error setting rlimit type 7: operation not
// permitted". Nil is Podman's choice. Docker sets none by itself.
func podmanLimits() []*container.Ulimit {
	if os.Getuid() != 0 || mayRaiseLimits("/proc/self") {
		return nil
	}
	files, processes := ownLimit(unix.RLIMIT_NOFILE), ownLimit(unix.RLIMIT_NPROC)
	// Podman 4 lowers its own limit of processes to this when it starts, and cannot raise it again for a container.
	if content, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		if pids, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64); err == nil {
			processes = min(processes, pids)
		}
	}
	return []*container.Ulimit{{Name: "nofile", Soft: files, Hard: files}, {Name: "nproc", Soft: processes, Hard: processes}}
}

func ownLimit(resource int) int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(resource, &limit); err != nil {
		return podmanLimit
	}
	return int64(min(limit.Max, podmanLimit))
}

// mayRaiseLimits tells whether a process has CAP_SYS_RESOURCE in the first user namespace.
func mayRaiseLimits(proc string) bool {
	mapping, err := os.ReadFile(proc + "/uid_map")
	if err != nil || strings.Join(strings.Fields(string(mapping)), " ") != "0 0 4294967295" {
		return false
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(status), "\nCapEff:")
	line, _, _ := strings.Cut(after, "\n")
	capabilities, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err == nil && capabilities&(1<<unix.CAP_SYS_RESOURCE) != 0
}
