package machine

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	readyWithin  = 20 * time.Second // that a started program may take until it answers
	answerWithin = 2 * time.Minute  // that a command may take, whole executions included
)

// A Pier is the program with a folder of its own, in which are its data and its contexts.
type Pier struct {
	Program string   // path of the binary
	Dir     string   // data directories, contexts and logs are below
	More    []string // further variables of its environment, "NAME=value"
	Said    string   // a file to which all that Run's commands say is added; "": none
}

// Env is the environment of all that is started here: nothing of the machine's own but its programs.
func (p *Pier) Env() []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Dir, "XDG_CONFIG_HOME=" + p.Dir + "/config", "PIER_SOCKET=" + p.Socket()}, p.More...)
}

// Socket is where the agent listens for helpers: one agent at a time.
func (p *Pier) Socket() string { return filepath.Join(p.Dir, "run", "agent.sock") }

// Serve runs pier on a data directory until the end of the test, and returns when it listens at address. What it says is
// in data.log.
func (p *Pier) Serve(t *testing.T, address, data string, arguments ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(p.Dir, data+".log"))
	must(t, err)
	defer log.Close()
	command := exec.Command(p.Program, arguments...)
	command.Env, command.Stdout, command.Stderr = append(p.Env(), "PIER_DATA="+filepath.Join(p.Dir, data)), log, log
	must(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			said, _ := os.ReadFile(log.Name())
			t.Errorf("pier on %s: %v\n%s", data, err, said)
		}
	})
	for begun := time.Now(); ; {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
		case <-time.After(10 * time.Millisecond):
			if time.Since(begun) < readyWithin {
				continue
			}
		}
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("pier on %s does not listen:\n%s", data, said)
	}
}

// Run types a command with a token and something on its standard input; an empty token is the one of the context.
func (p *Pier) Run(t *testing.T, token, input string, arguments ...string) (out, said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	command := exec.CommandContext(ctx, p.Program, arguments...)
	command.Dir, command.Env, command.Stdin = p.Dir, append(p.Env(), "PIER_TOKEN="+token), strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("pier %s: %v after %s\n%s%s", strings.Join(arguments, " "), err, answerWithin, stdout.String(), stderr.String())
	}
	out, said = strings.TrimSpace(stdout.String()), stderr.String()
	p.writeDown(t, "$ pier "+strings.Join(arguments, " ")+"\n"+out+"\n"+said+"\n")
	return out, said, command.ProcessState.ExitCode()
}

func (p *Pier) writeDown(t *testing.T, text string) {
	t.Helper()
	if p.Said == "" {
		return
	}
	file, err := os.OpenFile(p.Said, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = file.WriteString(text)
	must(t, errors.Join(err, file.Close()))
}

// Must runs a command of the context's administrator, which must end well.
func (p *Pier) Must(t *testing.T, arguments ...string) string {
	t.Helper()
	out, said, code := p.Run(t, "", "", arguments...)
	if code != 0 {
		t.Fatalf("pier %s: exit code %d\n%s%s", strings.Join(arguments, " "), code, said, out)
	}
	return out
}

// AwaitReady returns when pier's own commands work.
func (p *Pier) AwaitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	for {
		command := exec.CommandContext(ctx, p.Program, "whoami")
		command.Env = p.Env()
		said, err := command.CombinedOutput()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("pier is not ready: %v\n%s", err, said)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// FreeAddress is one of loopback that nobody listens at.
func FreeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
