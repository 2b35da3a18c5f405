package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/ids"
)

func (p *program) registryCommand() *cobra.Command {
	f := new(registryFlags)
	c := noun("registry", "Registries: where an organization's images live, and how to reach them",
		p.registryAddCommand(f), p.registryUpdateCommand(f), p.registryListCommand(f), p.registryShowCommand(f), p.registryTestCommand(f), p.registryRemoveCommand(f), p.registryCollectCommand())
	c.PersistentFlags().StringVar(&f.organization, "org", "", "the organization (PIER_ORG)")
	return c
}

func (p *program) registryAddCommand(f *registryFlags) *cobra.Command {
	c := &cobra.Command{Use: "add NAME", Short: "Add a registry", Args: arguments("NAME"),
		Long: `Add a registry: match patterns say which images it covers, a credential how to log in.

A credential is named, not given: --secret says where the nodes find it. Or it is typed in with
--username and --password-stdin: then pier seals it to the nodes' data key before it leaves this
machine, bound to the literal hosts of --match. Nobody can read it back. With --identity node
the login is made of the identity that a node has in its cloud.

A node proves the login before it is saved, by asking for an image and, as a control, for the same
with a made-up login. When the registry refuses it nothing is saved (exit code 7); --no-test skips
this. Without a node it is saved, and the first node checks it.`,
		Example: `  pier registry add azure-ml --match 'myregistry.azurecr.io/*' --secret file:azure-ml
  pier registry add ecr --match '*.dkr.ecr.*.amazonaws.com/*' --identity node
  pier registry add quay --match 'quay.io/acme/*' --username acme+robot --password-stdin < token
  pier registry add lab --match '10.0.0.7:5000/*' --plain-http --private-network 10.0.0.0/24`}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		if len(f.match) == 0 {
			return pierhead.NewProblem(pierhead.ErrBadInput, "which images does the registry cover?", "say --match HOST/PATH/*, for example --match 'myregistry.azurecr.io/*'")
		}
		return p.saveRegistry(c, f, func(_ context.Context, _ *api.Client, organization string) (api.Registry, error) {
			return api.Registry{ID: ids.New("reg"), Organization: organization, Name: arguments[0]}, nil
		}, (*api.Client).CreateRegistry)
	}
	f.register(c)
	return c
}

func (p *program) registryUpdateCommand(f *registryFlags) *cobra.Command {
	c := &cobra.Command{Use: "update NAME", Short: "Change a registry: only what is given changes", Args: arguments("NAME"),
		Example: "  pier registry update azure-ml --projects vision,speech\n  pier registry update quay --username acme+robot2 --password-stdin < token"}
	c.RunE = func(c *cobra.Command, arguments []string) error {
		return p.saveRegistry(c, f, func(ctx context.Context, client *api.Client, organization string) (api.Registry, error) {
			return client.Registry(ctx, organization, arguments[0])
		}, (*api.Client).UpdateRegistry)
	}
	f.register(c)
	return c
}

