// Package sandbox runs a benchmark in a network, processes and mounts of its own: nothing leaves the machine, names are
// what the benchmark says, and all that it starts ends with it, however it ends.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// variable tells the program inside where its scratch directory is.
const variable = "PIER_BENCH_INSIDE"

// endWithin is how long the program inside may take to end what it began.
const endWithin = 15 * time.Second

// Inside is the scratch directory of the program inside, or "" outside.
func Inside() string { return os.Getenv(variable) }

// Enter starts this program again, with the same arguments, in a sandbox of its own whose scratch directory is dir, and
// returns its exit code. Without root it needs user namespaces.
func Enter(ctx context.Context, dir string) (code int, err error) {
	runtime.LockOSThread() // Pdeathsig is about the thread that started it
	defer runtime.UnlockOSThread()
	command := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), variable+"="+dir)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = endWithin
	// The first process of a process namespace takes all others along when it ends.
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 1, ctx.Err()
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	case err != nil:
		return 1, fmt.Errorf("a network of its own for the benchmark: %w; run it as root, or allow user namespaces", err)
	}
	return 0, nil
}

// Arrange makes the network inside: the address, and the names that lead to it.
func Arrange(address string, names ...string) error {
	for _, arguments := range [][]string{{"link", "set", "lo", "up"}, {"address", "add", address + "/32", "dev", "lo"}} {
		if output, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(arguments, " "), err, output)
		}
	}
	hosts := filepath.Join(Inside(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"+address+" "+strings.Join(names, " ")+"\n"), 0o644); err != nil {
		return err
	}
	return errors.Join(
		os.NewSyscallError("mount", syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")),
		os.NewSyscallError("mount", syscall.Mount("proc", "/proc", "proc", 0, "")),
		os.NewSyscallError("mount", syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, "")),
	)
}
