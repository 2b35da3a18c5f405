package dialect

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

var update = flag.Bool("update", false, "write the golden files")

// canary is in every field of a registry that must not leave it.
const canary = "CANARY-9e107d9d"

func registry(name string, match ...string) pierhead.Registry {
	return pierhead.Registry{ID: "reg_" + name, Name: name, Type: pierhead.TypeOfMatch(match), Enabled: true, Match: match, Projects: pierhead.ProjectScope{All: true},
		Credential: pierhead.RegistryCredential{Secret: "file:" + canary}, Realms: []string{canary + ".example"}, Proxy: "http://" + canary + ":3128"}
}

// sets are the registries of the golden files: the seeds' patterns, and what is hard to say.
func sets() map[string][]pierhead.Registry {
	lists := registry("vision-only", "quay.io/vision/*")
	lists.Projects = pierhead.ProjectScope{Names: []string{"vision"}}
	off := registry("off", "off.example/*")
	off.Enabled = false
	nobody := registry("nobody", "nobody.example/*")
	nobody.Projects = pierhead.ProjectScope{}
	lab := registry("lab", "10.0.0.7:5000/*")
	lab.PlainHTTP = true
	private := registry("private", "registry.example:8443/*")
	private.CA = "PEM"
	public := registry("public", "ghcr.io/*")
	public.Credential = pierhead.RegistryCredential{}
	opted := registry("opted", "opted.example/team/*")
	opted.Helper = pierhead.HelperWholeHost
	hosted := registry(pierhead.HostedRegistryName, "127.0.0.1:7070/acme/*")
	hosted.Type, hosted.PlainHTTP = pierhead.RegistryHosted, true
	sealed := registry("sealed", "sealed.example/*")
	sealed.Credential = pierhead.RegistryCredential{Sealed: "sealed:v1:0123456789abcdef:" + canary}
	return map[string][]pierhead.Registry{
		"seeds": {
			registry("hub", "docker.io/myusername/*"), registry("ecr", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/*"), registry("gcp", "gcr.io/my-project/*"),
			registry("gcp-tag", "gcr.io/my-project/my-registry:*"), registry("azure-ml", "myregistry.azurecr.io/*"), registry("jfrog", "example.jfrog.io/*"),
		},
		"hard": {
			registry("hub", "docker.io/*"), registry("everywhere", "*.dkr.ecr.*.amazonaws.com/*", "*.azurecr.io/*"), registry("teams", "gcr.io/my-project/team-*/app"),
			registry("one", "gcr.io/my-project/one"), registry("tagged", "gcr.io/my-project/tagged:v1*"), registry("deep", "lab.example/a/b/*", "lab.example/a/*"),
			registry("six", "[::1]/*"), registry("six-port", "[2001:db8::7]:5000/*"), lists, off, nobody, lab, private, public, sealed, opted, hosted,
		},
		"nothing": nil,
	}
}

// dialects are all, by the name of the command that prints them.
func dialects() map[string]Dialect {
	return map[string]Dialect{"docker-config": DockerConfig, "docker-daemon": DockerDaemon, "containers-auth": ContainersAuth, "registries-conf": RegistriesConf,
		"hosts-toml": HostsTOML, "k3s": K3s, "kubelet": Kubelet, "buildkit": Buildkit}
}

func TestGolden(t *testing.T) {
	for set, registries := range sets() {
		for name, dialect := range dialects() {
			t.Run(set+"/"+name, func(t *testing.T) {
				e, err := dialect(registries, Defaults())
				if err != nil {
					t.Fatal(err)
				}
				golden(t, set+"-"+name, told(e))
			})
		}
	}
}

// A node that was told more: another mirror, a host that only a wildcard covers, one that its own identity reads, an
// audience.
func TestGoldenSettings(t *testing.T) {
	settings := Settings{Mirror: "[::1]:6060", Helper: "acme", Plugin: "acme-provider", Audience: "pierhead",
		Hosts: []string{"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "Acme.azurecr.io:443", "eu-docker.pkg.dev", "docker.io"}}
	for name, dialect := range dialects() {
		t.Run(name, func(t *testing.T) {
			e, err := dialect(sets()["hard"], settings)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "told-"+name, told(e))
		})
	}
}

// The example of deploy/ is what pier export writes.
func TestDeployedExample(t *testing.T) {
	settings := Defaults()
	settings.Audience = "pierhead"
	e, err := Kubelet([]pierhead.Registry{registry("hub", "docker.io/acme/*"), registry("ecr", "*.dkr.ecr.*.amazonaws.com/*"), registry("azure-ml", "myregistry.azurecr.io/*"),
		registry("gcp", "gcr.io/my-project/*")}, settings)
	if err != nil || len(e.Files) != 1 || len(e.Warnings) != 0 {
		t.Fatal(e, err)
	}
	path := filepath.Join("../deploy/kubelet", e.Files[0].Name)
	if *update {
		if err := os.WriteFile(path, []byte(e.Files[0].Text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != e.Files[0].Text {
		t.Errorf("%s is another: %v; write it anew with -update", path, err)
	}
}

func told(e Export) string {
	var text strings.Builder
	for _, f := range e.Files {
		fmt.Fprintf(&text, "-- %s --\n%s", f.Name, f.Text)
	}
	for _, w := range e.Warnings {
		fmt.Fprintf(&text, "Warning: %v\n", w)
		if w.Hint != "" {
			fmt.Fprintf(&text, "  Hint: %s\n", w.Hint)
		}
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&text, "Note: %s\n", n)
	}
	return text.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if strings.Contains(got, canary) {
		t.Errorf("a registry's own business is in the export:\n%s", got)
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not as it was (-update writes it):\n%s", path, got)
	}
}
