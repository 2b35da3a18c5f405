package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

func (p *program) nodeCommand() *cobra.Command {
	var org string
	c := noun("node", "Nodes: machines with an agent, which pull and run", p.nodeTokenCommand(&org),
		&cobra.Command{Use: "list", Short: "List an organization's nodes", Args: arguments(),
			RunE: p.callOrg(&org, func(ctx context.Context, client *api.Client, org string, _ []string) error {
				list, err := client.Nodes(ctx, org)
				if err != nil {
					return err
				}
				return p.print(list, func() string {
					var rows [][]string
					for _, n := range list {
						rows = append(rows, []string{n.Name, servesWhom(n), n.Version, whenOr(n.LastSeenAt, "never"), when(n.CreatedAt)})
					}
					return table([]string{"NAME", "SERVES", "VERSION", "LAST SEEN", "JOINED"}, rows)
				})
			})},
		&cobra.Command{Use: "show NODE", Short: "Show a node", Args: arguments("NODE"),
			RunE: p.callOrg(&org, func(ctx context.Context, client *api.Client, org string, arguments []string) error {
				n, err := client.Node(ctx, org, arguments[0])
				if err != nil {
					return err
				}
				return p.print(n, func() string {
					return fields("Name", n.Name, "ID", n.ID, "Serves", servesWhom(n), "Version", n.Version, "Last seen", whenOr(n.LastSeenAt, "never"), "Joined", when(n.CreatedAt))
				})
			})},
		p.nodeRevokeCommand(&org), p.nodeStatusCommand(), p.nodeSetupCommand(&org))
	c.PersistentFlags().StringVar(&org, "org", "", "organization (PIER_ORG)")
	return c
}

// servesWhom is a node's organization, or that it serves all.
func servesWhom(n api.Node) string {
	if n.Organization == "" {
		return "all (pier up)"
	}
	return n.Organization
}

// callOrg is call for commands about one organization.
func (p *program) callOrg(flag *string, do func(ctx context.Context, client *api.Client, org string, arguments []string) error) func(*cobra.Command, []string) error {
	return p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
		org, err := p.organization(ctx, client, *flag)
		if err != nil {
			return err
		}
		return do(ctx, client, org, arguments)
	})
}

func (p *program) nodeRevokeCommand(org *string) *cobra.Command {
	return &cobra.Command{Use: "revoke NODE", Short: "End a node at once; its executions count as failed", Args: arguments("NODE"),
		Long: `End a node at once: its key counts for nothing any more, and its executions count as failed. What it
has already is not taken from it: change the secrets that it could read, where it is in wrong hands.`,
		Example: "  pier node revoke gpu-1 --org acme",
		RunE: p.callOrg(org, func(ctx context.Context, client *api.Client, org string, arguments []string) error {
			r, err := client.RevokeNode(ctx, org, arguments[0])
			if err != nil {
				return err
			}
			return p.print(r, func() string { return revocationText(r) })
		})}
}

func revocationText(r api.Revocation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Revoked node %s of %s\n", r.Node.Name, r.Node.Organization)
	if len(r.Executions) > 0 {
		fmt.Fprintf(&b, "Lost with it, and failed: %s\n", strings.Join(r.Executions, ", "))
	}
	for _, key := range r.LostKeys {
		fmt.Fprintf(&b, "Nobody else has its data key %s", key.ID)
		if len(key.Registries) > 0 {
			fmt.Fprintf(&b, "; type in again the logins of: %s", strings.Join(key.Registries, ", "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (p *program) nodeTokenCommand(org *string) *cobra.Command {
	var name string
	var expires time.Duration
	create := &cobra.Command{Use: "create", Short: "Make a join token: it makes one node, once", Args: arguments(),
		Long: `Make a join token for "pier agent": it makes one node of the organization, once, and is of no other
use. Its text goes to stdout, this once. pier token list shows the tokens that were not used yet, and
pier token delete ends one.`,
		Example: "  pier node token create --org acme --name gpu-1 >token\n  pier agent --server https://pier.example.com:7070 --join-file token",
		RunE: p.callOrg(org, func(ctx context.Context, client *api.Client, org string, _ []string) error {
			if expires <= 0 {
				return pierhead.NewProblem(pierhead.ErrBadInput, "--expires lies in the past", "say how long the token lives, such as 1h")
			}
			at := time.Now().Add(expires)
			t, err := client.CreateJoinToken(ctx, org, api.NewJoinToken{Name: name, ExpiresAt: &at})
			if err != nil {
				return err
			}
			if p.format == "text" {
				p.note("%s", fields("ID", t.ID, "Organization", t.Organization, "Node", t.Name, "Expires", whenOr(t.ExpiresAt, "never"))+"The token is shown this once:")
			}
			return p.print(t, func() string { return t.Text + "\n" })
		})}
	create.Flags().DurationVar(&expires, "expires", time.Hour, "how long it lives, at most 720h")
	create.Flags().StringVar(&name, "name", "", "what the node will be called; its agent says it where empty")
	return noun("token", "Join tokens", create)
}
