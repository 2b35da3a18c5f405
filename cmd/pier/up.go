package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/secret/vault"
	"pierhead.dev/pierhead/server"
	"pierhead.dev/pierhead/store"
)

// upConfig is all that `pier up` is told; each field is a flag, and the variable in its help.
type upConfig struct {
	Data        string       // the one data directory
	Listen      string       // address of API, registry and console
	URL         string       // the server's name in references; from Listen where empty
	TLSCert     string       // PEM files; both or none
	TLSKey      string       //
	TLS         string       // "self": a CA of our own in the data directory
	Mirror      string       // loopback address that runtimes of this node pull from
	MirrorHosts []string     // hosts that it answers for beside those of the organization's registries
	NodeOrg     string       // the organization that the node's doors answer for; the first by name where empty
	SecretsDir  string       // what file:NAME names; <data>/secrets where empty
	TokenDirs   []string     // directories whose files are this node's OIDC tokens
	Engine      string       // "", "podman", "none", or an address
	Network     string       // what containers get: "bridge" or "none"
	OwnStore    bool         // a Podman of our own keeps its images in the data directory
	AllowMounts []string     // directories that executions may mount
	Networks    []string     // CIDR prefixes that registries of every organization may resolve to
	Socket      socketConfig // where helpers of this machine ask
	Kube        kubeConfig   // how a kubelet's questions are read
	Slots       int          // executions at a time
	Identity    []string     // "all", "none", or match patterns of images that the node's identity may pull with nothing configured
	Admin       string       // name of the administrator that the first start makes
	Vault       vault.Config // the Vault that vault: names
	VaultRegion string       // of the STS that Vault asks, with --vault-auth aws
	LogLevel    string       // debug, info, warn or error
}

func (p *program) upCommand() *cobra.Command {
	var config upConfig
	c := &cobra.Command{Use: "up", Short: "Run all of Pierhead in one process on this machine", Args: arguments(),
		Long: `Run all of Pierhead in one process: API, hosted registry, and one node with its agent. Everything
it keeps is in one data directory; it needs no other service but Docker or Podman.

The first start makes an administrator and writes a context, so that pier's commands work at
once for the user who started it. Ctrl-C ends it; running containers run on, and the next start
finds them again.`,
		Example: "  pier up\n  pier up --listen 0.0.0.0:7070 --tls self --url https://pier.example.com:7070"}
	p.serverFlags(c, &config)
	p.nodeFlags(c, &config)
	p.vaultFlags(c, &config)
	c.RunE = func(c *cobra.Command, _ []string) error { return p.up(c.Context(), config) }
	return c
}

// variable returns an environment variable's value, or the fallback.
func (p *program) variable(name, fallback string) string {
	if value := p.env(name); value != "" {
		return value
	}
	return fallback
}

func (p *program) serverFlags(c *cobra.Command, config *upConfig) {
	f := c.Flags()
	f.StringVar(&config.Data, "data", p.env("PIER_DATA"), "data directory (PIER_DATA; root: /var/lib/pierhead, else $XDG_DATA_HOME/pierhead)")
	f.StringVar(&config.Listen, "listen", p.variable("PIER_LISTEN", "127.0.0.1:7070"), "address of API and registry (PIER_LISTEN)")
	f.StringVar(&config.URL, "url", p.env("PIER_URL"), "the server's name in image references (PIER_URL; from --listen where empty)")
	f.StringVar(&config.TLSCert, "tls-cert", p.env("PIER_TLS_CERT"), "PEM file with the server's certificate chain (PIER_TLS_CERT)")
	f.StringVar(&config.TLSKey, "tls-key", p.env("PIER_TLS_KEY"), "PEM file with its key (PIER_TLS_KEY)")
	f.StringVar(&config.TLS, "tls", p.env("PIER_TLS"), `"self": make a CA of our own and a certificate of it (PIER_TLS)`)
	f.StringVar(&config.Admin, "admin", p.variable("PIER_ADMIN", "admin"), "name of the administrator that the first start makes (PIER_ADMIN)")
	f.StringVar(&config.LogLevel, "log-level", p.variable("PIER_LOG_LEVEL", "info"), "debug, info, warn or error (PIER_LOG_LEVEL)")
}

