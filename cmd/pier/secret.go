package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

func (p *program) secretCommand() *cobra.Command {
	var organization, person string
	// of runs a verb with the owner that the flags mean.
	of := func(do func(ctx context.Context, client *api.Client, owner string, arguments []string) error) func(*cobra.Command, []string) error {
		return p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
			owner := person
			var err error
			switch {
			case person != "" && organization != "":
				return pierhead.NewProblem(pierhead.ErrBadInput, "--org and --person exclude each other", "say one of them")
			case person == "":
				owner, err = p.organization(ctx, client, organization)
			}
			if err != nil {
				return err
			}
			return do(ctx, client, owner, arguments)
		})
	}
	list := &cobra.Command{Use: "list", Short: "List the beginnings of references that may be named", Args: arguments(),
		RunE: of(func(ctx context.Context, client *api.Client, owner string, _ []string) error {
			prefixes, err := client.AllowedSecrets(ctx, owner)
			if err != nil {
				return err
			}
			return p.print(prefixes, func() string { return strings.Join(append(prefixes, ""), "\n") })
		})}
	allow := &cobra.Command{Use: "allow PREFIX", Short: "Let members name secrets under a prefix", Args: arguments("PREFIX"),
		Example: "  pier secret allow vault:secret/team-a --org acme\n  pier secret allow arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-a --org acme\n  pier secret allow file:hub --person alice",
		RunE: of(func(ctx context.Context, client *api.Client, owner string, arguments []string) error {
			return client.AllowSecret(ctx, owner, arguments[0])
		})}
	disallow := &cobra.Command{Use: "disallow PREFIX", Short: "Take such a prefix back", Args: arguments("PREFIX"),
		RunE: of(func(ctx context.Context, client *api.Client, owner string, arguments []string) error {
			return client.DisallowSecret(ctx, owner, arguments[0])
		})}
	c := noun("secret", "Secrets that members may name as registry_login_secret", list, allow, disallow)
	c.Long = `Which secrets members may name as registry_login_secret.

An organization's admins may name any secret. Its members may name those under a prefix that an
admin allowed, by whole segments: vault:secret/team-a covers vault:secret/team-a/hub and not
vault:secret/team-ab. For a person's own projects an administrator of the installation allows them.`
	c.PersistentFlags().StringVar(&organization, "org", "", "the organization (PIER_ORG)")
	c.PersistentFlags().StringVar(&person, "person", "", "a person, for personal projects")
	return c
}
