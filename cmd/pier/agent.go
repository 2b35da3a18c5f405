package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/agent"
	"pierhead.dev/pierhead/exchange/hosted"
	"pierhead.dev/pierhead/secret"
)

// agentConfig is what `pier agent` is told beside the node's flags.
type agentConfig struct {
	Node     upConfig // of which the server's fields are unused
	Server   string   // URL of the control plane; where empty, the one that the node joined at
	Join     string   // a join token
	JoinFile string   // a file with one
	Name     string   // of the node; empty: the token's, else the machine's
	CA       string   // PEM file with the authority of the server's certificate
	DataKey  string   // file or secret reference with the organization's data keys
}

func (p *program) agentCommand() *cobra.Command {
	var config agentConfig
	c := &cobra.Command{Use: "agent", Short: "Run a node of an organization, apart from the server", Args: arguments(),
		Long: `Run a node: it pulls images with the credentials of its organization, for executions that it is
given and for the runtimes of its machine.

The first start joins with a token from "pier node token create". It makes a key pair that stays in
the data directory; from then on the node proves who it is with that key, and the token is of no
more use. With a server that runs with --tls self the token also says how to know that server.

The agent keeps what it needs on disk: while the server is away, pulls go on, also after a restart.

Logins that admins typed in are sealed to the data key of the organization's first node. Give it to
further nodes with --data-key: agent/data-keys.pem of the first one's data directory, or a secret
reference. Without it a node serves registries that name a secret or the node's own identity.`,
		Example: "  pier agent --server https://pier.example.com:7070 --join-file token --data /var/lib/pierhead\n  pier agent --engine none --data-key /etc/pierhead/data-keys.pem",
	}
	f := c.Flags()
	f.StringVar(&config.Node.Data, "data", p.env("PIER_DATA"), "data directory (PIER_DATA; root: /var/lib/pierhead, else $XDG_DATA_HOME/pierhead)")
	f.StringVar(&config.Join, "join", p.env("PIER_JOIN"), "join token, for the first start (PIER_JOIN); other users of the machine see arguments, so prefer --join-file")
	f.StringVar(&config.JoinFile, "join-file", p.env("PIER_JOIN_FILE"), "file with the join token (PIER_JOIN_FILE)")
	f.StringVar(&config.Name, "name", p.env("PIER_NODE_NAME"), "the node's name (PIER_NODE_NAME; the token's or the machine's where empty)")
	f.StringVar(&config.CA, "ca", p.env("PIER_CA"), "PEM file with the authority of the server's certificate, where neither system nor token knows it (PIER_CA)")
	f.StringVar(&config.DataKey, "data-key", p.env("PIER_DATA_KEY"), "file, or secret reference, with the organization's data keys (PIER_DATA_KEY)")
	f.StringVar(&config.Node.LogLevel, "log-level", p.variable("PIER_LOG_LEVEL", "info"), "debug, info, warn or error (PIER_LOG_LEVEL)")
	p.nodeFlags(c, &config.Node)
	p.vaultFlags(c, &config.Node)
	_ = f.MarkHidden("node-organization") // a node that joined belongs to one
	c.RunE = func(c *cobra.Command, _ []string) error {
		config.Server, config.Node.Admin = p.serverURL, "unused"
		return p.agent(c.Context(), config)
	}
	return c
}

// agent runs until ctx ends or something that it cannot do without fails.
func (p *program) agent(ctx context.Context, config agentConfig) error {
	data, log, err := p.begin(&config.Node)
	if err != nil {
		return err
	}
	defer data.Close()
	identity, err := agent.OpenIdentity(data.in("agent"), version, nil)
	if err != nil {
		return err
	}
	node, err := prepareNode(ctx, config.Node, data, log)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := p.join(ctx, config, data, identity); err != nil {
		return err
	}
	m, err := p.joinedMembership(ctx, &config, data, identity, log)
	if err != nil {
		return err
	}
	if err := node.open(config.Node, data, m, log); err != nil {
		return err
	}
	p.note("Node %s of %s is up for %s; data in %s; engine: %s", m.name, identity.Organization(), identity.Server(), config.Node.Data, node.EngineName)
	return node.Run(ctx)
}

