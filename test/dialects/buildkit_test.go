package dialects

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"

	"pierhead.dev/pierhead/dialect"
)

// BuildKit asks the mirror for each host's images, without TLS, and the hosts as they are.
func TestBuildkit(t *testing.T) {
	e := export(t, dialect.Buildkit, dialect.Defaults())
	file, err := config.Load(strings.NewReader(e.Files[0].Text))
	if err != nil {
		t.Fatal(err)
	}
	plain := func(host string) bool { p := file.Registries[host].PlainHTTP; return p != nil && *p }
	for host, insecure := range map[string]bool{azure: false, lab: true, "docker.io": false, "gcr.io": false} {
		if got := words(file.Registries[host].Mirrors); got != mirror || plain(host) != insecure {
			t.Errorf("%s: %q, without TLS %v", host, got, plain(host))
		}
	}
	if len(file.Registries) != 5 || !plain(mirror) || len(file.Registries[mirror].Mirrors) > 0 {
		t.Errorf("%+v", file.Registries)
	}
}
