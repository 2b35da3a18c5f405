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
	kubelet    agent.KubeletDoor
	client     *api.Client
}

// prepareNode takes the mirror's port and finds the engine, before anything is written.
func prepareNode(ctx context.Context, config upConfig, data *dataDirectory, log *slog.Logger) (*node, error) {
	n := &node{EngineName: "none"}
	var err error
	if n.kubelet, err = config.Kube.door(data.in("agent", "kube-keys.json"), os.Getenv); err == nil {
		n.mirror, err = agent.ListenEndpoint(config.Mirror)
	}
	if err == nil {
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

// A membership is who a node is, and how it reaches its control plane.
type membership struct {
	name     string
	client   *api.Client
	ca       string          // PEM of the control plane's own authority, or ""
	identity *agent.Identity // of a node that joined; nil inside `pier up`
	keys     *agent.DataKeys
	login    hosted.Exchanger // at the hosted registry, but for its host
}

// localMembership is that of the node inside `pier up`: it talks to the server as every other node does, over HTTP, with a
// token that is new at every start and kept nowhere.
func localMembership(ctx context.Context, data *dataDirectory, plane *controlPlane) (membership, error) {
	record, token, err := plane.store.EnsureNode(ctx, pierhead.System(), localNode)
	if err != nil {
		return membership{}, err
	}
	m := membership{name: record.Name, ca: string(plane.CA), login: hosted.Exchanger{Username: record.Name, Token: func() string { return token }}}
	if m.client, err = api.NewClient(api.ClientConfig{URL: plane.Local, Token: token, UserAgent: "pier-agent/" + version}); err != nil {
		return membership{}, err
	}
	m.keys, err = agent.OpenDataKeys(data.in("agent", dataKeysFile))
	return m, err
}

// dataKeysFile is in the agent's directory.
const dataKeysFile = "data-keys.pem"

// open makes the agent.
func (n *node) open(config upConfig, data *dataDirectory, m membership, log *slog.Logger) error {
	n.client = m.client
	snapshot, err := agent.OpenSnapshot(data.in("agent", "snapshot.json"), log)
	if err != nil {
		return err
	}
	events, err := agent.OpenSpool(data.in("agent", "events"), log)
	if err != nil {
		return err
	}
	m.login.Host = func() string { return hostOf(snapshot.URL()) }
	b, err := newBroker(config, broker.Config{Registries: snapshot, Events: events, Sealed: m.keys, ServerCA: m.ca}, m.login)
	if err != nil {
		return err
	}
	listed, err := mirrorHosts(config.MirrorHosts)
	if err != nil {
		return err
	}
	agentConfig := agent.Config{Name: m.name, Identity: m.identity, Directory: data.in("agent"), Server: n.client, Broker: b, Snapshot: snapshot, DataKey: m.keys.Public(),
		Endpoint: n.mirror, AllowMounts: config.AllowMounts, NeverMounts: n.neverMounts(config, data), Slots: config.Slots, Socket: n.socket, Kubelet: n.kubelet, Organization: config.NodeOrg, MirrorHosts: listed, Version: version, Log: log}
	if n.engine != nil {
		agentConfig.Engine = n.engine
	}
	n.agent, err = agent.New(agentConfig, events)
	return err
}

// newBroker adds to what the agent keeps every kind of registry and every secret store that there is. own is the login at the
// hosted registry.
func newBroker(config upConfig, b broker.Config, own hosted.Exchanger) (*broker.Broker, error) {
	exchangers, secrets, err := kinds(config, own)
	if err != nil {
		return nil, err
	}
	b.Exchangers, b.Secrets, b.PrivateNetworks = exchangers, secrets, config.Networks
	b.IdentityFor, err = identityFor(config.Identity)
	return broker.New(b), err
}

// kinds is every kind of registry and every secret store that there is, for a node with that login at the hosted registry.
func kinds(config upConfig, own hosted.Exchanger) (map[pierhead.RegistryType]exchange.Exchanger, secret.Mux, error) {
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
	return exchangers, secrets, addVault(secrets, config, amazon)
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
