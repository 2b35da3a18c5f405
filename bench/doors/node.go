package main

import (
	"context"
	"os"
	"strings"

	"pierhead.dev/pierhead/credhelper"
	"pierhead.dev/pierhead/internal/doors"
)

// A node is an agent of the organization's, as users start it. Its data outlives it.
type node struct {
	*service
	m    *machine
	name string
}

// join makes a node and starts its agent.
func (m *machine) join(ctx context.Context, name string) (*node, error) {
	token, err := m.pier(ctx, "node", "token", "create", "--org", "bench", "--name", name)
	if err != nil {
		return nil, err
	}
	n := &node{m: m, name: name}
	file := m.path(name + ".token")
	if err := os.WriteFile(file, []byte(strings.TrimSpace(token)), 0o600); err != nil {
		return nil, err
	}
	return n, n.start(ctx, "--server", "http://"+serverAddress, "--join-file", file)
}

// start starts the agent, with nothing in memory, and returns when it knows its organization.
func (n *node) start(ctx context.Context, more ...string) error {
	if err := n.begin(ctx, more...); err != nil {
		return err
	}
	return n.ready(ctx, func() error {
		_, err := n.helper().Hosts(ctx)
		return err
	})
}

// begin is start without the wait.
func (n *node) begin(ctx context.Context, more ...string) (err error) {
	arguments := append([]string{"agent", "--engine", "none", "--mirror", "127.0.0.1:0", "--socket", n.socket(), "--secrets-dir", n.m.path("secrets"), "--private-network", internet + "/32"}, more...)
	n.service, err = n.m.serve(ctx, n.name, arguments...)
	return err
}

func (n *node) socket() string { return n.m.path(n.name+".run", "agent.sock") }

// helper asks as the helper does, by its own code, without the start of a process.
func (n *node) helper() credhelper.Agent { return credhelper.Agent{Sockets: []string{n.socket()}} }

// lend asks for the login at a host.
func (n *node) lend(ctx context.Context, host string) error {
	_, err := n.helper().Lend(ctx, doors.Ask{Door: doors.Docker, Host: host})
	return err
}