// saveRegistry is what add and update share: read the flags, seal a typed-in login, send, show.
func (p *program) saveRegistry(c *cobra.Command, f *registryFlags, begin func(context.Context, *api.Client, string) (api.Registry, error), save func(*api.Client, context.Context, string, api.Registry) (api.Registry, error)) error {
	ctx := c.Context()
	if err := f.check(); err != nil {
		return err
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	if f.noTest {
		client = client.Untested()
	}
	organization, err := p.organization(ctx, client, f.organization)
	if err != nil {
		return err
	}
	r, err := begin(ctx, client, organization)
	if err != nil {
		return err
	}
	before := r
	if err := f.apply(c, &r); err != nil {
		return err
	}
	switch {
	case f.username != "":
		err = p.seal(ctx, client, f, &r)
	case r.Credential.Sealed != nil && bindingChanged(before, r):
		err = pierhead.NewProblem(pierhead.ErrBadInput, "the sealed login is bound to the type and hosts that it was typed in for, and these would change",
			"type it in again: --username NAME --password-stdin")
	}
	if err != nil {
		return err
	}
	p.warnOf(r)
	saved, err := save(client, ctx, organization, r)
	if err != nil {
		return err
	}
	if r.Type == "" {
		p.note("The type is %s, inferred from the hosts of its patterns.", saved.Type)
	}
	p.noteCheck(saved, f.noTest)
	return p.showRegistry(saved)
}

// noteCheck says what became of the proof of a registry that was just saved.
func (p *program) noteCheck(saved api.Registry, noTest bool) {
	hasLogin := saved.Credential != api.Credential{}
	switch {
	case !hasLogin || noTest || saved.Enabled != nil && !*saved.Enabled:
	case saved.Check == nil:
		p.note("Saved unchecked: no node answered. The first node that does checks it.")
	case saved.Check.Result == string(pierhead.CheckUnproved):
		p.note("Saved, and unproved: %s.", saved.Check.Reason)
		if saved.Check.Hint != "" {
			p.note("Hint: %s", saved.Check.Hint)
		}
	default:
		p.note("Proved by node %s: %s.", saved.Check.Node, saved.Check.Reason)
	}
}

// warnOf tells of patterns that are right but probably not what was meant, and of what helper: whole-host gives away.
func (p *program) warnOf(r api.Registry) {
	if r.Helper == string(pierhead.HelperWholeHost) {
		where := "its hosts"
		if hosts, all := image.LiteralHosts(r.Match); all {
			where = strings.Join(hosts, " and ")
		}
		p.note("Warning: with helper: whole-host the login is lent to whoever may ask at a node's socket, for every image of %s, also for those that the registry does not cover.", where)
	}
	for _, text := range r.Match {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			continue // the server refuses it, with the reason
		}
		for _, warning := range pattern.Warnings() {
			p.note("Warning: %s", warning)
		}
	}
}

func (p *program) registryListCommand(f *registryFlags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List an organization's registries", Args: arguments(),
		RunE: p.call(func(ctx context.Context, client *api.Client, _ []string) error {
			organization, err := p.organization(ctx, client, f.organization)
			if err != nil {
				return err
			}
			list, err := client.Registries(ctx, organization)
			if err != nil {
				return err
			}
			return p.print(list, func() string {
				var rows [][]string
				for _, r := range list {
					rows = append(rows, []string{r.Name, r.Type, yesNo(r.Enabled == nil || *r.Enabled), strings.Join(r.Match, " "), credentialWords(r), checkWords(r.Check)})
				}
				return table([]string{"NAME", "TYPE", "ENABLED", "MATCH", "CREDENTIAL", "CHECK"}, rows)
			})
		})}
}

func (p *program) registryShowCommand(f *registryFlags) *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a registry; its credential is named, never shown", Args: arguments("NAME"),
		RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
			organization, err := p.organization(ctx, client, f.organization)
			if err != nil {
				return err
			}
			r, err := client.Registry(ctx, organization, arguments[0])
			if err != nil {
				return err
			}
			return p.showRegistry(r)
		})}
}

func (p *program) registryRemoveCommand(f *registryFlags) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{Use: "rm NAME", Aliases: []string{"delete"}, Short: "Remove a registry from Pierhead; its images stay where they are", Args: arguments("NAME"),
		Long: `Remove a registry from Pierhead; its images stay where they are. What loses access is listed:
with --dry-run it is only listed.`,
		Example: "  pier registry rm azure-ml --dry-run\n  pier registry rm azure-ml"}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would lose access")
	c.RunE = p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
		organization, err := p.organization(ctx, client, f.organization)
		if err != nil {
			return err
		}
		reach, err := client.RegistryReach(ctx, organization, arguments[0])
		if err != nil {
			return err
		}
		title := "Would be removed"
		if !dryRun {
			title = "Removed"
			if err := client.DeleteRegistry(ctx, organization, arguments[0]); err != nil {
				return err
			}
		}
		return p.print(reach, func() string { return reachText(title, organization, reach) })
	})
	return c
}

// reachText says what loses access without a registry.
func reachText(title, organization string, reach api.RegistryReach) string {
	used := fmt.Sprintf("by no execution in the last %d days", reach.Days)
	if reach.Executions > 0 {
		used = fmt.Sprintf("by %d executions in the last %d days, of %s", reach.Executions, reach.Days, strings.Join(reach.UsedBy, " "))
	}
	return fields(title, organization+"/"+reach.Registry, "Covered", strings.Join(reach.Match, " "), "Open to", projectWords(reach.Projects),
		"Used", used, "Last used", whenOr(reach.LastUsedAt, ""))
}

