package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
)

// probeTime is how long an engine has to answer when it is looked for: a socket that systemd opens starts it first.
const probeTime = 5 * time.Second

// errOwnService means that a Podman service of our own is what is left, or what was asked for.
var errOwnService = errors.New("a Podman service of our own is to be started")

// Discover finds the engine of this machine: Config.Engine, else DOCKER_HOST, CONTAINER_HOST, else the first of the usual
// sockets that really answers. What somebody named must answer; what was only guessed may not be there. how says in a
// few words where the address is from. Where only a Podman program is found the error is such that Open starts it.
// Errors for people: a pierhead.Problem of kind ErrBadInput or ErrUnreachable; engine.ErrUnreachable.
func Discover(ctx context.Context, config Config) (address, how string, err error) {
	if config.Engine == "podman" || config.OwnStore && config.Engine == "" {
		return "", "", havePodman()
	}
	named := []struct{ value, how string }{
		{config.Engine, "as asked for with --engine"},
		{config.env("DOCKER_HOST"), "from DOCKER_HOST"},
		{config.env("CONTAINER_HOST"), "from CONTAINER_HOST"},
	}
	for _, n := range named {
		if n.value == "" {
			continue
		}
		address, err := parseAddress(n.value)
		if err == nil {
			err = probe(ctx, address)
		}
		if err != nil {
			return "", "", fmt.Errorf("engine %s: %w", n.how, err)
		}
		return address, n.how, nil
	}
	return discoverSocket(ctx, config)
}

func discoverSocket(ctx context.Context, config Config) (address, how string, err error) {
	var refused []string
	for _, socket := range config.sockets() {
		if _, err := os.Stat(socket); err != nil {
			continue
		}
		err := probe(ctx, "unix://"+socket)
		if err == nil {
			return "unix://" + socket, "found at its usual socket", nil
		}
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		refused = append(refused, err.Error())
	}
	err = havePodman()
	var problem *pierhead.Problem
	if len(refused) > 0 && errors.As(err, &problem) {
		return "", "", &pierhead.Problem{
			Kind:  pierhead.ErrUnreachable,
			Text:  "no container engine answers: " + strings.Join(refused, "; "),
			Hint:  "start it, or become a member of the group that may use its socket (for Docker: `adduser $USER docker`), or install podman",
			Cause: engine.ErrUnreachable,
		}
	}
	return "", "", err
}

// sockets are the places where Docker and Podman listen, those of the user last.
func (c Config) sockets() []string {
	if c.Sockets != nil {
		return c.Sockets
	}
	sockets := []string{"/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"}
	if dir := c.env("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
	}
	return sockets
}

// havePodman returns errOwnService, or what to tell people when there is no podman either.
func havePodman() error {
	if _, err := exec.LookPath("podman"); err == nil {
		return errOwnService
	}
	return &pierhead.Problem{
		Kind:  pierhead.ErrUnreachable,
		Text:  "neither Docker nor Podman was found on this machine",
		Hint:  "install one of them, on Debian or Ubuntu with `apt-get install podman`, or name one that runs with --engine unix:///its.sock",
		Cause: engine.ErrUnreachable,
	}
}

// parseAddress reads what people write for an engine: a path, or unix:, tcp: and http: addresses.
func parseAddress(text string) (string, error) {
	switch scheme, rest, ok := strings.Cut(text, "://"); {
	case filepath.IsAbs(text):
		return "unix://" + text, nil
	case ok && scheme == "unix" && filepath.IsAbs(rest), ok && scheme == "tcp" && rest != "":
		return text, nil
	case ok && scheme == "http" && rest != "":
		return "tcp://" + strings.TrimSuffix(rest, "/"), nil
	case ok && scheme == "ssh":
		return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the engine %q is on another machine", text),
			"images are pulled from the agent's own loopback address, so run the agent on that machine")
	}
	return "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%q is not an engine's address", text),
		"write unix:///run/docker.sock, tcp://127.0.0.1:2375, or podman")
}

// probe asks whether an engine answers. Errors: engine.ErrUnreachable with the address.
func probe(ctx context.Context, address string) error {
	e, err := New(address, Config{})
	if err != nil {
		return err
	}
	defer closeQuietly(e)
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	_, err = e.api.Ping(ctx, client.PingOptions{})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w at %s within %s", engine.ErrUnreachable, address, probeTime)
	}
	return e.failed("asking who is there", err)
}
