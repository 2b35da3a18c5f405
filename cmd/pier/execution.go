package main

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

func (p *program) executionCommand() *cobra.Command {
	c := noun("execution", "Executions: runs of one container to its end",
		p.executionListCommand(),
		&cobra.Command{Use: "show ID", Short: "Show an execution", Args: arguments("ID"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				e, err := client.Execution(ctx, arguments[0])
				if err != nil {
					return err
				}
				return p.print(e, func() string { return executionFields(e) })
			})},
		p.executionLogsCommand(),
		&cobra.Command{Use: "stop ID", Short: "End an execution", Args: arguments("ID"),
			RunE: p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
				e, err := client.StopExecution(ctx, arguments[0])
				if err != nil {
					return err
				}
				return p.print(e, func() string { return stopWords(e) + "\n" })
			})},
	)
	c.Aliases = []string{"exec"}
	return c
}

func (p *program) executionListCommand() *cobra.Command {
	var project, state string
	var limit int
	c := &cobra.Command{Use: "list", Short: "List executions, newest first", Args: arguments()}
	c.Flags().StringVar(&project, "project", "", "only of a project, OWNER/NAME")
	c.Flags().StringVar(&state, "state", "", "only in a state: queued, pulling, running, succeeded, failed or stopped")
	c.Flags().IntVar(&limit, "limit", 50, "how many at most; 0: all")
	c.RunE = p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		filter := api.ExecutionFilter{State: state}
		if project != "" {
			var err error
			if filter.Owner, filter.Project, err = splitProject(project); err != nil {
				return err
			}
		}
		list, err := pages(limit, func(e api.Execution) string { return e.ID }, func(before string, size int) ([]api.Execution, error) {
			filter.Before, filter.Limit = before, size
			return client.Executions(ctx, filter)
		})
		if err != nil {
			return err
		}
		return p.print(list, func() string {
			var rows [][]string
			for _, e := range list {
				rows = append(rows, []string{e.ID, e.Project, e.Spec.Step, e.State, exitWords(e), e.Spec.Image, when(e.CreatedAt)})
			}
			return table([]string{"ID", "PROJECT", "STEP", "STATE", "EXIT", "IMAGE", "CREATED"}, rows)
		})
	})
	return c
}

func (p *program) executionLogsCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{Use: "logs ID", Short: "Print an execution's log", Args: arguments("ID")}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the execution ends")
	c.RunE = p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
		if follow {
			_, err := client.FollowLog(ctx, arguments[0], 0, p.out)
			if err != nil && ctx.Err() != nil {
				return exitCode(130)
			}
			return err
		}
		log, err := client.ExecutionLog(ctx, arguments[0], 0, false)
		if err != nil {
			return err
		}
		_, err = io.Copy(p.out, log)
		return errors.Join(err, log.Close())
	})
	return c
}

// stopWords says what came of the wish to stop: an execution that no node has taken ends at once, and one that has ended
// stays as it is.
func stopWords(e api.Execution) string {
	switch state := pierhead.ExecutionState(e.State); {
	case state == pierhead.ExecutionStopped:
		return e.ID + " is stopped"
	case state.Final():
		return e.ID + " has ended already: " + e.State
	}
	return e.ID + " is being stopped"
}

func executionFields(e api.Execution) string {
	pulled := e.Registry
	switch {
	case e.Anonymous:
		pulled = "anonymously, the registry's credential was given up"
	case pulled == "" && e.Digest != "":
		pulled = "anonymously"
	case pulled != "":
		pulled = "with the credential of registry " + pulled
	}
	return fields("ID", e.ID, "Project", e.Project, "Step", e.Spec.Step, "Image", e.Spec.Image, "Digest", e.Digest, "Platform digest", e.PlatformDigest,
		"Pulled", pulled, "State", e.State, "Exit code", exitWords(e), "Reason", e.Reason, "Hint", e.Hint, "By", e.CreatedBy,
		"Created", when(e.CreatedAt), "Started", whenOr(e.StartedAt, ""), "Finished", whenOr(e.FinishedAt, ""))
}

func exitWords(e api.Execution) string {
	if e.ExitCode == nil {
		return ""
	}
	return strconv.Itoa(*e.ExitCode)
}
