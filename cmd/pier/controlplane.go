package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/blob/disk"
	"pierhead.dev/pierhead/internal/durable"
	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/oci/hosted"
	ociserver "pierhead.dev/pierhead/oci/server"
	"pierhead.dev/pierhead/server"
	"pierhead.dev/pierhead/store"
)

// A controlPlane is the server's side of a process: store, hosted registry, API.
type controlPlane struct {
	URL   string // the server's name in references
	Local string // URL for this process's own agent
	CA    []byte // PEM of its own CA, or nil
	CASum []byte // SHA-256 of that certificate

	store     *store.Store
	registry  *hostedRegistry
	server    *server.Server
	listeners []net.Listener
	admin     string // token text of the first administrator, only right after the first start
	person    string
}

// listenControlPlane takes the port, before anything is written.
func listenControlPlane(ctx context.Context, config upConfig, data *dataDirectory) (*controlPlane, error) {
	plane := new(controlPlane)
	if err := plane.listen(ctx, config, data); err != nil {
		plane.Close()
		return nil, err
	}
	return plane, nil
}

// open opens what the control plane keeps, and makes the administrator at the first start.
func (c *controlPlane) open(ctx context.Context, config upConfig, data *dataDirectory, log *slog.Logger) (err error) {
	if c.store, err = store.Open(ctx, "sqlite:"+data.in("server", "pierhead.db"), store.Options{URL: c.URL}); err != nil {
		return err
	}
	key, err := server.OpenTokenKey(data.in("server", "token-key.pem"))
	if err != nil {
		return err
	}
	if err := writePublicKey(data.in("server", "token-key.pub"), key); err != nil {
		return err
	}
	if c.registry, err = openHosted(data.in("registry"), c.URL, key.ID(), key.Public(), c.store.NodeRevoked, log); err != nil {
		return err
	}
	person, text, created, err := c.store.Bootstrap(ctx, config.Admin)
	if err != nil {
		return err
	}
	if c.person = person.Name; created {
		c.admin = text
	}
	c.server, err = server.New(server.Config{URL: c.URL, Store: c.store, Tokens: key, Registry: c.registry.handler,
		Collector: c.registry.Registry, Authority: c.CASum, Version: version, Log: log})
	return err
}

func (c *controlPlane) listen(ctx context.Context, config upConfig, data *dataDirectory) error {
	lc := server.ListenConfig{Address: config.Listen, CertFile: config.TLSCert, KeyFile: config.TLSKey, Self: config.TLS == "self", Directory: data.in("server", "tls")}
	if u, err := url.Parse(config.URL); err == nil && u.Hostname() != "" {
		lc.Names = []string{u.Hostname()}
	}
	secure := config.TLSCert != "" || config.TLS != ""
	if host, port, err := net.SplitHostPort(config.Listen); secure && config.URL == "" && err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("with --listen %s the server does not know its own name", config.Listen),
			"say how references and clients name it: --url https://HOST:"+port)
	}
	listener, err := server.Listen(ctx, lc)
	if err != nil {
		return err
	}
	c.listeners = append(c.listeners, listener)
	c.URL, c.Local, c.CA, c.CASum = config.URL, listener.URL, listener.CA, listener.CASum
	if c.URL == "" {
		c.URL = listener.URL
	}
	if secure { // this process's own agent needs no TLS, nor the name to resolve here
		own, err := server.Listen(ctx, server.ListenConfig{Address: "127.0.0.1:0"})
		if err != nil {
			return err
		}
		c.listeners, c.Local = append(c.listeners, own), own.URL
	}
	return nil
}

// writePublicKey lays out what a hosted registry of its own needs to check tokens.
func writePublicKey(path string, key *tokens.Key) error {
	text, err := key.PublicPEM()
	if err != nil {
		return err
	}
	if written, err := os.ReadFile(path); err == nil && bytes.Equal(written, text) {
		return nil
	}
	return durable.WriteFile(durable.OS{}, path, text)
}

// Serve answers until ctx ends.
func (c *controlPlane) Serve(ctx context.Context) error {
	parts := []func(context.Context) error{c.server.Watch}
	for _, listener := range c.listeners {
		parts = append(parts, func(ctx context.Context) error { return c.server.Serve(ctx, listener) })
	}
	return together(ctx, parts...)
}

// Close gives everything back.
func (c *controlPlane) Close() {
	for _, listener := range c.listeners {
		_ = listener.Close() // Serve has closed it, unless it never ran
	}
	if c.registry != nil {
		c.registry.Close()
	}
	if c.store != nil {
		_ = c.store.Close()
	}
}

// A hostedRegistry is our own registry with its handler.
type hostedRegistry struct {
	*hosted.Registry
	blobs   *disk.Store
	handler http.Handler
}

// openHosted opens the registry in a directory. It checks tokens with the public half of the key only.
func openHosted(directory, serverURL, keyID string, public crypto.PublicKey, revoked func(context.Context, pierhead.Caller, string) (bool, error), log *slog.Logger) (*hostedRegistry, error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--url %q is not of the form http://HOST:PORT or https://HOST:PORT", serverURL), "it is the control plane's, which signs the tokens")
	}
	blobs, err := disk.Open(disk.Config{Dir: directory + "/blobs"})
	if err != nil {
		return nil, fmt.Errorf("the hosted registry's blobs: %w", err)
	}
	registry, err := hosted.Open(hosted.Config{Dir: directory, Blobs: blobs, Log: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the hosted registry: %w", err), blobs.Close())
	}
	h := &hostedRegistry{Registry: registry, blobs: blobs}
	bearer, err := server.RegistryTokens(serverURL, u.Host, keyID, public, revoked)
	if err != nil {
		h.Close()
		return nil, err
	}
	h.handler = ociserver.New(ociserver.Config{Registry: registry, Authorizer: server.Noted(bearer), Log: log})
	return h, nil
}

// Close closes registry and blobs.
func (h *hostedRegistry) Close() {
	_ = errors.Join(h.Registry.Close(), h.blobs.Close()) // locks; the process ends with them anyway
}
