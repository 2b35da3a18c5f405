package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/server"
)

func (p *program) serverCommand() *cobra.Command {
	var config upConfig
	var only, keyFile string
	c := &cobra.Command{Use: "server", Short: "Run the control plane without a node, or the hosted registry alone", Args: arguments(),
		Long: `Run the control plane alone: API, token service and hosted registry, without a node.

With --only registry it is the hosted registry alone: it checks tokens with the public key of the
token service (server/token-key.pub in the control plane's data directory) and needs nothing else
of it. --url is the control plane's, whose tokens it takes. Nobody can ask it to collect garbage,
so it does that once a day: blobs that no manifest names, and uploads that nobody goes on with,
are deleted when they are a day old. /healthz answers while it runs.`,
		Example: "  pier server\n  pier server --only registry --token-key token-key.pub --url http://127.0.0.1:7070 --listen 127.0.0.1:7071"}
	p.serverFlags(c, &config)
	c.Flags().StringVar(&only, "only", "", `"registry": run that alone`)
	c.Flags().StringVar(&keyFile, "token-key", "", "with --only registry: PEM file with the token service's public key")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config.Slots = 1 // unused: there is no node
		if err := checkOnly(only, keyFile, config.URL); err != nil {
			return err
		}
		data, log, err := p.begin(&config)
		if err != nil {
			return err
		}
		defer data.Close()
		if only == "registry" {
			return p.serveRegistry(c.Context(), config, keyFile, data, log)
		}
		return p.serveControlPlane(c.Context(), config, data, log)
	}
	return c
}

// checkOnly refuses what cannot be meant before anything is taken.
func checkOnly(only, keyFile, url string) error {
	switch {
	case only != "" && only != "registry":
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf(`--only %q is not "registry"`, only), "the registry is all that can run alone")
	case only == "registry" && (keyFile == "" || url == ""):
		return pierhead.NewProblem(pierhead.ErrBadInput, "--only registry needs --token-key FILE and the control plane's --url", "the key is server/token-key.pub in the control plane's data directory")
	}
	return nil
}

func (p *program) serveControlPlane(ctx context.Context, config upConfig, data *dataDirectory, log *slog.Logger) error {
	plane, err := listenControlPlane(ctx, config, data)
	if err != nil {
		return err
	}
	defer plane.Close()
	if err := plane.open(ctx, config, data, log); err != nil {
		return err
	}
	if err := p.firstContext(ctx, plane); err != nil {
		return err
	}
	p.note("The control plane is up at %s; data in %s", plane.URL, config.Data)
	return plane.Serve(ctx)
}

// serveRegistry runs the hosted registry alone: it links no database and holds no key that signs.
func (p *program) serveRegistry(ctx context.Context, config upConfig, keyFile string, data *dataDirectory, log *slog.Logger) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, "--token-key: "+err.Error(), "")
	}
	public, err := tokens.ParsePublic(text)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--token-key %s: %v", keyFile, err), "")
	}
	listener, err := server.Listen(ctx, server.ListenConfig{Address: config.Listen, CertFile: config.TLSCert, KeyFile: config.TLSKey,
		Self: config.TLS == "self", Directory: data.in("server", "tls")})
	if err != nil {
		return err
	}
	registry, err := openHosted(data.in("registry"), config.URL, tokens.KeyID(public), public, nil, log)
	if err != nil {
		return err
	}
	defer registry.Close()
	mux := http.NewServeMux()
	mux.Handle("/v2/", registry.handler)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	p.note("The hosted registry is up at %s for tokens of %s", listener.URL, config.URL)
	return together(ctx,
		func(ctx context.Context) error { return server.ServeHandler(ctx, listener, mux, log) },
		func(ctx context.Context) error { collectDaily(ctx, registry, log); return nil })
}