func (p *program) nodeFlags(c *cobra.Command, config *upConfig) {
	f := c.Flags()
	slots, err := strconv.Atoi(p.variable("PIER_SLOTS", "4"))
	if err != nil {
		slots = 0 // complete refuses it
	}
	f.StringVar(&config.Mirror, "mirror", p.variable("PIER_MIRROR", "127.0.0.1:5050"), "loopback address of the mirror, from which this machine's runtimes pull (PIER_MIRROR)")
	f.StringSliceVar(&config.MirrorHosts, "mirror-host", splitList(p.env("PIER_MIRROR_HOSTS")), "host that the mirror answers for beside those of the organization's registries; may be repeated (PIER_MIRROR_HOSTS, with commas)")
	f.StringVar(&config.NodeOrg, "node-organization", p.env("PIER_NODE_ORGANIZATION"), "organization as which socket and mirror of this node pull (PIER_NODE_ORGANIZATION; the first by name where empty)")
	f.StringVar(&config.SecretsDir, "secrets-dir", p.env("PIER_SECRETS_DIR"), "directory that file:NAME names (PIER_SECRETS_DIR; <data>/secrets where empty)")
	f.StringSliceVar(&config.TokenDirs, "token-dir", splitList(p.env("PIER_TOKEN_DIRS")), "directory with OIDC tokens of this node, which a secret may name for an exchange; may be repeated (PIER_TOKEN_DIRS, with commas)")
	f.StringVar(&config.Engine, "engine", p.env("PIER_ENGINE"), `socket or URL of Docker or Podman; "podman": a Podman of our own; "none": run nothing here (PIER_ENGINE)`)
	f.StringVar(&config.Network, "network", p.variable("PIER_NETWORK", "bridge"), `what containers get: "bridge" is the engine's own way out, "none" is nothing (PIER_NETWORK)`)
	f.BoolVar(&config.OwnStore, "own-store", p.env("PIER_OWN_STORE") == "1", "that Podman keeps images in the data directory, apart from the machine's (PIER_OWN_STORE=1)")
	f.StringSliceVar(&config.AllowMounts, "allow-mount", splitList(p.env("PIER_ALLOW_MOUNTS")), "directory that executions may mount; may be repeated (PIER_ALLOW_MOUNTS, with commas)")
	f.StringSliceVar(&config.Networks, "private-network", splitList(p.env("PIER_PRIVATE_NETWORKS")), "CIDR prefix that any registry's hosts may resolve to, as those of private endpoints do; may be repeated (PIER_PRIVATE_NETWORKS, with commas)")
	f.StringSliceVar(&config.Identity, "node-identity", splitList(p.variable("PIER_NODE_IDENTITY", "all")), `images that the identity of this node in its cloud pulls with no registry configured: "all" at that cloud's registries, "none", or match patterns (PIER_NODE_IDENTITY, with commas)`)
	p.socketFlags(c, &config.Socket)
	p.kubeFlags(c, &config.Kube)
	f.IntVar(&config.Slots, "slots", slots, "executions at a time (PIER_SLOTS)")
}

func splitList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// complete fills in what follows from the rest and refuses likely mistakes.
func (c *upConfig) complete(p *program) error {
	if c.Data == "" {
		directory, err := p.defaultData()
		if err != nil {
			return err
		}
		c.Data = directory
	}
	var err error
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return err
	}
	if c.SecretsDir == "" {
		c.SecretsDir = filepath.Join(c.Data, "secrets")
	}
	if c.Slots < 1 {
		return pierhead.NewProblem(pierhead.ErrBadInput, "--slots is not a number from 1 on", "say how many executions may run at a time: --slots or PIER_SLOTS")
	}
	if c.Network != "bridge" && c.Network != "none" && c.Network != "" {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--network %q is neither bridge nor none", c.Network), "an execution never gets the node's own network")
	}
	for flag, directories := range map[string][]string{"--allow-mount": c.AllowMounts, "--token-dir": c.TokenDirs} {
		for _, directory := range directories {
			if !filepath.IsAbs(directory) {
				return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%s %q is not an absolute path", flag, directory), "")
			}
		}
	}
	for _, text := range c.Networks {
		if prefix, err := netip.ParsePrefix(text); err != nil || prefix != prefix.Masked() {
			return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--private-network %q is not an address range", text), "write it as 10.0.0.0/8 or fd00::/8; an address alone is 10.0.0.7/32")
		}
	}
	if err := c.completeVault(p); err != nil {
		return err
	}
	return c.checkServer()
}

// checkServer refuses here, before anything is written, what the server would refuse later.
func (c *upConfig) checkServer() error {
	if _, err := identityFor(c.Identity); err != nil {
		return err
	}
	if _, err := mirrorHosts(c.MirrorHosts); err != nil {
		return err
	}
	if _, err := c.Kube.door("", os.Getenv); err != nil {
		return err
	}
	if c.TLS != "" && c.TLS != "self" {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf(`--tls %q is not "self"`, c.TLS), "use --tls self, or --tls-cert FILE and --tls-key FILE")
	}
	if c.URL != "" {
		address, err := server.CheckURL(c.URL)
		if err != nil {
			return err
		}
		c.URL = address // references have no slash at their end
	}
	return store.CheckPersonName(c.Admin)
}

func (p *program) defaultData() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/pierhead", nil
	}
	if directory := p.env("XDG_DATA_HOME"); directory != "" {
		return filepath.Join(directory, "pierhead"), nil
	}
	if home := p.env("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "pierhead"), nil
	}
	return "", pierhead.NewProblem(pierhead.ErrBadInput, "there is no place for data: neither HOME nor XDG_DATA_HOME is set", "say --data DIR")
}

// logger writes text lines to stderr.
func (p *program) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--log-level %q is not debug, info, warn or error", level), "")
	}
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: l})), nil
}

// begin completes a process's configuration and takes its data directory.
func (p *program) begin(config *upConfig) (*dataDirectory, *slog.Logger, error) {
	if err := config.complete(p); err != nil {
		return nil, nil, err
	}
	log, err := p.logger(config.LogLevel)
	if err != nil {
		return nil, nil, err
	}
	data, err := openData(config.Data)
	return data, log, err
}

// up runs until ctx ends or something that it cannot do without fails.
func (p *program) up(ctx context.Context, config upConfig) error {
	data, log, err := p.begin(&config)
	if err != nil {
		return err
	}
	defer data.Close()
	// Everything that can be in use or missing comes first: a start that fails writes nothing.
	plane, err := listenControlPlane(ctx, config, data)
	if err != nil {
		return err
	}
	defer plane.Close()
	node, err := prepareNode(ctx, config, data, log)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := plane.open(ctx, config, data, log); err != nil {
		return err
	}
	membership, err := localMembership(ctx, data, plane)
	if err != nil {
		return err
	}
	if err := node.open(config, data, membership, log); err != nil {
		return err
	}
	if err := p.firstContext(ctx, plane); err != nil {
		return err
	}
	p.note("Pierhead is up at %s; data in %s; engine: %s", plane.URL, config.Data, node.EngineName)
	return together(ctx, plane.Serve, node.Run)
}
