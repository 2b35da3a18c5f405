package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/dialect"
	"pierhead.dev/pierhead/internal/amend"
	"pierhead.dev/pierhead/internal/doors"
	"pierhead.dev/pierhead/internal/durable"
)

// A setup is one call of pier node setup.
type setup struct {
	p            *program
	tool         setupTool
	settings     dialect.Settings
	mirrorSaid   bool // --mirror was, or its variable
	organization string
	root         string // before every path; "" for this machine's own
	dryRun, undo bool
	places       [2]string // of the tool's two files or directories

	registries []pierhead.Registry
	targets    []amend.Target
	findings   []dialect.Warning
	mask       func([]byte) []byte
}

// A setupTool is one tool as a command.
type setupTool struct {
	name, short string
	flags       [2]string // names of the flags of places; "" for none
	help        [2]string
	places      func(*program) [2]string
	plan        func(*setup) error
	after       func(s *setup, path string) string // what to do when a file was changed; "" for nothing
}

func (p *program) nodeSetupCommand(org *string) *cobra.Command {
	c := noun("setup", "Write the configuration by which this machine's runtimes use the agent")
	c.Long = `Write the configuration by which a runtime of this machine gets its logins from the node's agent, or
its images through the node's mirror. What is in its files stays, comments and order too; only what is
missing is put in, and the change is shown. A second time there is nothing to do.

What a file was is kept beside it, and --undo brings it back to the last byte, unless somebody changed
it since: then it says so and leaves it. No secret is written.

The agent of this machine tells its organization's registries; with --org or --root, or where no agent
answers, the server does, to organization admins.`
	for _, tool := range setupTools() {
		c.AddCommand(p.setupToolCommand(tool, org))
	}
	return c
}

func (p *program) setupToolCommand(tool setupTool, org *string) *cobra.Command {
	s := &setup{p: p, tool: tool, settings: dialect.Defaults(), mask: dialect.Mask, places: tool.places(p)}
	c := &cobra.Command{Use: tool.name, Short: "Write " + tool.short, Args: arguments(),
		Example: "  pier node setup " + tool.name + " --dry-run\n  pier node setup " + tool.name + "\n  pier node setup " + tool.name + " --undo"}
	f := c.Flags()
	f.BoolVar(&s.dryRun, "dry-run", false, "show the change and write nothing")
	f.BoolVar(&s.undo, "undo", false, "bring back what was there before")
	f.StringVar(&s.root, "root", "", "directory that is the machine's root, for images that are being built")
	p.settingsFlags(c, &s.settings)
	for i, name := range tool.flags {
		if name != "" {
			f.StringVar(&s.places[i], name, s.places[i], tool.help[i])
		}
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		s.organization = *org
		s.mirrorSaid = c.Flags().Changed("mirror") || p.env("PIER_MIRROR") != ""
		return s.run(c.Context())
	}
	return c
}

func (s *setup) run(ctx context.Context) error {
	book, name, err := s.book()
	if err != nil {
		return err
	}
	if s.undo {
		return s.bringBack(book, name)
	}
	if err := s.learn(ctx); err != nil {
		return err
	}
	if err := s.tool.plan(s); err != nil {
		return err
	}
	plan, err := book.Plan(name, s.targets, s.mask)
	if err != nil {
		return setupProblem(err)
	}
	for _, path := range plan.Kept() {
		s.find(path+" is not needed any more, and stays, because somebody changed it since", "look what of it is still wanted")
	}
	s.tellFindings()
	if !plan.Changes() {
		s.p.note("Nothing to do: %s is set up already, or no registry can be said in its words.", s.tool.name)
		return nil
	}
	if err := s.show(plan.Diff()); err != nil || s.dryRun {
		return err
	}
	if err := plan.Apply(); err != nil {
		return setupProblem(err)
	}
	written, back := plan.Paths()
	s.told([]done{{"Wrote", written}, {"Brought back", back}})
	return nil
}

// book is where it is remembered what was done, under a name for these places: another user's are another's.
func (s *setup) book() (*amend.Book, string, error) {
	data, err := s.p.env("PIER_DATA"), error(nil)
	if data == "" {
		data, err = s.p.defaultData()
	}
	if err != nil {
		return nil, "", err
	}
	if s.root != "" {
		if s.root, err = filepath.Abs(s.root); err != nil {
			return nil, "", err
		}
		if info, err := os.Stat(s.root); err != nil || !info.IsDir() {
			return nil, "", pierhead.NewProblem(pierhead.ErrBadInput, s.root+" is no directory", "--root is the top of a machine's files")
		}
		data = "/var/lib/pierhead"
	}
	name := s.tool.name
	for i, place := range s.places {
		if place == "" {
			continue
		}
		if s.places[i], err = filepath.Abs(place); err != nil {
			return nil, "", err
		}
		name += "-" + strings.ReplaceAll(strings.Trim(s.places[i], "/"), "/", "-")
	}
	if len(name) > 200 {
		return nil, "", pierhead.NewProblem(pierhead.ErrBadInput, "the paths are too long to be remembered", "choose shorter ones")
	}
	return &amend.Book{Layer: durable.OS{}, Dir: s.at(filepath.Join(data, "setup")), Now: time.Now}, name, nil
}

// at is a path of the machine as it is found here.
func (s *setup) at(path string) string {
	if s.root == "" {
		return path
	}
	return filepath.Join(s.root, path)
}

