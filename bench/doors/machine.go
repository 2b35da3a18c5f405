package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"pierhead.dev/pierhead/bench/internal/sandbox"
)

const (
	serverAddress = "127.0.0.1:7070"
	readyWithin   = 60 * time.Second // that a started program may take until it answers
	endWithin     = 10 * time.Second // that it may take to end
)

// A machine is where the programs run: the fake cloud, a control plane with the organization bench, and its nodes.
type machine struct {
	dir    string
	cloud  *cloud
	server *service
}

// newMachine starts a control plane in the sandbox, and takes up an organization with one of Amazon's registries.
func newMachine(ctx context.Context) (*machine, error) {
	m := &machine{dir: sandbox.Inside()}
	if err := sandbox.Arrange(internet, ecrAPI, ecrHost, stsAPI); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.path("secrets"), 0o700); err != nil {
		return nil, err
	}
	var err error
	if m.cloud, err = newCloud(m.path("roots.pem")); err != nil {
		return nil, fmt.Errorf("the fake of Amazon's: %w", err)
	}
	content := fmt.Sprintf(`{"aws_access_key_id": %q, "aws_secret_access_key": %q}`, m.cloud.key.ID, m.cloud.key.Secret)
	if err := os.WriteFile(m.path("secrets", "aws"), []byte(content), 0o600); err != nil {
		return nil, err
	}
	if m.server, err = m.serve(ctx, "server", "server"); err != nil {
		return nil, err
	}
	if err := m.server.ready(ctx, func() error { _, err := m.pier(ctx, "whoami"); return err }); err != nil {
		return nil, err
	}
	for _, command := range []string{"org create bench", "registry add ecr --org bench --match " + ecrHost + "/* --secret file:aws --no-test"} {
		if _, err := m.pier(ctx, strings.Fields(command)...); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// end stops what is left. What it does not reach, the sandbox does.
func (m *machine) end() {
	_ = m.server.stop()
	_ = m.cloud.close()
}

func (m *machine) path(names ...string) string {
	return filepath.Join(append([]string{m.dir}, names...)...)
}

// env is the environment of everything here: nothing of the user's.
func (m *machine) env(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.dir, "XDG_CONFIG_HOME=" + m.path("config"), "SSL_CERT_FILE=" + m.cloud.roots}, more...)
}

// pier runs a command of the administrator's.
func (m *machine) pier(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, m.path("pier"), arguments...)
	command.Dir, command.Env = m.dir, m.env()
	out, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("pier %s: %w", strings.Join(arguments, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// A service is a pier that goes on until it is stopped.
type service struct {
	name    string
	command *exec.Cmd
	log     string
	ended   chan struct{}
	err     error // once it has ended
}

// serve starts one with a data directory of its own name.
func (m *machine) serve(ctx context.Context, name string, arguments ...string) (*service, error) {
	s := &service{name: name, log: m.path(name + ".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.command = exec.CommandContext(ctx, m.path("pier"), arguments...)
	s.command.Cancel = func() error { return s.command.Process.Signal(syscall.SIGTERM) }
	s.command.WaitDelay = endWithin
	s.command.Env, s.command.Stdout, s.command.Stderr = m.env("PIER_DATA="+m.path(name)), log, log
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.command.Wait()
		close(s.ended)
	}()
	return s, nil
}

// ready returns once ask has an answer.
func (s *service) ready(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return s.failed(fmt.Errorf("it ended: %v", s.err))
		case <-ctx.Done():
			return s.failed(fmt.Errorf("it does not answer: %w", err))
		case <-time.After(time.Millisecond):
		}
	}
}

// failed adds what it said last.
func (s *service) failed(err error) error {
	said, _ := os.ReadFile(s.log)
	return fmt.Errorf("pier %s: %w\n%s", s.name, err, said[max(len(said)-4000, 0):])
}

// stop ends it. A service that is not there is stopped.
func (s *service) stop() error {
	if s == nil {
		return nil
	}
	_ = s.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return s.err
	case <-time.After(endWithin):
		_ = s.command.Process.Kill()
		return s.failed(errors.New("it does not end"))
	}
}