func (p *program) showRegistry(r api.Registry) error {
	return p.print(r, func() string {
		return fields("Registry", r.Organization+"/"+r.Name, "ID", r.ID, "Type", r.Type, "Enabled", yesNo(r.Enabled == nil || *r.Enabled),
			"Match", strings.Join(r.Match, " "), "Credential", credentialWords(r), "When refused", r.WhenRefused, "Projects", projectWords(r.Projects),
			"Plain HTTP", yesNo(r.PlainHTTP), "CA", caWords(r.CA), "Realms", strings.Join(r.Realms, " "),
			"Private networks", strings.Join(r.PrivateNetworks, " "), "Proxy", r.Proxy, "Sample", r.Sample, "Makes repositories", createWords(r), "Helper", r.Helper, "Check", checkWords(r.Check),
			"Finding", finding(r.Check), "Updated", whenOr(r.UpdatedAt, ""))
	})
}

func createWords(r api.Registry) string {
	if r.Type != string(pierhead.RegistryECR) {
		return ""
	}
	return yesNo(r.CreateRepositories)
}

// checkWords is what was found and when, "" where no node has looked.
func checkWords(c *api.Check) string {
	if c == nil {
		return ""
	}
	return c.Result + " " + when(c.At) + " by node " + c.Node
}

func finding(c *api.Check) string {
	if c == nil {
		return ""
	}
	return c.Reason
}

func (p *program) registryTestCommand(f *registryFlags) *cobra.Command {
	var image string
	c := &cobra.Command{Use: "test NAME", Short: "Have a node prove a registry's login", Args: arguments("NAME"),
		Long: `Have a node prove a registry's login: it asks for the manifest of an image with the login, without
one, and with a made-up one. The image is --image, else the registry's sample, else the one pulled
last under its patterns, else the repository that a pattern names.

What is found is kept on the registry. A login that is refused, or that cannot be tried, ends this
command with exit code 7. Asked again within a minute, it tells what was found before.`,
		Example: "  pier registry test azure-ml\n  pier registry test azure-ml --image myregistry.azurecr.io/ml-training:v2.0",
		RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
			organization, err := p.organization(ctx, client, f.organization)
			if err != nil {
				return err
			}
			check, err := client.TestRegistry(ctx, organization, arguments[0], image)
			if err != nil {
				return err
			}
			if err := p.print(check, func() string {
				return fields("Check", checkWords(&check), "Image", check.Image, "Finding", check.Reason)
			}); err != nil {
				return err
			}
			switch pierhead.CheckResult(check.Result) {
			case pierhead.CheckRefused, pierhead.CheckFailed:
				return pierhead.NewProblem(pierhead.ErrPull, "the login of registry "+organization+"/"+arguments[0]+" is not proved: the check was "+check.Result, check.Hint)
			}
			if check.Hint != "" {
				p.note("Hint: %s", check.Hint)
			}
			return nil
		})}
	c.Flags().StringVar(&image, "image", "", "what to ask for")
	return c
}

func credentialWords(r api.Registry) string {
	words := "none"
	switch {
	case r.Credential.Secret != "":
		words = "secret " + r.Credential.Secret
	case r.Credential.Sealed != nil:
		words = fmt.Sprintf("sealed to key %s for %s", r.Credential.Sealed.KeyID, strings.Join(r.Credential.Sealed.Hosts, " "))
	case r.Credential.Identity != "":
		words = "the node's identity"
	case r.Type == string(pierhead.RegistryHosted):
		words = "the node's own"
	}
	if r.Credential.AssumeRole != "" {
		words += ", as " + r.Credential.AssumeRole
	}
	if r.Credential.Impersonate != "" {
		words += ", as " + r.Credential.Impersonate
	}
	return words
}

func projectWords(projects *api.Projects) string {
	switch {
	case projects == nil || projects.All:
		return "all"
	case len(projects.Names) == 0:
		return "none"
	}
	return strings.Join(projects.Names, " ")
}

func caWords(pem string) string {
	if pem == "" {
		return ""
	}
	return fmt.Sprintf("%d bytes of PEM", len(pem))
}
