package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/projectfile"
)

// exitNotStarted is what `pier run --watch` ends with when the container never ran.
const exitNotStarted = 125

type runFlags struct {
	project     string
	image       string
	file        string
	parameters  []string
	environment []string
	pull        string
	watch       bool
	loginSecret string
}

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{Use: "run STEP", Short: "Run a step of valohai.yaml on its image", Args: arguments("STEP"),
		Long: `Run a step of valohai.yaml (or pier.yaml), found here or in a directory above.

Nothing in the file changes for a private image: which credential it is pulled with is the
organization's affair (pier registry, pier explain). With --watch the log is followed and the
container's exit code becomes pier's; 125 means that the container never started.`,
		Example: `  pier run train-model --project acme/vision --watch
  pier run train-model --project acme/vision --param epochs=10 --env DATASET=coco
  pier run train-model --project acme/vision --image example.jfrog.io/acme/app:1 --registry-login-secret file:jfrog
  pier run train-model --project acme/vision --image myregistry.azurecr.io/ml-training:v2.1`}
	flags := c.Flags()
	flags.StringVar(&f.project, "project", "", "project that the execution belongs to, OWNER/NAME (PIER_PROJECT)")
	flags.StringVar(&f.image, "image", "", "another image than the step's")
	flags.StringVar(&f.file, "file", "", "project file, instead of the nearest valohai.yaml or pier.yaml")
	flags.StringArrayVar(&f.parameters, "param", nil, "parameter, K=V; may be repeated")
	flags.StringArrayVar(&f.environment, "env", nil, "environment variable, K=V; may be repeated")
	flags.StringVar(&f.pull, "pull", "", "always (default), if-not-present or never")
	flags.StringVar(&f.loginSecret, "registry-login-secret", "", "reference of the secret whose login pulls the image, before any registry's; what members may name, an admin allows (pier secret)")
	flags.BoolVar(&f.watch, "watch", false, "follow the log; end with the container's exit code")
	c.RunE = p.call(func(ctx context.Context, client *api.Client, arguments []string) error {
		return p.runStep(ctx, client, arguments[0], f)
	})
	return c
}

func (p *program) runStep(ctx context.Context, client *api.Client, name string, f runFlags) error {
	if f.project == "" {
		f.project = p.env("PIER_PROJECT")
	}
	if f.project == "" {
		return pierhead.NewProblem(pierhead.ErrBadInput, "which project does the execution belong to?", "say --project OWNER/NAME, or set PIER_PROJECT")
	}
	spec, err := p.readSpec(name, f)
	if err != nil {
		return forPeople(err)
	}
	execution, err := client.CreateExecution(ctx, api.NewExecution{Project: f.project, Spec: spec})
	if err != nil {
		return err
	}
	if !f.watch {
		return p.print(execution, func() string { return execution.ID + "\n" })
	}
	p.note("Execution %s", execution.ID)
	return p.watch(ctx, client, execution)
}

// readSpec turns a step of the project file and the flags into what runs.
func (p *program) readSpec(name string, f runFlags) (api.Spec, error) {
	path := f.file
	if path == "" {
		directory, err := os.Getwd()
		if err != nil {
			return api.Spec{}, err
		}
		if path, err = projectfile.Find(directory); err != nil {
			return api.Spec{}, err
		}
	}
	file, notes, err := projectfile.Read(path)
	if err != nil {
		return api.Spec{}, err
	}
	step, err := file.Step(name)
	if err != nil {
		return api.Spec{}, err
	}
	for _, note := range notes {
		if note.Step == "" || note.Step == step.Name {
			p.note("Note: %s: %s", path, note)
		}
	}
	parameters, err := assignments("--param", f.parameters)
	if err != nil {
		return api.Spec{}, err
	}
	environment, err := assignments("--env", f.environment)
	if err != nil {
		return api.Spec{}, err
	}
	variables := make(map[string]string, len(environment))
	for key, values := range environment {
		variables[key] = values[len(values)-1]
	}
	rendered, err := step.Render(parameters, variables)
	if err != nil {
		return api.Spec{}, err
	}
	spec := pierhead.Spec{Step: step.Name, Image: step.Image, Command: rendered.Command, Environment: rendered.Environment,
		TimeLimit: step.TimeLimit, PullPolicy: pierhead.PullPolicy(f.pull), RegistryLoginSecret: f.loginSecret}
	if f.image != "" {
		spec.Image = f.image
	}
	for _, m := range step.Mounts {
		if m.Type != "" && m.Type != "bind" {
			return api.Spec{}, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("step %s mounts a %s, and only directories can be mounted", step.Name, m.Type), "")
		}
		spec.Mounts = append(spec.Mounts, pierhead.Mount{Source: m.Source, Destination: m.Destination, ReadOnly: m.ReadOnly})
	}
	return api.SpecOf(spec), nil
}

// assignments reads K=V flags; a key may come more than once.
func assignments(flag string, texts []string) (map[string][]string, error) {
	all := make(map[string][]string)
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%s %q is not of the form K=V", flag, text), "")
		}
		all[key] = append(all[key], value)
	}
	return all, nil
}

// forPeople gives errors of the project file their kind and hint.
func forPeople(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &pierhead.Problem{Kind: pierhead.ErrNotFound, Text: err.Error(), Hint: "--file names the project file", Cause: err}
	}
	var known *projectfile.Error
	if !errors.As(err, &known) {
		return err
	}
	kind := pierhead.ErrBadInput
	if errors.Is(err, projectfile.ErrNoFile) || errors.Is(err, projectfile.ErrNoStep) {
		kind = pierhead.ErrNotFound
	}
	return &pierhead.Problem{Kind: kind, Text: err.Error(), Hint: projectfile.HintOf(err), Cause: err}
}

// outcome says how a final execution ended, and turns it into pier's exit code.
func (p *program) outcome(e api.Execution) error {
	switch {
	case e.State == string(pierhead.ExecutionSucceeded):
		return nil
	case e.State == string(pierhead.ExecutionStopped):
		p.note("The execution was stopped.")
	case e.Reason != "": // the log's last lines say it to the terminal already
	case e.ExitCode != nil:
		p.note("The execution failed: its program ended with exit code %d.", *e.ExitCode)
	default:
		p.note("The execution failed.")
	}
	switch {
	case e.ExitCode != nil && *e.ExitCode != 0:
		return exitCode(*e.ExitCode)
	case e.StartedAt == nil:
		return exitCode(exitNotStarted)
	}
	return exitCode(1)
}
