package docker

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/engine"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestDiscover(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no podman
	one, two := newDocker(t), newPodman(t)
	deaf := filepath.Join(t.TempDir(), "deaf.sock") // a socket's file that nobody listens at
	listener, err := net.Listen("unix", deaf)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	missing := filepath.Join(t.TempDir(), "missing.sock")

	for name, c := range map[string]struct {
		config    Config
		want, how string
	}{
		"asked for":            {Config{Engine: one.socket, Env: environment(map[string]string{"DOCKER_HOST": "unix://" + two.socket})}, one.socket, "--engine"},
		"DOCKER_HOST":          {Config{Env: environment(map[string]string{"DOCKER_HOST": "unix://" + two.socket, "CONTAINER_HOST": "unix://" + one.socket})}, two.socket, "DOCKER_HOST"},
		"CONTAINER_HOST":       {Config{Env: environment(map[string]string{"CONTAINER_HOST": "unix://" + two.socket}), Sockets: []string{one.socket}}, two.socket, "CONTAINER_HOST"},
		"the first that lives": {Config{Env: environment(nil), Sockets: []string{missing, deaf, two.socket, one.socket}}, two.socket, "usual socket"},
	} {
		address, how, err := Discover(t.Context(), c.config)
		if address != "unix://"+c.want || !strings.Contains(how, c.how) || err != nil {
			t.Errorf("%s: %q, %q, %v", name, address, how, err)
		}
	}
	for name, c := range map[string]struct {
		config Config
		kind   error
		words  []string
	}{
		"asked for and dead":   {Config{Engine: deaf, Sockets: []string{one.socket}}, engine.ErrUnreachable, []string{"--engine", deaf}},
		"named and dead":       {Config{Env: environment(map[string]string{"DOCKER_HOST": "unix://" + missing}), Sockets: []string{one.socket}}, engine.ErrUnreachable, []string{"DOCKER_HOST", missing}},
		"on another machine":   {Config{Engine: "ssh://root@example.test/run/podman.sock"}, pierhead.ErrBadInput, []string{"another machine"}},
		"not an address":       {Config{Engine: "dokcer"}, pierhead.ErrBadInput, []string{"dokcer"}},
		"there and dead":       {Config{Env: environment(nil), Sockets: []string{deaf}}, engine.ErrUnreachable, []string{"no container engine answers", deaf}},
		"nothing":              {Config{Env: environment(nil), Sockets: []string{missing}}, engine.ErrUnreachable, []string{"neither Docker nor Podman"}},
		"podman, not there":    {Config{Engine: "podman"}, engine.ErrUnreachable, []string{"neither Docker nor Podman"}},
		"own store, no podman": {Config{OwnStore: true, Env: environment(nil)}, engine.ErrUnreachable, []string{"neither Docker nor Podman"}},
	} {
		if c.config.Env == nil {
			c.config.Env = environment(nil)
		}
		_, err := Open(t.Context(), c.config)
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q is not in %q", name, word, err)
			}
		}
		if (name == "nothing" || c.kind == pierhead.ErrBadInput) && pierhead.HintOf(err) == "" {
			t.Errorf("%s: there is no hint", name)
		}
	}
}

func TestDiscoverLeavesPodman(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if err := os.WriteFile(filepath.Join(bin, "podman"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	one := newDocker(t)
	for name, config := range map[string]Config{
		"nothing else": {Env: environment(nil), Sockets: []string{}},
		"asked for":    {Engine: "podman", Sockets: []string{one.socket}},
		"own store":    {OwnStore: true, Sockets: []string{one.socket}, Env: environment(map[string]string{"DOCKER_HOST": "unix://" + one.socket})},
	} {
		if _, _, err := Discover(t.Context(), config); !errors.Is(err, errOwnService) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpen(t *testing.T) {
	f := newPodman(t)
	e, err := Open(t.Context(), Config{Engine: "unix://" + f.socket})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Address() != "unix://"+f.socket || e.How() != "as asked for with --engine" {
		t.Errorf("%s, %s", e.Address(), e.How())
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"/run/x.sock": "unix:///run/x.sock", "unix:///run/x.sock": "unix:///run/x.sock",
		"tcp://127.0.0.1:2375": "tcp://127.0.0.1:2375", "http://127.0.0.1:2375/": "tcp://127.0.0.1:2375",
		"": "", "unix://": "", "unix://x.sock": "", "tcp://": "", "x": "", "fd://": "", "ssh://x": "",
	} {
		if got, err := parseAddress(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v", text, got, err)
		}
	}
}
