package main

import (
	"context"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/api"
)

func (p *program) projectCommand() *cobra.Command {
	show := func(project api.Project) error {
		return p.print(project, func() string {
			return fields("Project", project.FullName, "ID", project.ID, "Personal", yesNo(project.Personal), "Created", when(project.CreatedAt))
		})
	}
	var owner string
	list := &cobra.Command{Use: "list", Short: "List the projects that you may see", Args: arguments(),
		RunE: p.call(func(ctx context.Context, client *api.Client, _ []string) error {
			list, err := client.Projects(ctx, owner)
			if err != nil {
				return err
			}
			return p.print(list, func() string {
				var rows [][]string
				for _, project := range list {
					rows = append(rows, []string{project.FullName, yesNo(project.Personal), when(project.CreatedAt)})
				}
				return table([]string{"PROJECT", "PERSONAL", "CREATED"}, rows)
			})
		})}
	list.Flags().StringVar(&owner, "owner", "", "only those of an organization or person")
	return noun("project", "Projects: what executions belong to",
		&cobra.Command{Use: "create OWNER/NAME", Short: "Make a project of an organization, or a personal one", Args: arguments("OWNER/NAME"),
			Example: "  pier project create acme/vision     # sees acme's registries\n  pier project create alice/sandbox   # personal: sees none",
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				owner, name, err := splitProject(arguments[0])
				if err != nil {
					return err
				}
				project, err := client.CreateProject(ctx, api.NewProject{Owner: owner, Name: name})
				if err != nil {
					return err
				}
				return show(project)
			})},
		list,
		&cobra.Command{Use: "show OWNER/NAME", Short: "Show a project", Args: arguments("OWNER/NAME"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				owner, name, err := splitProject(arguments[0])
				if err != nil {
					return err
				}
				project, err := client.Project(ctx, owner, name)
				if err != nil {
					return err
				}
				return show(project)
			})},
		&cobra.Command{Use: "delete OWNER/NAME", Short: "Delete a project", Args: arguments("OWNER/NAME"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				owner, name, err := splitProject(arguments[0])
				if err != nil {
					return err
				}
				return client.DeleteProject(ctx, owner, name)
			})},
	)
}
