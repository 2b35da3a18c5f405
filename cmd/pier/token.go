package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

func (p *program) tokenCommand() *cobra.Command {
	return noun("token", "Tokens: what people, robots and docker login authenticate with",
		p.tokenCreateCommand(),
		&cobra.Command{Use: "list", Short: "List your tokens, and the robots' of your organizations", Args: arguments(),
			RunE: p.call(func(ctx context.Context, client *api.Client, _ []string) error {
				list, err := client.Tokens(ctx)
				if err != nil {
					return err
				}
				return p.print(list, func() string {
					var rows [][]string
					for _, t := range list {
						rows = append(rows, []string{t.ID, t.Kind, t.Name, t.Person, t.Organization, yesNo(t.ReadOnly), whenOr(t.ExpiresAt, "never"), whenOr(t.LastUsedAt, "never")})
					}
					return table([]string{"ID", "KIND", "NAME", "PERSON", "ORG", "READ-ONLY", "EXPIRES", "LAST USED"}, rows)
				})
			})},
		&cobra.Command{Use: "show ID", Short: "Show what is known of a token; its text was shown once", Args: arguments("ID"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				t, err := client.Token(ctx, arguments[0])
				if err != nil {
					return err
				}
				return p.print(t, func() string { return tokenFields(t) })
			})},
		&cobra.Command{Use: "delete ID", Short: "Revoke a token; it ends at once", Args: arguments("ID"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				return client.DeleteToken(ctx, arguments[0])
			})},
	)
}

func (p *program) tokenCreateCommand() *cobra.Command {
	var person, robot string
	var expires time.Duration
	var readOnly bool
	c := &cobra.Command{Use: "create NAME", Short: "Make a token of your own, or a robot's of an organization", Args: arguments("NAME"),
		Long: `Make a token of your own, or with --robot one for a robot of an organization.

The token's text goes to stdout, this once. It is the password for docker login: the user
name is yours, or the robot's.`,
		Example: "  pier token create laptop --expires 2160h\n  pier token create ci --robot acme --read-only\n  pier token create laptop | podman login 127.0.0.1:7070 -u alice --password-stdin",
		RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
			request := api.NewToken{Name: arguments[0], Person: person, Organization: robot, ReadOnly: readOnly}
			if expires < 0 {
				return pierhead.NewProblem(pierhead.ErrBadInput, "--expires lies in the past", "say how long the token lives, such as 720h")
			}
			if expires > 0 {
				at := time.Now().Add(expires)
				request.ExpiresAt = &at
			}
			t, err := client.CreateToken(ctx, request)
			if err != nil {
				return err
			}
			if p.format == "text" {
				p.note("%s", tokenFields(t.Token)+"The token is shown this once:")
			}
			return p.print(t, func() string { return t.Text + "\n" })
		})}
	c.Flags().DurationVar(&expires, "expires", 0, "how long it lives, such as 720h; 0: until it is deleted")
	c.Flags().BoolVar(&readOnly, "read-only", false, "it may change nothing")
	c.Flags().StringVar(&robot, "robot", "", "organization whose robot NAME it is for, instead of yourself")
	c.Flags().StringVar(&person, "person", "", "whose it is: an administrator makes a new person's first token")
	return c
}

func tokenFields(t api.Token) string {
	return fields("ID", t.ID, "Kind", t.Kind, "Name", t.Name, "Person", t.Person, "Organization", t.Organization,
		"Read-only", yesNo(t.ReadOnly), "Expires", whenOr(t.ExpiresAt, "never"), "Last used", whenOr(t.LastUsedAt, "never"), "Created", when(t.CreatedAt))
}

// whenOr is when for times that may be absent.
func whenOr(t *time.Time, absent string) string {
	if t == nil {
		return absent
	}
	return when(*t)
}

func (p *program) whoamiCommand() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Show whom your token stands for", Args: arguments(),
		RunE: p.call(func(ctx context.Context, client *api.Client, _ []string) error {
			me, err := client.Whoami(ctx)
			if err != nil {
				return err
			}
			return p.print(me, func() string {
				text := fields("Name", me.Name, "Kind", me.Kind, "Server", client.URL(), "Administrator", yesNo(me.Admin), "Read-only", yesNo(me.ReadOnly))
				for _, m := range me.Memberships {
					text += fmt.Sprintf("%s of %s\n", m.Role, m.Organization)
				}
				return text
			})
		})}
}
