package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"

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
	URL    string // the server's name in references
	Local  string // URL for this process's own agent
	CA     []byte // PEM of its own CA, or nil
	CAHash string

	store     *store.Store
	registry  *hostedRegistry
	server    *server.Server
	listeners []net.Listener
	admin     string // token text of the first administrator, only right after the first start
	person    string
}

// openControlPlane takes the port first, so that a port in use changes nothing on disk but the directory itself.
func openControlPlane(ctx context.Context, config upConfig, data *dataDirectory, log *slog.Logger) (plane *controlPlane, err error) {
	plane = new(controlPlane)
	defer func() {
		if err != nil {
			plane.Close()
		}
	}()
	if err := plane.listen(ctx, config, data); err != nil {
		return nil, err
	}
	if plane.store, err = store.Open(ctx, "sqlite:"+data.in("server", "pierhead.db"), store.Options{URL: plane.URL}); err != nil {
		return nil, err
	}
	key, err := server.OpenTokenKey(data.in("server", "token-key.pem"))
	if err != nil {
		return nil, err
	}
	if err := writePublicKey(data.in("server", "token-key.pub"), key); err != nil {
		return nil, err
	}
	if plane.registry, err = openHosted(data.in("registry"), plane.URL, key.ID(), key.Public(), log); err != nil {
		return nil, err
	}
	person, text, created, err := plane.store.Bootstrap(ctx, config.Admin)
	if err != nil {
		return nil, err
	}
	if plane.person = person.Name; created {
		plane.admin = text
	}
	plane.server, err = server.New(server.Config{URL: plane.URL, Store: plane.store, Tokens: key, Registry: plane.registry.handler,
		Collector: plane.registry.Registry, Version: version, Log: log})
	return plane, err
}

func (c *controlPlane) listen(ctx context.Context, config upConfig, data *dataDirectory) error {
	lc := server.ListenConfig{Address: config.Listen, CertFile: config.TLSCert, KeyFile: config.TLSKey, Self: config.TLS == "self", Directory: data.in("server", "tls")}
	if u, err := url.Parse(config.URL); err == nil && u.Hostname() != "" {
		lc.Names = []string{u.Hostname()}
	}
	listener, err := server.Listen(ctx, lc)
	if err != nil {
		return err
	}
	c.listeners = append(c.listeners, listener)
	c.URL, c.Local, c.CA, c.CAHash = config.URL, listener.URL, listener.CA, listener.CAHash
	address := listener.Addr().(*net.TCPAddr)
	if c.URL == "" {
		if address.IP.IsUnspecified() {
			return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("with --listen %s the server does not know its own name", config.Listen),
				"say how references and clients name it: --url https://HOST:"+fmt.Sprint(address.Port))
		}
		c.URL = listener.URL
	}
	if secure := config.TLSCert != "" || config.TLS != ""; secure { // this process's own agent needs no TLS, nor the name to resolve here
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
	return durable.WriteFile(durable.OS{}, path, text)
}

// Serve answers until ctx ends.
func (c *controlPlane) Serve(ctx context.Context) error {
	var parts []func(context.Context) error
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
func openHosted(directory, serverURL, keyID string, public crypto.PublicKey, log *slog.Logger) (*hostedRegistry, error) {
	u, err := url.Parse(serverURL)
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
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
	bearer, err := ociserver.NewBearer(ociserver.BearerConfig{Realm: serverURL + "/token", Service: u.Host, Issuer: serverURL,
		Keys: map[string]crypto.PublicKey{keyID: public}})
	if err != nil {
		h.Close()
		return nil, err
	}
	h.handler = ociserver.New(ociserver.Config{Registry: registry, Authorizer: bearer, Log: log})
	return h, nil
}

// Close closes registry and blobs.
func (h *hostedRegistry) Close() {
	_ = errors.Join(h.Registry.Close(), h.blobs.Close()) // locks; the process ends with them anyway
}
