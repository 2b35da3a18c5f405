package dialects

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"

	"pierhead.dev/pierhead/dialect"
)

// containerd 2 takes the configuration with our line, imports and all, and the plugin that pulls gets it.
func TestContainerdConfig(t *testing.T) {
	const path = "/etc/containerd/certs.d:/etc/docker/certs.d"
	for name, test := range map[string]struct{ found, imported, plugin string }{
		"new":       {"", "", "io.containerd.grpc.v1.cri"},
		"version 2": {"version = 2\nroot = \"/data\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"\"\n  [plugins.\"io.containerd.grpc.v1.cri\".registry.headers]\n    x = [\"y\"]\n", "", "io.containerd.grpc.v1.cri"},
		"version 3": {"version = 3\nroot = \"/data\"\nimports = [\"conf.d/*.toml\"]\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\n  default_runtime_name = 'runc'\n",
			"version = 3\n[plugins.'io.containerd.cri.v1.images']\n  max_concurrent_downloads = 7\n", "io.containerd.cri.v1.images"},
	} {
		m, _, err := dialect.MergeContainerd(dialect.ConfFile{Path: "config.toml", Text: []byte(test.found)}, []dialect.ConfFile{{Path: "conf.d/theirs.toml", Text: []byte(test.imported)}}, path)
		if err != nil {
			t.Fatal(name, err)
		}
		files := map[string]string{"config.toml": string(m.Text)}
		if test.imported != "" {
			files["conf.d/theirs.toml"] = test.imported
		}
		var c config.Config
		if err := config.LoadConfig(context.Background(), filepath.Join(write(t, files), "config.toml"), &c); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, m.Text)
		}
		plugin, _ := c.Plugins[test.plugin].(map[string]any)
		registry, _ := plugin["registry"].(map[string]any)
		if registry["config_path"] != path {
			t.Errorf("%s: the plugin gets %v\n%s", name, plugin, m.Text)
		}
		if test.found != "" && c.Root != "/data" {
			t.Errorf("%s: what was in it is lost: %+v", name, c)
		}
		if test.imported != "" && plugin["max_concurrent_downloads"] != int64(7) {
			t.Errorf("%s: what it imports is lost: %v", name, plugin)
		}
	}
}
