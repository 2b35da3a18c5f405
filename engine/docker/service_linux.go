package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"pierhead.dev/pierhead/engine"
)

// detach puts a child into a process group of its own, so that an interrupt typed at a terminal reaches us alone, and
// has the kernel end it when this process dies without a word.
func detach(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// mustBeOurs refuses a directory that another user could have laid out.
func mustBeOurs(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(owner.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s must be a directory that only this user can use", dir)
	}
	return nil
}

// stopLeftOver stops a service that still listens at socket, as one does whose parent was killed in a moment when the
// kernel could not tell it. It is stopped by the id that the kernel names for the socket, and only if its command
// line shows that it is the service of that socket.
func stopLeftOver(ctx context.Context, socket string) error {
	pid := listener(socket)
	if pid <= 0 {
		return nil
	}
	commandLine, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil // it has just ended
	}
	words := strings.Split(string(commandLine), "\x00")
	if !slices.Contains(words, "service") || !slices.Contains(words, "unix://"+socket) {
		return fmt.Errorf("process %d listens at %s and is no Podman service of ours: %w", pid, socket, engine.ErrUnreachable)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the Podman service %d that was left over: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	for listener(socket) == pid {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the Podman service %d that was left over at %s does not end: %w", pid, socket, ctx.Err())
		case <-time.After(askInterval):
		}
	}
	return nil
}

// listener is the id of the process that listens at a unix socket, or 0.
func listener(socket string) int {
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return 0
	}
	defer closeQuietly(connection)
	raw, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) { // an error leaves pid at 0
		if credentials, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(credentials.Pid)
		}
	})
	return pid
}
