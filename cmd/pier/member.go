package main

import (
	"context"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/api"
)

func (p *program) memberCommand() *cobra.Command {
	var organization, role string
	show := func(m api.Member) error {
		return p.print(m, func() string {
			return fields("Person", m.Person, "Organization", m.Organization, "Role", m.Role, "Since", when(m.CreatedAt))
		})
	}
	// in runs a verb with the organization that the flag means.
	in := func(do func(ctx context.Context, client *api.Client, organization string, arguments []string) error) func(*cobra.Command, []string) error {
		return p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
			name, err := p.organization(ctx, client, organization)
			if err != nil {
				return err
			}
			return do(ctx, client, name, arguments)
		})
	}
	create := &cobra.Command{Use: "create PERSON", Short: "Make a person a member, or change the role", Args: arguments("PERSON"),
		Example: "  pier member create alice --org acme\n  pier member create bob --org acme --role admin",
		RunE: in(func(ctx context.Context, client *api.Client, organization string, arguments []string) error {
			m, err := client.SetMember(ctx, organization, arguments[0], role)
			if err != nil {
				return err
			}
			return show(m)
		})}
	create.Flags().StringVar(&role, "role", "member", "admin or member")
	c := noun("member", "Members of an organization", create,
		&cobra.Command{Use: "list", Short: "List members", Args: arguments(),
			RunE: in(func(ctx context.Context, client *api.Client, organization string, _ []string) error {
				list, err := client.Members(ctx, organization)
				if err != nil {
					return err
				}
				return p.print(list, func() string {
					var rows [][]string
					for _, m := range list {
						rows = append(rows, []string{m.Person, m.Role, when(m.CreatedAt)})
					}
					return table([]string{"PERSON", "ROLE", "SINCE"}, rows)
				})
			})},
		&cobra.Command{Use: "show PERSON", Short: "Show a member", Args: arguments("PERSON"),
			RunE: in(func(ctx context.Context, client *api.Client, organization string, arguments []string) error {
				m, err := client.Member(ctx, organization, arguments[0])
				if err != nil {
					return err
				}
				return show(m)
			})},
		&cobra.Command{Use: "delete PERSON", Short: "End a membership", Args: arguments("PERSON"),
			RunE: in(func(ctx context.Context, client *api.Client, organization string, arguments []string) error {
				return client.DeleteMember(ctx, organization, arguments[0])
			})},
	)
	c.PersistentFlags().StringVar(&organization, "org", "", "the organization (PIER_ORG)")
	return c
}
