package main

import (
	"context"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/api"
)

func (p *program) personCommand() *cobra.Command {
	show := func(person api.Person) error {
		return p.print(person, func() string {
			return fields("Name", person.Name, "ID", person.ID, "Administrator", yesNo(person.Admin), "Created", when(person.CreatedAt))
		})
	}
	var admin bool
	create := &cobra.Command{Use: "create NAME", Short: "Make a person", Args: arguments("NAME"),
		Example: "  pier person create alice\n  pier token create laptop --person alice",
		RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
			person, err := client.CreatePerson(ctx, api.NewPerson{Name: arguments[0], Admin: admin})
			if err != nil {
				return err
			}
			return show(person)
		})}
	create.Flags().BoolVar(&admin, "admin", false, "administers the installation: makes persons and organizations")
	return noun("person", "Persons of this installation",
		create,
		&cobra.Command{Use: "list", Short: "List persons", Args: arguments(),
			RunE: p.call(func(ctx context.Context, client *api.Client, _ []string) error {
				list, err := client.Persons(ctx)
				if err != nil {
					return err
				}
				return p.print(list, func() string {
					var rows [][]string
					for _, person := range list {
						rows = append(rows, []string{person.Name, yesNo(person.Admin), when(person.CreatedAt)})
					}
					return table([]string{"NAME", "ADMIN", "CREATED"}, rows)
				})
			})},
		&cobra.Command{Use: "show NAME", Short: "Show a person", Args: arguments("NAME"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				person, err := client.Person(ctx, arguments[0])
				if err != nil {
					return err
				}
				return show(person)
			})},
		&cobra.Command{Use: "delete NAME", Short: "Delete a person; the person's tokens end at once", Args: arguments("NAME"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				return client.DeletePerson(ctx, arguments[0])
			})},
	)
}
