package dialects

import (
	"encoding/json"
	"testing"

	"github.com/docker/cli/cli/config"

	"pierhead.dev/pierhead/dialect"
)

// Docker's CLI asks the helper for its hosts, Docker Hub by its own name for it, and uses the logins of others for theirs.
func TestDockerConfig(t *testing.T) {
	helper(t)
	e := export(t, dialect.DockerConfig, dialect.Defaults())
	theirs := "{\n\t\"auths\": {\n\t\t\"quay.io\": {\n\t\t\t\"auth\": \"bWU6cDp3\"\n\t\t}\n\t},\n\t\"psFormat\": \"{{.ID}}\",\n\t\"HttpHeaders\": {\"X\": \"1\"}\n}"
	for name, found := range map[string]string{"new": "", "theirs": theirs} {
		m, err := dialect.MergeHelpers([]byte(found), e, dialect.Defaults())
		if err != nil {
			t.Fatal(err)
		}
		file, err := config.Load(write(t, map[string]string{"config.json": string(m.Text)}))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{azure: "pier " + azure, lab: "pier " + lab, "https://index.docker.io/v1/": "pier https://index.docker.io/v1/", "gcr.io": " "}
		if found != "" {
			want["quay.io"] = "me p:w"
			if file.PsFormat != "{{.ID}}" || file.HTTPHeaders["X"] != "1" {
				t.Errorf("what was in it is lost: %+v", file)
			}
		}
		for server, want := range want {
			login, err := file.GetAuthConfig(server)
			if got := login.Username + " " + login.Password; err != nil || got != want {
				t.Errorf("%s, %s: %q, %v", name, server, got, err)
			}
		}
	}
}

// dockerd takes a daemon.json with encoding/json; its own type comes with all of dockerd, and test/runtimes starts that.
func TestDockerDaemon(t *testing.T) {
	e := export(t, dialect.DockerDaemon, dialect.Defaults())
	m, err := dialect.MergeMirrors([]byte(`{"registry-mirrors": ["https://mirror.example"], "log-opts": {"max-size": "10m"}}`), e, dialect.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Mirrors []string          `json:"registry-mirrors"`
		LogOpts map[string]string `json:"log-opts"`
	}
	if err := json.Unmarshal(m.Text, &file); err != nil || words(file.Mirrors) != "http://"+mirror+" https://mirror.example" || file.LogOpts["max-size"] != "10m" {
		t.Errorf("%+v, %v", file, err)
	}
}
