package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

func (p *program) explainCommand() *cobra.Command {
	var request api.ExplainRequest
	c := &cobra.Command{Use: "explain IMAGE", Short: "Which credential an image gets, and why", Args: arguments("IMAGE"),
		Long: `Tell which credential a pull of an image would use, and why: every candidate registry with the
rule that accepted or refused it, and the steps of precedence. A node answers, by the same code
that pulls; the credential's value is never shown.

With --door it is what one of a node's runtimes would get: Docker's helper (docker) is told the host
only, the kubelet's plugin (kubelet) and the mirror (mirror) host and repository. On a machine with
an agent, its own agent answers, also while the server is away; with --org or --project the server
asks one of that organization's nodes.`,
		Example: `  pier explain myregistry.azurecr.io/ml-training:v2.0 --project acme/vision
  pier explain --door docker quay.io/acme/app`}
	c.Flags().StringVar(&request.Door, "door", "", "docker, kubelet or mirror: as a node's runtime sees it")
	c.Flags().StringVar(&request.Project, "project", "", "as a project sees it, OWNER/NAME (PIER_PROJECT)")
	c.Flags().StringVar(&request.Organization, "org", "", "as an organization's node sees it that knows no project")
	c.RunE = func(c *cobra.Command, arguments []string) error {
		request.Image = arguments[0]
		if request.Door != "" && request.Project == "" && request.Organization == "" && p.mayAskAgent(c.Context()) {
			return p.explainHere(c.Context(), request)
		}
		return p.explainAtServer(c, request)
	}
	return c
}

// explainHere asks the agent of this machine what a door of its own would get.
func (p *program) explainHere(ctx context.Context, request api.ExplainRequest) error {
	reference, err := image.Parse(request.Image)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	if _, err := api.KnownAt(request.Door, reference); err != nil {
		return err
	}
	var e api.Explanation
	if err := p.askAgent(ctx, http.MethodPost, doors.PathExplain, doors.Ask{Door: doors.Door(request.Door), Image: request.Image}, &e); err != nil {
		return err
	}
	return p.print(e, func() string { return explanationText(e) })
}

// explainAtServer asks the server, which asks a node.
func (p *program) explainAtServer(c *cobra.Command, request api.ExplainRequest) error {
	return p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		if request.Project == "" && request.Door == "" { // what asks at a door names no project
			request.Project = p.env("PIER_PROJECT")
		}
		if request.Project == "" && request.Organization == "" {
			organization, err := p.organization(ctx, client, "")
			if err != nil {
				return err
			}
			request.Organization = organization
		}
		e, err := client.Explain(ctx, request)
		if err != nil {
			return err
		}
		return p.print(e, func() string { return explanationText(e) })
	})(c, nil)
}

func explanationText(e api.Explanation) string {
	var text strings.Builder
	whom := "no project"
	switch {
	case e.Project != "" && e.Personal:
		whom = e.Project + " (personal)"
	case e.Project != "":
		whom = e.Project
	case e.Organization != "":
		whom = e.Organization + ", no project"
	}
	text.WriteString(fields("Image", e.Image.Canonical, "Asked by", doorWords(doors.Door(e.Door)), "For", whom, "Answered by", e.From))
	fmt.Fprintf(&text, "\n%s\n", e.Sentence)
	if c := e.Credential; c != nil {
		expires := "does not expire by itself"
		if c.ExpiresAt != nil {
			expires = "expires " + when(*c.ExpiresAt)
		}
		from := c.Source
		if c.Principal != "" {
			from += ", as " + c.Principal
		}
		fmt.Fprintf(&text, "Credential: %s, for %s; %s.\n", from, strings.Join(c.Hosts, ", "), expires)
	}
	text.WriteString("\nPrecedence:\n")
	for _, step := range e.Steps {
		mark := " "
		if step.Taken {
			mark = ">"
		}
		fmt.Fprintf(&text, "%s %d. %s: %s\n", mark, step.Number, step.Name, step.Why)
	}
	if len(e.Candidates) > 0 {
		text.WriteString("\nCandidates:\n")
		for _, c := range e.Candidates {
			mark := "x"
			if c.Accepted {
				mark = ">"
			}
			fmt.Fprintf(&text, "%s %s  %s\n    %s: %s\n", mark, c.Registry, c.Pattern, c.Rule, c.Sentence)
		}
	}
	if e.Note != "" {
		fmt.Fprintf(&text, "\nNote: %s\n", e.Note)
	}
	if e.Hint != "" {
		fmt.Fprintf(&text, "\nHint: %s\n", e.Hint)
	}
	return text.String()
}
