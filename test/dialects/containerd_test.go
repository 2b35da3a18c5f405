package dialects

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"

	"pierhead.dev/pierhead/dialect"
)

// hostsOf are the hosts that containerd asks for an image of a registry, in order, each with what it is asked for: p(ull),
// r(esolve), P(ush).
func hostsOf(t *testing.T, root, registry string) string {
	t.Helper()
	hosts, err := config.ConfigureHosts(context.Background(), config.HostOptions{HostDir: config.HostDirFromRoot(root)})(registry)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, h := range hosts {
		can := ""
		for letter, c := range map[string]docker.HostCapabilities{"p": docker.HostCapabilityPull, "r": docker.HostCapabilityResolve, "P": docker.HostCapabilityPush} {
			if h.Capabilities.Has(c) {
				can += letter
			}
		}
		all = append(all, fmt.Sprintf("%s://%s%s %d", h.Scheme, h.Host, h.Path, len(can)))
	}
	return strings.Join(all, ", ")
}

// The mirror is asked first, for pulls only, and then who serves the host; other hosts as ever.
func TestHostsTOML(t *testing.T) {
	root := exported(t, export(t, dialect.HostsTOML, dialect.Defaults()))
	for registry, want := range map[string]string{
		azure:       "http://127.0.0.1:5050/v2 2, https://" + azure + "/v2 3",
		lab:         "http://127.0.0.1:5050/v2 2, http://10.0.0.7:5000/v2 3",
		"docker.io": "http://127.0.0.1:5050/v2 2, https://registry-1.docker.io/v2 3",
		"quay.io":   "https://quay.io/v2 3",
	} {
		if got := hostsOf(t, root, registry); got != want {
			t.Errorf("%s: %s, not %s", registry, got, want)
		}
	}
}

// In a hosts.toml that somebody had, the mirror comes first and the rest stays.
func TestHostsTOMLOfOthers(t *testing.T) {
	e := export(t, dialect.HostsTOML, dialect.Defaults())
	var fresh string
	for _, f := range e.Files {
		if f.Name == azure+"/hosts.toml" {
			fresh = f.Text
		}
	}
	for name, test := range map[string]struct{ found, want string }{
		"a mirror of theirs": {"server = \"https://else.example\"\n# theirs\n[host.\"https://mirror.example/path\"]\n  capabilities = [\"pull\"]\n  skip_verify = true\n",
			"http://127.0.0.1:5050/v2 2, https://mirror.example/path/v2 1, https://else.example/v2 3"},
		"no server":     {"[host.\"https://mirror.example\"]\n", "http://127.0.0.1:5050/v2 2, https://mirror.example/v2 3, https://" + azure + "/v2 3"},
		"a list":        {"capabilities = [\n  \"pull\",\n  \"resolve\"\n]\nserver = \"https://else.example\"\n", "http://127.0.0.1:5050/v2 2, https://else.example/v2 2"},
		"ours, earlier": {fresh, "http://127.0.0.1:5050/v2 2, https://" + azure + "/v2 3"},
	} {
		m, err := dialect.MergeHosts([]byte(test.found), fresh, dialect.Defaults())
		if err != nil {
			t.Fatal(err)
		}
		if got := hostsOf(t, write(t, map[string]string{azure + "/hosts.toml": string(m.Text)}), azure); got != test.want {
			t.Errorf("%s: %s, not %s\n%s", name, got, test.want, m.Text)
		}
	}
}
