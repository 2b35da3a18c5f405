package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/durable"
)

// A program is one call of pier: a value, so that tests can make one.
type program struct {
	in  io.Reader
	out io.Writer // for programs: results only
	err io.Writer // for people: progress, warnings, errors and hints
	env func(string) string

	contextName string // --context
	contextFile string // --config
	serverURL   string // --server
	format      string // --output
}

// exitCode is an error that only ends the program with a code; everything was said already.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run does what the arguments say and returns the exit code: 0 done, 1 failed, 2 bad input, 3 not found, 4 not allowed,
// 5 conflict, 6 unreachable, 7 pull or credential.
func (p *program) run(ctx context.Context, arguments []string) int {
	root := p.command()
	root.SetArgs(arguments)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	command, err := root.ExecuteContextC(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	err = fullDisk(err)
	p.complain(err, command)
	return api.ExitOf(err)
}

// complain prints an error and, on a line of its own, what to do about it.
func (p *program) complain(err error, command *cobra.Command) {
	fmt.Fprintf(p.err, "Error: %v\n", err)
	hint := pierhead.HintOf(err)
	if hint == "" {
		hint = usualHint(err, command)
	}
	if hint != "" {
		fmt.Fprintf(p.err, "Hint: %s\n", hint)
	}
}

// usualHint is for errors that bring none: how the command is used, or what there is.
func usualHint(err error, command *cobra.Command) string {
	switch {
	case errors.Is(err, pierhead.ErrBadInput):
		return "see: " + command.CommandPath() + " --help"
	case errors.Is(err, pierhead.ErrNotFound):
		if parent := command.Parent(); parent != nil {
			for _, sibling := range parent.Commands() {
				if sibling.Name() == "list" {
					return "see what there is: " + sibling.CommandPath()
				}
			}
		}
	}
	return ""
}

// fullDisk makes a disk without room an error for people.
func fullDisk(err error) error {
	if !durable.Full(err) || errors.Is(err, pierhead.ErrUnreachable) {
		return err
	}
	return &pierhead.Problem{Kind: pierhead.ErrUnreachable, Cause: err, Text: "the disk is full: " + err.Error(), Hint: "make room, and start again: nothing is half-written"}
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "pier",
		Short: "Private container images for compute platforms",
		Long: `Pierhead gives compute platforms access to private container images.

  pier up                      everything on this machine: server, registry, node
  pier registry add ...        say once where images live and how to reach them
  pier run STEP                run a step of valohai.yaml on its image
  pier explain IMAGE           which credential an image gets, and why

Exit codes: 0 done, 1 failed, 2 bad input, 3 not found, 4 not allowed, 5 conflict,
6 unreachable, 7 pull or credential. "pier run --watch" ends with the container's.`,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&p.contextName, "context", p.env("PIER_CONTEXT"), "context to use, instead of the current one")
	flags.StringVar(&p.contextFile, "contexts", p.env("PIER_CONTEXTS"), "file with the contexts (default $XDG_CONFIG_HOME/pierhead/contexts.yaml)")
	flags.StringVar(&p.serverURL, "server", p.env("PIER_SERVER"), "URL of the server; its token is PIER_TOKEN or the context's")
	flags.StringVarP(&p.format, "output", "o", "text", "text or json")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "see: "+c.CommandPath()+" --help")
	})
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if p.format != "text" && p.format != "json" {
			return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("--output %q is neither text nor json", p.format), "")
		}
		return nil
	}
	root.AddCommand(p.commands()...)
	refuseUnknownWords(root)
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = knownCommand // cobra's own shows the help of something else, and ends with 0
	}
	return root
}

// refuseUnknownWords makes a noun without a verb show its help, and an unknown verb an error with its neighbours.
func refuseUnknownWords(c *cobra.Command) {
	for _, child := range c.Commands() {
		refuseUnknownWords(child)
	}
	if c.Runnable() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return c.Help()
		}
		hint := "see: " + c.CommandPath() + " --help"
		c.SuggestionsMinimumDistance = 2
		if near := c.SuggestionsFor(arguments[0]); len(near) > 0 {
			hint = "did you mean: " + c.CommandPath() + " " + strings.Join(near, ", ")
		}
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%q is no command of %s", arguments[0], c.CommandPath()), hint)
	}
}

// knownCommand refuses words that are no command.
func knownCommand(c *cobra.Command, words []string) error {
	if _, rest, err := c.Root().Find(words); err != nil || len(rest) > 0 {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("there is no help on %q", strings.Join(words, " ")), "see: pier --help")
	}
	return nil
}

// arguments checks the number of positional arguments and names them in the error.
func arguments(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) == len(names) {
			return nil
		}
		text := fmt.Sprintf("%s takes %s, not %d arguments", c.CommandPath(), strings.Join(names, " "), len(given))
		if len(names) == 0 {
			text = fmt.Sprintf("%s takes no arguments; %q is one too many", c.CommandPath(), given[0])
		} else if len(given) < len(names) {
			text = fmt.Sprintf("%s needs %s", c.CommandPath(), strings.Join(names[len(given):], " "))
		}
		return pierhead.NewProblem(pierhead.ErrBadInput, text, "see: "+c.CommandPath()+" --help")
	}
}

// terminal tells whether a stream is a terminal, where people look at progress bars.
func terminal(stream any) (*os.File, bool) {
	file, ok := stream.(*os.File)
	if !ok {
		return nil, false
	}
	return file, isTerminal(int(file.Fd()))
}
