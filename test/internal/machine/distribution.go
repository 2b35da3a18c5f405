package machine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Distribution runs Debian's docker-registry, with its files in dir, until the end of the test. It lets everybody in, or
// those of a file of htpasswd's, which it reads again when it changes.
func Distribution(t *testing.T, dir, htpasswd string) (address string) {
	t.Helper()
	address = FreeAddress(t)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", dir, address)
	if htpasswd != "" {
		config += fmt.Sprintf("auth: {htpasswd: {realm: images, path: %q}}\n", htpasswd)
	}
	path := dir + ".yml"
	must(t, os.WriteFile(path, []byte(config), 0o600))
	log, err := os.Create(dir + ".log")
	must(t, err)
	defer log.Close()
	command := exec.Command("docker-registry", "serve", path)
	command.Env, command.Stdout, command.Stderr = append(os.Environ(), "OTEL_TRACES_EXPORTER=none"), log, log
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
	if err := listens(t, address); err != nil {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("docker-registry does not listen: %v\n%s", err, said)
	}
	return address
}

// listens waits until somebody does.
func listens(t *testing.T, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	for {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
