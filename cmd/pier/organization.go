package main

import (
	"context"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/api"
)

func (p *program) organizationCommand() *cobra.Command {
	show := func(o api.Organization) error {
		return p.print(o, func() string { return fields("Name", o.Name, "ID", o.ID, "Created", when(o.CreatedAt)) })
	}
	c := noun("org", "Organizations: who owns projects and registries",
		&cobra.Command{Use: "create NAME", Short: "Make an organization; you become its admin", Args: arguments("NAME"),
			Example: "  pier org create acme",
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				o, err := client.CreateOrganization(ctx, api.NewOrganization{Name: arguments[0]})
				if err != nil {
					return err
				}
				return show(o)
			})},
		&cobra.Command{Use: "list", Short: "List the organizations that you may see", Args: arguments(),
			RunE: p.call(func(ctx context.Context, client *api.Client, _ []string) error {
				list, err := client.Organizations(ctx)
				if err != nil {
					return err
				}
				return p.print(list, func() string {
					var rows [][]string
					for _, o := range list {
						rows = append(rows, []string{o.Name, o.ID, when(o.CreatedAt)})
					}
					return table([]string{"NAME", "ID", "CREATED"}, rows)
				})
			})},
		&cobra.Command{Use: "show NAME", Short: "Show an organization", Args: arguments("NAME"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				o, err := client.Organization(ctx, arguments[0])
				if err != nil {
					return err
				}
				return show(o)
			})},
		&cobra.Command{Use: "delete NAME", Short: "Delete an organization that owns nothing any more", Args: arguments("NAME"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				return client.DeleteOrganization(ctx, arguments[0])
			})},
	)
	c.Aliases = []string{"organization"}
	return c
}