// learn asks for the registries: the agent of this machine, or the server.
func (s *setup) learn(ctx context.Context) error {
	if s.organization == "" && s.root == "" && s.p.mayAskAgent(ctx) {
		var told doors.Registries
		if err := s.p.askAgent(ctx, http.MethodGet, doors.PathRegistries, nil, &told); err != nil {
			return err
		}
		if !s.mirrorSaid {
			s.settings.Mirror = told.Mirror
		}
		for _, r := range told.Registries {
			s.registries = append(s.registries, toldRegistry(r))
		}
		return nil
	}
	client, err := s.p.client()
	if err != nil {
		if s.organization == "" && s.root == "" {
			s.p.note("No agent of this machine answers this user (pier node status says why), so the server is asked.")
		}
		return err
	}
	defer client.CloseIdle()
	s.registries, err = s.p.exported(ctx, client, s.organization)
	return err
}

// toldRegistry is a registry as the dialects take it; of its login it has only that there is one.
func toldRegistry(r doors.Registry) pierhead.Registry {
	noun := pierhead.Registry{Name: r.Name, Type: pierhead.RegistryType(r.Type), Enabled: true, Match: r.Match, PlainHTTP: r.PlainHTTP,
		Projects: pierhead.ProjectScope{All: len(r.Projects) == 0, Names: r.Projects}}
	if r.WholeHost {
		noun.Helper = pierhead.HelperWholeHost
	}
	if r.OwnCA {
		noun.CA = "its own"
	}
	if r.Login {
		noun.Credential.Identity = pierhead.IdentityNode
	}
	return noun
}

// add plans a file. What the merge finds is told once everything is planned.
func (s *setup) add(path string, mode os.FileMode, merge func(found []byte) (dialect.Merge, error)) {
	s.targets = append(s.targets, amend.Target{Path: s.at(path), Within: s.root, Mode: mode, Edit: func(found []byte) ([]byte, error) {
		m, err := merge(found)
		if err != nil {
			hint := "mend the file, or put in by hand what pier export prints"
			var problem *pierhead.Problem
			if errors.As(err, &problem) {
				hint = problem.Hint
			}
			return nil, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("%v; nothing was changed", err), hint)
		}
		s.findings = append(s.findings, m.Findings...)
		return m.Text, nil
	}})
}

func (s *setup) find(text, hint string) {
	s.findings = append(s.findings, dialect.Warning{Text: text, Hint: hint})
}

func (s *setup) tellFindings() {
	var told []dialect.Warning
	for _, w := range s.findings {
		if slices.Contains(told, w) {
			continue
		}
		told = append(told, w)
		s.p.note("Warning: %v", w)
		if w.Hint != "" {
			s.p.note("  Hint: %s", w.Hint)
		}
	}
}

func (s *setup) show(diff string) error {
	return s.p.print(map[string]string{"diff": diff}, func() string { return diff })
}

// done is what was done to files.
type done struct {
	what  string
	paths []string
}

// told says what was done, and what has to be restarted.
func (s *setup) told(all []done) {
	var after []string
	for _, d := range all {
		for _, path := range d.paths {
			s.p.note("%s %s", d.what, path)
			if todo := s.tool.after(s, path); todo != "" && !slices.Contains(after, todo) {
				after = append(after, todo)
			}
		}
	}
	if len(after) == 0 {
		after = []string{"Nothing has to be restarted: the next pull reads it."}
	}
	for _, todo := range after {
		s.p.note("%s", todo)
	}
}

func (s *setup) bringBack(book *amend.Book, name string) error {
	u, err := book.PlanUndo(name, s.mask)
	var changed *amend.ErrChanged
	if errors.As(err, &changed) {
		s.p.note("%s", changed.Diff)
		hint := "above is what differs from what was there before; take pier's part out by hand, and forget the record: rm " + changed.Record
		if kept := changed.Kept[0]; kept != "" {
			hint += "; or lose what was changed since: mv " + kept + " " + changed.Paths[0] + ", and run this again"
		}
		return pierhead.NewProblem(pierhead.ErrConflict, err.Error()+", and nothing was undone", hint)
	}
	if err != nil {
		return setupProblem(err)
	}
	if !u.Known() {
		s.p.note("Nothing to undo: no setup of %s with these files is on record.", s.tool.name)
		return nil
	}
	if err := s.show(u.Diff()); err != nil || s.dryRun {
		return err
	}
	if err := u.Apply(); err != nil {
		return setupProblem(err)
	}
	s.told([]done{{"Brought back", u.Paths()}})
	return nil
}

// setupProblem makes an error of files one for people.
func setupProblem(err error) error {
	for _, known := range []struct {
		is, kind error
		hint     string
	}{
		{amend.ErrNotWritable, pierhead.ErrNotAllowed, "run it as root (sudo), or make the file system writable; nothing was changed"},
		{amend.ErrForeign, pierhead.ErrNotAllowed, "run it as that user, or as root; nothing was changed"},
		{os.ErrPermission, pierhead.ErrNotAllowed, "run it as root (sudo)"},
		{amend.ErrNotAFile, pierhead.ErrBadInput, "put a file there, or take it away; nothing was changed"},
		{amend.ErrTooLarge, pierhead.ErrBadInput, "look what it is; nothing was changed"},
		{amend.ErrLeadsOut, pierhead.ErrBadInput, "name the file itself; nothing was changed"},
		{amend.ErrMoved, pierhead.ErrConflict, "run it again"},
	} {
		if errors.Is(err, known.is) {
			return &pierhead.Problem{Kind: known.kind, Cause: err, Text: err.Error(), Hint: known.hint}
		}
	}
	return err
}
