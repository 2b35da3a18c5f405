// Command leaks searches for a secret in every form that it may hide in, and tells where it is, never what it is.
//
//	leaks --secret-file FILE [--processes] [--url URL]... [--token-context FILE] [--exclude PATH]... [PATH]...
//
//	leaks --secret-file password --processes --exclude data/secrets data pier.log
//
// The secret is the file's content without a last line break. It exits with 0 when the secret is nowhere, 1 when it was
// found, and 2 when something that should have been searched could not be.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"pierhead.dev/pierhead/test/leaks"
)

// A list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// config is all that the program is told.
type config struct {
	SecretFile   string   // holds the secret
	Processes    bool     // search arguments and environments
	URLs         list     // fetch these, and whatever else can be read from their API
	TokenContext string   // pier's file of contexts, for the token
	Exclude      list     // paths to leave out
	Paths        []string // files and directories
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaks:", err)
	}
	os.Exit(code)
}

func parse(arguments []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("leaks", flag.ContinueOnError)
	flags.StringVar(&c.SecretFile, "secret-file", "", "`file` that holds the secret")
	flags.BoolVar(&c.Processes, "processes", false, "search the arguments and environments of all processes")
	flags.Var(&c.URLs, "url", "`address` to fetch, with all that the API there lets read; may be repeated")
	flags.StringVar(&c.TokenContext, "token-context", "", "pier's `file` of contexts, whose current token is sent to its server")
	flags.Var(&c.Exclude, "exclude", "`path` to leave out, with all below it; may be repeated")
	if err := flags.Parse(arguments); err != nil {
		return c, err
	}
	c.Paths = flags.Args()
	switch {
	case c.SecretFile == "":
		return c, errors.New("there is no --secret-file, so there is nothing to search for")
	case len(c.Paths) == 0 && len(c.URLs) == 0 && !c.Processes:
		return c, errors.New("there is no place to search: name paths, --url or --processes")
	}
	for _, path := range c.Paths {
		if strings.HasPrefix(path, "-") {
			return c, fmt.Errorf("%s comes after a path: flags come first", path)
		}
	}
	return c, nil
}

func run(ctx context.Context, arguments []string, stdout io.Writer) (int, error) {
	c, err := parse(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return leaks.ExitClean, nil
	}
	if err != nil {
		return leaks.ExitNotSearched, err
	}
	secret, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return leaks.ExitNotSearched, err
	}
	needle, err := leaks.NewNeedle(bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r")))
	if err != nil {
		return leaks.ExitNotSearched, fmt.Errorf("%s: %w", c.SecretFile, err)
	}
	var login leaks.Login
	if c.TokenContext != "" {
		if login, err = leaks.ReadLogin(c.TokenContext); err != nil {
			return leaks.ExitNotSearched, err
		}
	}
	var report leaks.Report
	needle.SearchPaths(ctx, c.Paths, c.Exclude, &report)
	if c.Processes {
		needle.SearchProcesses(&report)
	}
	needle.SearchAPI(ctx, c.URLs, login, &report)
	if err := report.Print(stdout, needle); err != nil {
		return leaks.ExitNotSearched, err
	}
	return report.Exit(), nil
}
