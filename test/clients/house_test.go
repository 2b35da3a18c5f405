package clients

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

	"github.com/goccy/go-yaml"

	"pierhead.dev/pierhead/test/internal/machine"
)

// readyWithin is how long a started program may take until it answers.
const readyWithin = 20 * time.Second

// A person is somebody with a token; nobody has none.
type person struct{ name, token string }

var nobody = person{name: "nobody"}

// A house is a running pier with people in it. The organization acme has the administrator boss, the member alice and,
// with a read-only token of alice's, a reader; eve belongs elsewhere.
type house struct {
	dir                      string // data and contexts are below
	url                      string // as clients name it
	issuer                   string // URL of the control plane with the token service; mostly url
	host                     string // host:port of url
	ca                       string // with --tls self: its certificate in PEM
	boss, alice, reader, eve person
}

// startHouse runs `pier up` at an address with further flags, and asks its people in. An empty url is that of the address.
func startHouse(t *testing.T, address, url string, flags ...string) *house {
	t.Helper()
	h := &house{url: url, dir: machine.Scratch(t, func(dir string) {
		machine.RemoveStore(t, "../setup/remove-store.sh")(dir + "/data/agent/engine")
		machine.Remove(t)(dir)
	})}
	if url == "" {
		h.url = "http://" + address
	}
	h.issuer = h.url
	_, h.host, _ = strings.Cut(h.url, "://")
	h.serve(t, address, "data", append([]string{"up", "--listen", address, "--url", h.url, "--mirror", freeAddress(t)}, flags...)...)
	if strings.HasPrefix(h.url, "https:") {
		h.ca = h.contextCA(t)
	}
	h.move(t)
	return h
}

// serve runs pier on a data directory until the end of the test, and returns when it listens.
func (h *house) serve(t *testing.T, address, data string, arguments ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(h.dir, data+".log"))
	must(t, err)
	defer log.Close()
	command := exec.Command(built("pier"), arguments...)
	command.Env, command.Stdout, command.Stderr = append(h.env(), "PIER_DATA="+filepath.Join(h.dir, data)), log, log
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

// contextCA is what the first start wrote for pier's own commands: where a person finds the certificate.
func (h *house) contextCA(t *testing.T) string {
	t.Helper()
	awaitReady(t, h)
	text, err := os.ReadFile(h.dir + "/config/pierhead/contexts.yaml")
	must(t, err)
	var file struct {
		Contexts map[string]struct{ CA string }
	}
	must(t, yaml.Unmarshal(text, &file))
	if ca := file.Contexts["default"].CA; ca != "" {
		return ca
	}
	t.Fatal("the context has no certificate")
	return ""
}

func (h *house) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "XDG_CONFIG_HOME=" + h.dir + "/config"}
}

// pier runs a command of the installation's administrator, which must end well.
func (h *house) pier(t *testing.T, arguments ...string) string {
	t.Helper()
	out, said, code := h.pierOf(t, nobody, arguments...)
	if code != 0 {
		t.Fatalf("pier %s: exit code %d\n%s%s", strings.Join(arguments, " "), code, said, out)
	}
	return out
}

// pierOf runs a command with a person's token; nobody's is the one of the context.
func (h *house) pierOf(t *testing.T, who person, arguments ...string) (out, said string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), built("pier"), arguments...)
	command.Dir, command.Env = h.dir, append(h.env(), "PIER_TOKEN="+who.token)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("pier %s: %v", strings.Join(arguments, " "), err)
	}
	return strings.TrimSpace(stdout.String()), stderr.String(), command.ProcessState.ExitCode()
}

// move makes the people.
func (h *house) move(t *testing.T) {
	t.Helper()
	awaitReady(t, h)
	for _, name := range []string{"acme", "other"} {
		h.pier(t, "org", "create", name)
	}
	for _, name := range []string{"boss", "alice", "eve"} {
		h.pier(t, "person", "create", name)
	}
	h.pier(t, "member", "create", "boss", "--org", "acme", "--role", "admin")
	h.pier(t, "member", "create", "alice", "--org", "acme")
	h.pier(t, "member", "create", "eve", "--org", "other")
	token := func(name string, flags ...string) person {
		return person{name, h.pier(t, append([]string{"token", "create", "test", "--person", name}, flags...)...)}
	}
	h.boss, h.alice, h.eve = token("boss"), token("alice"), token("eve")
	h.reader = token("alice", "--read-only")
}

// awaitReady returns when pier's own commands work.
func awaitReady(t *testing.T, h *house) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	for {
		command := exec.CommandContext(ctx, built("pier"), "whoami")
		command.Env = h.env()
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

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