// join makes this agent a node, unless it is one.
func (p *program) join(ctx context.Context, config agentConfig, data *dataDirectory, identity *agent.Identity) error {
	if identity.Joined() {
		if config.Server != "" {
			identity.UseServer(config.Server)
		}
		if config.Join != "" || config.JoinFile != "" {
			p.note("This agent is the node %s of %s already; the join token is not used", identity.Name(), identity.Organization())
		}
		return nil
	}
	token, err := config.token()
	if err != nil {
		return err
	}
	ca, err := config.authority()
	if err != nil {
		return err
	}
	hasData, err := identity.Join(ctx, agent.JoinRequest{Server: config.Server, Token: token, Name: config.Name, CA: ca})
	if err != nil {
		return err
	}
	if !hasData && config.DataKey == "" { // the organization's first node makes its key, before it counts as joined
		if _, err := agent.OpenDataKeys(data.in("agent", dataKeysFile)); err != nil {
			return err
		}
	}
	if err := identity.Keep(); err != nil {
		return err
	}
	p.note("Joined %s as node %s", identity.Organization(), identity.Name())
	return nil
}

// token is the join token that the operator gave.
func (c agentConfig) token() (string, error) {
	hint := "an organization admin makes a token: pier node token create; give it with --join-file FILE"
	switch {
	case c.Server == "":
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "this agent has not joined yet, and no server is named", "say --server URL, and give a join token with --join-file FILE")
	case c.Join != "" && c.JoinFile != "":
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "--join and --join-file exclude each other", "leave one of them out")
	case c.JoinFile != "":
		text, err := os.ReadFile(c.JoinFile)
		if err != nil {
			return "", pierhead.NewProblem(pierhead.ErrBadInput, "--join-file: "+err.Error(), hint)
		}
		return strings.TrimSpace(string(text)), nil
	case c.Join == "":
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "this agent has not joined yet, and there is no join token", hint)
	}
	return c.Join, nil
}

func (c agentConfig) authority() (string, error) {
	if c.CA == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "--ca: "+err.Error(), "it names a PEM file with the server's CA")
	}
	return string(text), nil
}

// joinedMembership is that of a node that joined.
func (p *program) joinedMembership(ctx context.Context, config *agentConfig, data *dataDirectory, identity *agent.Identity, log *slog.Logger) (membership, error) {
	config.Node.NodeOrg = identity.Organization()
	m := membership{name: identity.Name(), ca: identity.CA(), identity: identity,
		login: hosted.Exchanger{Username: identity.Name(), Pull: identity.PullToken}}
	var err error
	if m.client, err = identity.Client(log); err != nil {
		return membership{}, err
	}
	if m.keys, err = config.dataKeys(ctx, data, m.login); err != nil {
		return membership{}, err
	}
	if m.keys.None() {
		log.Warn("this node has no data key, so it opens no sealed login: it serves registries that name a secret or the node's identity", "hint", "give it the key of the organization's first node: --data-key FILE")
	}
	return m, nil
}

// dataKeys are those that --data-key names, else the node's own, if it made any.
func (c *agentConfig) dataKeys(ctx context.Context, data *dataDirectory, login hosted.Exchanger) (*agent.DataKeys, error) {
	problem := func(err error) error {
		return &pierhead.Problem{Kind: pierhead.ErrBadInput, Cause: err, Text: fmt.Sprintf("--data-key: %v", err),
			Hint: "it names agent/data-keys.pem of the organization's first node, or a secret with what is in that file"}
	}
	switch ref, err := secret.Parse(c.DataKey); {
	case c.DataKey == "":
		return agent.KeptDataKeys(data.in("agent", dataKeysFile))
	case err != nil || filepath.IsAbs(c.DataKey): // a path has no scheme
		path, err := filepath.Abs(c.DataKey)
		if err != nil {
			return nil, problem(err)
		}
		keys, err := agent.KeptDataKeys(path)
		if err == nil && keys.None() {
			err = fmt.Errorf("there is no file %s", path)
		}
		if err != nil {
			return nil, problem(err)
		}
		return keys, nil
	default:
		_, secrets, err := kinds(c.Node, login)
		if err != nil {
			return nil, err
		}
		value, err := secrets.Get(ctx, ref)
		if err != nil {
			return nil, problem(err)
		}
		keys, err := agent.GivenDataKeys(value.Reveal())
		if err != nil {
			return nil, problem(err)
		}
		return keys, nil
	}
}
