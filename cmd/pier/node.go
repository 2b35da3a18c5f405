package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/agent"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/engine"
	"pierhead.dev/pierhead/engine/docker"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/basic"
	"pierhead.dev/pierhead/exchange/dockerhub"
	"pierhead.dev/pierhead/exchange/hosted"
	"pierhead.dev/pierhead/exchange/jfrog"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
	secretenv "pierhead.dev/pierhead/secret/env"
	secretfile "pierhead.dev/pierhead/secret/file"
)

// localNode is the name of the node inside `pier up`.
const localNode = "local"

// A node is the agent's side of a process.
type node struct {
	EngineName string
	agent      *agent.Agent
	engine     *docker.Engine // nil with --engine none
	mirror     net.Listener
	socket     *agent.Socket // nil with --socket none
	client     *api.Client
}

// prepareNode takes the mirror's port and finds the engine, before anything is written.
func prepareNode(ctx context.Context, config upConfig, data *dataDirectory, log *slog.Logger) (*node, error) {
	n := &node{EngineName: "none"}
	var err error
	if n.mirror, err = agent.ListenEndpoint(config.Mirror); err == nil {
		n.socket, err = config.Socket.listen(log)
	}
	if err == nil {
		err = n.openEngine(ctx, config, data, log)
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// open makes the agent: it talks to the server as every other node would, over HTTP with a token.
func (n *node) open(ctx context.Context, config upConfig, data *dataDirectory, plane *controlPlane, log *slog.Logger) error {
	record, token, err := plane.store.EnsureNode(ctx, pierhead.System(), localNode)
	if err != nil {
		return err
	}
	if n.client, err = api.NewClient(api.ClientConfig{URL: plane.Local, Token: token, UserAgent: "pier-agent/" + version}); err != nil {
		return err
	}
	snapshot, err := agent.OpenSnapshot(data.in("agent", "snapshot.json"), log)
	if err != nil {
		return err
	}
	keys, err := agent.OpenDataKeys(data.in("agent", "data-keys.pem"))
	if err != nil {
		return err
	}
	events, err := agent.OpenSpool(data.in("agent", "events"), log)
	if err != nil {
		return err
	}
	b, err := newBroker(config, plane, broker.Config{Registries: snapshot, Events: events, Sealed: keys},
		hosted.Exchanger{Host: func() string { return hostOf(snapshot.URL()) }, Username: record.Name, Token: func() string { return token }})
	if err != nil {
		return err
	}
	agentConfig := agent.Config{Name: record.Name, Directory: data.in("agent"), Server: n.client, Broker: b, Snapshot: snapshot, DataKey: keys.Public(),
		Endpoint: n.mirror, AllowMounts: config.AllowMounts, NeverMounts: n.neverMounts(config, data), Slots: config.Slots, Socket: n.socket, Organization: config.NodeOrg, Version: version, Log: log}
	if n.engine != nil {
		agentConfig.Engine = n.engine
	}
	n.agent, err = agent.New(agentConfig, events)
	return err
}

// newBroker adds to what the agent keeps every kind of registry and every secret store that there is. own is the login at the
// hosted registry.
func newBroker(config upConfig, plane *controlPlane, b broker.Config, own hosted.Exchanger) (*broker.Broker, error) {
	exchangers := map[pierhead.RegistryType]exchange.Exchanger{
		pierhead.RegistryGeneric:   basic.New(),
		pierhead.RegistryDockerHub: dockerhub.New(),
		pierhead.RegistryJFrog:     jfrog.New(jfrog.Config{TokenDirs: config.TokenDirs}),
		pierhead.RegistryHosted:    own,
	}
	secrets := secret.Mux{"file": secretfile.New(secretfile.Config{Dir: config.SecretsDir}), "env": secretenv.New(nil)}
	addKubernetes(secrets)
	addAzure(exchangers, secrets)
	amazon := addAmazon(exchangers, secrets, own.Username)
	addGoogle(exchangers, secrets, config.TokenDirs)
	if err := addVault(secrets, config, amazon); err != nil {
		return nil, err
	}
	var err error
	b.Exchangers, b.Secrets, b.ServerCA, b.PrivateNetworks = exchangers, secrets, string(plane.CA), config.Networks
	b.IdentityFor, err = identityFor(config.Identity)
	return broker.New(b), err
}

func (n *node) openEngine(ctx context.Context, config upConfig, data *dataDirectory, log *slog.Logger) error {
	if config.Engine == "none" {
		return nil
	}
	var err error
	n.engine, err = docker.Open(ctx, docker.Config{Engine: config.Engine, Network: docker.Network(config.Network), OwnStore: config.OwnStore, Dir: data.in("agent", "engine"), Log: log})
	if errors.Is(err, engine.ErrUnreachable) {
		return &pierhead.Problem{Kind: pierhead.ErrUnreachable, Cause: err, Text: err.Error(),
			Hint: "start Docker or Podman, name another with --engine, or run nothing on this machine: --engine none"}
	}
	if err != nil {
		return err
	}
	name, err := n.engine.Version(ctx)
	n.EngineName = fmt.Sprintf("%s (%s)", name, n.engine.How())
	return err
}

// neverMounts are the paths that no execution gets to see: keys, secrets, and the sockets of engines.
func (n *node) neverMounts(config upConfig, data *dataDirectory) []string {
	never := []string{data.path, config.SecretsDir, "/var/run/docker.sock", "/run/docker.sock", "/run/podman", "/run/containerd", "/run/pierhead", "/proc", "/sys"}
	never = append(append(append(never, config.TokenDirs...), cloudKeys()...), config.vaultKeys()...)
	if n.socket != nil {
		never = append(never, n.socket.Path())
	}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" {
		never = append(never, runtime)
	}
	if n.engine != nil {
		if socket, ok := strings.CutPrefix(n.engine.Address(), "unix://"); ok {
			never = append(never, socket)
		}
	}
	return never
}

// Run works until ctx ends.
func (n *node) Run(ctx context.Context) error { return n.agent.Run(ctx) }

// Close gives back what the node holds; containers run on.
func (n *node) Close() {
	if n.engine != nil {
		_ = n.engine.Close() // a Podman service of ours ends
	}
	if n.client != nil {
		n.client.CloseIdle()
	}
	if n.socket != nil {
		_ = n.socket.Close()
	}
	if n.mirror != nil {
		_ = n.mirror.Close() // the agent has closed it, unless it never ran
	}
}

// hostOf is the canonical host of the server's URL, as references name it.
func hostOf(serverURL string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return ""
	}
	host, err := image.CanonicalHost(u.Host)
	if err != nil {
		return ""
	}
	return host
}
