package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/dialect"
	"pierhead.dev/pierhead/internal/durable"
)

// An exportKind is one dialect as a command.
type exportKind struct {
	name, short string
	dialect     dialect.Dialect
}

func exportKinds() []exportKind {
	return []exportKind{
		{"docker-config", "~/.docker/config.json: the credential helper for each host that it answers for", dialect.DockerConfig},
		{"docker-daemon", "dockerd's daemon.json: the mirror, for Docker Hub", dialect.DockerDaemon},
		{"containers-auth", "auth.json of Podman, Buildah, Skopeo and CRI-O: the credential helper", dialect.ContainersAuth},
		{"registries-conf", "a drop-in for registries.conf of Podman, Buildah, Skopeo and CRI-O: the mirror", dialect.RegistriesConf},
		{"hosts-toml", "containerd's certs.d: the mirror, in a directory for each host", dialect.HostsTOML},
		{"k3s", "registries.yaml of K3s and RKE2: the mirror", dialect.K3s},
		{"kubelet", "the kubelet's CredentialProviderConfig", dialect.Kubelet},
		{"buildkit", "buildkitd.toml: the mirror", dialect.Buildkit},
	}
}

// exportFlags say for whom the export is.
type exportFlags struct {
	organization string
	directory    string
	settings     dialect.Settings
}

func (p *program) exportCommand() *cobra.Command {
	f := &exportFlags{settings: dialect.Defaults()}
	c := noun("export", "Print other tools' configuration: registries in their words")
	c.Long = `Print an organization's registries as the configuration of another tool, by which it gets its
logins from the node's agent, or its images through the node's mirror. There is no secret in it.
What the tool's configuration cannot say is on stderr, as warnings.

"pier node setup" writes the same on a machine, into the files that are there already.`
	for _, kind := range exportKinds() {
		c.AddCommand(p.exportKindCommand(kind, f))
	}
	flags := c.PersistentFlags()
	flags.StringVar(&f.organization, "org", "", "the organization (PIER_ORG)")
	flags.StringVar(&f.directory, "output-dir", "", "write files below this directory, instead of printing them; none is overwritten")
	p.settingsFlags(c, &f.settings)
	return c
}

// settingsFlags are the flags of what is the node's own.
func (p *program) settingsFlags(c *cobra.Command, settings *dialect.Settings) {
	flags := c.PersistentFlags()
	flags.StringVar(&settings.Mirror, "mirror", p.variable("PIER_MIRROR", settings.Mirror), "loopback address of the node's mirror (PIER_MIRROR)")
	flags.StringSliceVar(&settings.Hosts, "host", nil, "a host to write out that only a pattern with a wildcard covers, or only the node's own identity; may be repeated")
	flags.StringVar(&settings.Audience, "audience", "", "kubelet: audience of the service-account tokens that the plugin gets, so that registries which list projects count too")
}

func (p *program) exportKindCommand(kind exportKind, f *exportFlags) *cobra.Command {
	c := &cobra.Command{Use: kind.name, Short: "Print " + kind.short, Args: arguments(), Example: "  pier export " + kind.name + " --org acme"}
	c.RunE = p.call(func(ctx context.Context, client *api.Client, _ []string) error {
		registries, err := p.exported(ctx, client, f.organization)
		if err != nil {
			return err
		}
		e, err := kind.dialect(registries, f.settings)
		if err != nil {
			return err
		}
		p.warnings(e)
		if f.directory != "" {
			return p.writeExport(f.directory, e)
		}
		return p.printExport(e)
	})
	return c
}

// exported are the organization's registries, by the API. Settings of registries are for admins.
func (p *program) exported(ctx context.Context, client *api.Client, organization string) ([]pierhead.Registry, error) {
	organization, err := p.organization(ctx, client, organization)
	if err != nil {
		return nil, err
	}
	list, err := client.Registries(ctx, organization)
	if err != nil {
		return nil, err
	}
	registries := make([]pierhead.Registry, 0, len(list))
	for _, r := range list {
		registries = append(registries, r.NounForNode(organization))
	}
	return registries, nil
}

// warnings tells people what the export does not say, and what to know when it is used.
func (p *program) warnings(e dialect.Export) {
	for _, w := range e.Warnings {
		p.note("Warning: %v", w)
		if w.Hint != "" {
			p.note("  Hint: %s", w.Hint)
		}
	}
	for _, n := range e.Notes {
		p.note("Note: %s", n)
	}
	if len(e.Files) == 0 {
		p.note("Nothing to write: no registry can be said in these words.")
	}
}

// An exportedFile is a file as programs get it.
type exportedFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// printExport prints one file as it is, and several with their names as comments between them: only TOML comes in several.
func (p *program) printExport(e dialect.Export) error {
	files := []exportedFile{}
	for _, f := range e.Files {
		files = append(files, exportedFile(f))
	}
	return p.print(files, func() string {
		if len(files) == 1 {
			return files[0].Text
		}
		var text bytes.Buffer
		for _, f := range files {
			fmt.Fprintf(&text, "# %s\n%s\n", f.Name, f.Text)
		}
		return text.String()
	})
}

// writeExport writes what is not there yet. A file that is there with other content is somebody's.
func (p *program) writeExport(directory string, e dialect.Export) error {
	for _, f := range e.Files {
		path := filepath.Join(directory, f.Name)
		found, err := os.ReadFile(path)
		if err == nil && string(found) != f.Text {
			return pierhead.NewProblem(pierhead.ErrConflict, path+" is there already, with other content, and nothing was written",
				"name another directory; pier node setup puts it into what is there")
		}
	}
	for _, f := range e.Files {
		path := filepath.Join(directory, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the directory cannot be made: %v", err), "say another --output-dir")
		}
		err := durable.WriteFileFrom(durable.OS{}, path, func(w io.Writer) error {
			if f, ok := w.(*os.File); ok { // other users' programs read it
				if err := f.Chmod(0o644); err != nil {
					return err
				}
			}
			_, err := io.WriteString(w, f.Text)
			return err
		})
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		p.note("Wrote %s", path)
	}
	return nil
}
