// Package docker runs containers with Docker or Podman through the API that both speak, and with Podman's own API
// where the common one cannot do what is needed. It finds the engine of a machine, or runs a Podman service itself.
// It is for the agent.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/moby/moby/client"

	"pierhead.dev/pierhead/engine"
)

// A Network is what a container sees of the network. The host's own is not among the choices.
type Network string

const (
	// NetworkBridge is the engine's default bridge: the way out, with no port of the node. The zero value means it too.
	NetworkBridge Network = "bridge"
	// NetworkNone is a loopback of its own and nothing else, for machines where the engine may not set up a bridge.
	NetworkNone Network = "none"
)

// A Config says which engine to use and how. The zero value finds the machine's engine.
type Config struct {
	// Engine is what the operator asked for: "unix:///run/docker.sock", a path, "tcp://127.0.0.1:2375", or "podman"
	// for a Podman service of our own. Empty: DOCKER_HOST, CONTAINER_HOST, the usual sockets, then a Podman service.
	Engine string
	// Env reads the environment; nil is os.Getenv.
	Env func(string) string
	// Sockets are the places looked at after the environment; nil are the usual ones of Docker and Podman.
	Sockets []string
	// Network is what containers get; empty is NetworkBridge.
	Network Network
	// Dir is where a Podman service of our own keeps what it needs; it is made when such a service starts.
	Dir string
	// OwnStore keeps that service's images and containers in Dir, apart from the machine's. It implies "podman".
	OwnStore bool
	// Log gets what is worth an operator's attention; nil is silence.
	Log *slog.Logger
}

func (c Config) env(name string) string {
	if c.Env != nil {
		return c.Env(name)
	}
	return os.Getenv(name)
}

func (c Config) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.New(slog.DiscardHandler)
}

// An Engine is a Docker or Podman; safe for use by several goroutines. It implements engine.Engine.
type Engine struct {
	api     *client.Client
	address string
	how     string
	network Network
	log     *slog.Logger
	service *Service  // ours, or nil
	pulls   keyedLock // by reference
	names   keyedLock // one key: held while names are given and dropped

	mutex sync.Mutex
	about about
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.PlatformTeller = (*Engine)(nil)
)

// Open finds an engine as Config.Engine says, starts a Podman service where there is none, and makes sure that it
// answers. Errors: those of Discover, StartService and New.
func Open(ctx context.Context, config Config) (*Engine, error) {
	address, how, err := Discover(ctx, config)
	var service *Service
	if errors.Is(err, errOwnService) {
		service, err = StartService(ctx, ServiceConfig{Dir: config.Dir, OwnStore: config.OwnStore, Env: config.Env, Log: config.Log})
		if err == nil {
			address, how = service.Address(), "a Podman service of our own"
		}
	}
	if err != nil {
		return nil, err
	}
	e, err := New(address, config)
	if err == nil {
		e.how, e.service = how, service
		_, err = e.Version(ctx)
	}
	if err != nil {
		if service != nil {
			_ = service.Close() // the error before counts
		}
		return nil, err
	}
	return e, nil
}

// New makes an Engine for an address as Discover returns it. It does not connect. A tcp address uses TLS where
// DOCKER_TLS_VERIFY or DOCKER_CERT_PATH are set, as Docker's own client does.
func New(address string, config Config) (*Engine, error) {
	switch config.Network {
	case "":
		config.Network = NetworkBridge
	case NetworkBridge, NetworkNone:
	default:
		return nil, fmt.Errorf("container network %q: only %q and %q are possible", config.Network, NetworkBridge, NetworkNone)
	}
	options := []client.Opt{client.WithHost(address)}
	if dir := config.env("DOCKER_CERT_PATH"); strings.HasPrefix(address, "tcp://") && (dir != "" || config.env("DOCKER_TLS_VERIFY") != "") {
		if dir == "" {
			dir = filepath.Join(config.env("HOME"), ".docker")
		}
		options = append(options, client.WithTLSClientConfig(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
	}
	api, err := client.New(options...)
	if err != nil {
		return nil, fmt.Errorf("engine at %s: %w", address, err)
	}
	return &Engine{api: api, address: address, how: "as given", network: config.Network, log: config.log()}, nil
}

// Address is where the engine answers, "unix:///run/docker.sock".
func (e *Engine) Address() string { return e.address }

// How says in a few words how the engine was found, "from DOCKER_HOST".
func (e *Engine) How() string { return e.how }

// Close lets go of the engine, and stops the Podman service if it is ours. Containers run on.
func (e *Engine) Close() error {
	err := e.api.Close()
	if e.service != nil {
		err = errors.Join(err, e.service.Close())
	}
	return err
}

// about is what /version told.
type about struct {
	known   bool
	podman  bool
	version string
}

// Version names the engine and its version, "podman 4.3.1".
func (e *Engine) Version(ctx context.Context) (string, error) {
	a, err := e.ask(ctx)
	if err != nil {
		return "", err
	}
	if a.podman {
		return "podman " + a.version, nil
	}
	return "docker " + a.version, nil
}

// ask asks the engine once who it is. The answer cannot change without another engine at the same address.
func (e *Engine) ask(ctx context.Context) (about, error) {
	e.mutex.Lock()
	a := e.about
	e.mutex.Unlock()
	if a.known {
		return a, nil
	}
	version, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return about{}, e.failed("asking for the engine's version", err)
	}
	a = about{known: true, version: version.Version}
	for _, component := range version.Components {
		if component.Name == "Podman Engine" {
			a.podman, a.version = true, component.Version
		}
	}
	e.mutex.Lock()
	e.about = a
	e.mutex.Unlock()
	return a, nil
}

// keyedLock is one lock per key, which a context can give up waiting for.
type keyedLock struct {
	mutex sync.Mutex
	held  map[string]chan struct{} // closed when let go
}

func (k *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		k.mutex.Lock()
		wait, taken := k.held[key]
		if !taken {
			mine := make(chan struct{})
			if k.held == nil {
				k.held = map[string]chan struct{}{}
			}
			k.held[key] = mine
			k.mutex.Unlock()
			return func() {
				k.mutex.Lock()
				delete(k.held, key)
				k.mutex.Unlock()
				close(mine)
			}, nil
		}
		k.mutex.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// closeQuietly closes what was only read from.
func closeQuietly(c io.Closer) { _ = c.Close() }
