package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"pierhead.dev/pierhead"
)

const cgroupDir = "/sys/fs/cgroup"

// runtimeFlags tells Podman to use runc where crun cannot work. Errors for people.
func runtimeFlags(cgroups string) ([]string, error) {
	if !crunRefuses(cgroups) {
		return nil, nil
	}
	if _, err := exec.LookPath("runc"); err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrUnreachable,
			"this machine's control groups are of the hybrid kind, in which Podman's usual runtime crun does not work",
			"install runc: on Debian or Ubuntu `apt-get install runc`")
	}
	return []string{"--runtime", "runc"}, nil
}

// crunRefuses tells a hybrid of control groups version 1 and 2 in which version 2 has controllers: crun 1.8 ends there
// with "cgroups in hybrid mode not supported, drop all controllers from cgroupv2", whatever its flags.
func crunRefuses(cgroups string) bool {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return false // version 2 alone
	}
	controllers, err := os.ReadFile(filepath.Join(cgroups, "unified", "cgroup.controllers"))
	return err == nil && strings.TrimSpace(string(controllers)) != ""
}
