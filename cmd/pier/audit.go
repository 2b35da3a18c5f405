package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead/api"
)

func (p *program) auditCommand() *cobra.Command {
	var filter api.AuditFilter
	list := &cobra.Command{Use: "list", Short: "List who did what, newest first", Args: arguments(),
		Example: "  pier audit list --org acme --action registry.\n  pier audit list --caller alice --outcome refused"}
	flags := list.Flags()
	flags.StringVar(&filter.Organization, "org", "", "only of an organization")
	flags.StringVar(&filter.Caller, "caller", "", "only of a caller: alice, robot:ci, node:local")
	flags.StringVar(&filter.Action, "action", "", `only an action, such as registry.create, or a noun's with its dot: "registry."`)
	flags.StringVar(&filter.Object, "object", "", "only on an object")
	flags.StringVar(&filter.Outcome, "outcome", "", "only ok, refused or failed")
	flags.IntVar(&filter.Limit, "limit", 50, "how many at most; 0: all")
	list.RunE = p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		entries, err := pages(filter.Limit, func(e api.AuditEntry) string { return e.ID }, func(before string, size int) ([]api.AuditEntry, error) {
			page := filter
			page.Before, page.Limit = before, size
			return client.Audit(ctx, page)
		})
		if err != nil {
			return err
		}
		return p.print(entries, func() string {
			var rows [][]string
			for _, e := range entries {
				rows = append(rows, []string{when(e.At), e.Caller, e.Action, e.Object, e.Outcome, details(e.Detail)})
			}
			return table([]string{"AT", "CALLER", "ACTION", "OBJECT", "OUTCOME", "DETAIL"}, rows)
		})
	})
	return noun("audit", "The audit log: who did what", list)
}

func (p *program) eventCommand() *cobra.Command {
	var organization string
	var filter api.EventFilter
	list := &cobra.Command{Use: "list", Short: "List what happened on the nodes, newest first", Args: arguments(),
		Example: "  pier event list --org acme --kind pull.failed"}
	list.Flags().StringVar(&organization, "org", "", "the organization (PIER_ORG)")
	list.Flags().StringVar(&filter.Kind, "kind", "", "only one kind: credential.used, credential.refused, pull.anonymous, pull.failed")
	list.Flags().StringVar(&filter.ExecutionID, "execution", "", "only of an execution")
	list.Flags().IntVar(&filter.Limit, "limit", 50, "how many at most; 0: all")
	list.RunE = p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		name, err := p.organization(ctx, client, organization)
		if err != nil {
			return err
		}
		events, err := pages(filter.Limit, func(e api.Event) string { return e.ID }, func(before string, size int) ([]api.Event, error) {
			page := filter
			page.Before, page.Limit = before, size
			return client.Events(ctx, name, page)
		})
		if err != nil {
			return err
		}
		return p.print(events, func() string {
			var rows [][]string
			for _, e := range events {
				rows = append(rows, []string{when(e.At), e.Kind, e.Image, e.Registry, e.ExecutionID, details(e.Detail)})
			}
			return table([]string{"AT", "KIND", "IMAGE", "REGISTRY", "EXECUTION", "DETAIL"}, rows)
		})
	})
	return noun("event", "Events: what happened on the nodes", list)
}

// details is k=v pairs in the order of their keys.
func details(detail map[string]string) string {
	var pairs []string
	for key, value := range detail {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}
