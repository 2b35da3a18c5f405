package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

func (p *program) applyCommand() *cobra.Command {
	var file string
	var noTest bool
	c := &cobra.Command{Use: "apply -f FILE", Short: "Make organizations, projects and registries as a file says", Args: arguments(),
		Long: `Make or change what a YAML or JSON file says; "-" is standard input. Documents are applied in
order, each whole or not at all. A registry in a file replaces the one of that name.`,
		Example: `  pier apply -f registries.yaml

  kind: Registry
  organization: acme
  name: azure-ml
  match: [myregistry.azurecr.io/*]
  credential: {secret: file:azure-ml}`}
	c.Flags().StringVarP(&file, "filename", "f", "", "the file")
	c.Flags().BoolVar(&noTest, "no-test", false, "save registries without having a node prove their logins")
	c.RunE = p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		if file == "" {
			return pierhead.NewProblem(pierhead.ErrBadInput, "which file?", "say -f FILE, or -f - for standard input")
		}
		in := p.in
		if file != "-" {
			opened, err := os.Open(file)
			if err != nil {
				return pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "-f names the file to apply, or - for standard input")
			}
			defer opened.Close()
			in = opened
		}
		objects, err := api.DecodeFile(in)
		if err != nil {
			return err
		}
		if noTest {
			client = client.Untested()
		}
		return p.applyObjects(ctx, client, objects)
	})
	return c
}

// An applied is what apply did with one object.
type applied struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`   // with its owner, where it has one
	Action string `json:"action"` // created, updated or unchanged
}

// applyObjects goes from one object to the next, and tells of each as soon as it is done; as JSON, of all of them at the
// end, which may be an error.
func (p *program) applyObjects(ctx context.Context, client *api.Client, objects []api.Object) (err error) {
	done := []applied{}
	for _, o := range objects {
		var one applied
		if one, err = p.applyObject(ctx, client, o); err != nil {
			err = fmt.Errorf("line %d: %w", o.Line, err)
			break
		}
		if done = append(done, one); p.format != "json" {
			fmt.Fprintln(p.out, one.Kind, one.Name, one.Action)
		}
	}
	if p.format == "json" && (err == nil || len(done) > 0) {
		err = errors.Join(err, p.print(done, nil))
	}
	return err
}

// applyObject makes one object, or brings the existing one to what it says.
func (p *program) applyObject(ctx context.Context, client *api.Client, o api.Object) (applied, error) {
	switch {
	case o.Organization != nil:
		_, err := client.CreateOrganization(ctx, *o.Organization)
		return created(applied{Kind: "organization", Name: o.Organization.Name}, err, func() error {
			_, err := client.Organization(ctx, o.Organization.Name)
			return err
		})
	case o.Project != nil:
		_, err := client.CreateProject(ctx, *o.Project)
		return created(applied{Kind: "project", Name: o.Project.Owner + "/" + o.Project.Name}, err, func() error {
			_, err := client.Project(ctx, o.Project.Owner, o.Project.Name)
			return err
		})
	}
	r := *o.Registry
	organization, err := p.organization(ctx, client, r.Organization)
	if err != nil {
		return applied{}, err
	}
	p.warnOf(r)
	one := applied{"registry", organization + "/" + r.Name, "updated"}
	_, err = client.Registry(ctx, organization, r.Name)
	if errors.Is(err, pierhead.ErrNotFound) {
		one.Action = "created"
		_, err = client.CreateRegistry(ctx, organization, r)
		return one, err
	}
	if err != nil {
		return applied{}, err
	}
	_, err = client.UpdateRegistry(ctx, organization, r)
	return one, err
}

// created takes "exists already" for what was asked for, when it is that which exists: a person or something deleted may
// have the name.
func created(what applied, err error, look func() error) (applied, error) {
	what.Action = "created"
	if errors.Is(err, pierhead.ErrConflict) && look() == nil {
		what.Action = "unchanged"
		return what, nil
	}
	return what, err
}
