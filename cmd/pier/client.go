package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// client connects to the context's server.
func (p *program) client() (*api.Client, error) {
	_, c, err := p.connection()
	if err != nil {
		return nil, err
	}
	return clientOf(c)
}

func clientOf(c clientContext) (*api.Client, error) {
	config := api.ClientConfig{URL: c.Server, Token: c.Token, UserAgent: "pier/" + version}
	if c.CA != "" {
		config.CAs = x509.NewCertPool()
		if !config.CAs.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, "the server's CA is no PEM certificate", "see the file that PIER_CA names, or the ca in the contexts")
		}
	}
	return api.NewClient(config)
}

// noun makes the command that groups a noun's verbs.
func noun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short}
	c.AddCommand(verbs...)
	return c
}

// call makes the RunE of a command that needs the server.
func (p *program) call(do func(ctx context.Context, client *api.Client, arguments []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, arguments []string) error {
		client, err := p.client()
		if err != nil {
			return err
		}
		defer client.CloseIdle()
		return do(c.Context(), client, arguments)
	}
}

// commands are all of pier's, in the order of its help.
func (p *program) commands() []*cobra.Command {
	return []*cobra.Command{
		p.upCommand(), p.serverCommand(), p.agentCommand(), p.runCommand(), p.executionCommand(), p.explainCommand(), p.registryCommand(), p.applyCommand(),
		p.organizationCommand(), p.projectCommand(), p.memberCommand(), p.personCommand(), p.tokenCommand(), p.nodeCommand(), p.secretCommand(), p.exportCommand(),
		p.auditCommand(), p.eventCommand(), p.whoamiCommand(), p.versionCommand(),
	}
}

// organization is --org, or the only one that the caller is a member of.
func (p *program) organization(ctx context.Context, client *api.Client, flag string) (string, error) {
	if flag == "" {
		flag = p.env("PIER_ORG")
	}
	if flag != "" {
		return flag, nil
	}
	list, err := client.Organizations(ctx)
	if err != nil {
		return "", err
	}
	if len(list) == 1 {
		return list[0].Name, nil
	}
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	if len(names) == 0 {
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "there is no organization yet that you may see", "make one: pier org create NAME")
	}
	return "", pierhead.NewProblem(pierhead.ErrBadInput, "which organization? You see "+strings.Join(names, ", "), "say --org NAME, or set PIER_ORG")
}

// splitProject takes "<owner>/<name>" apart.
func splitProject(text string) (owner, name string, err error) {
	owner, name, ok := strings.Cut(text, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return "", "", pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%q is not of the form OWNER/PROJECT", text),
			"the owner is an organization, or a person")
	}
	return owner, name, nil
}
