package dialects

import (
	"fmt"
	"path/filepath"
	"testing"

	beforeref "github.com/containers/image/v5/docker/reference"
	before "github.com/containers/image/v5/pkg/sysregistriesv2"
	beforetypes "github.com/containers/image/v5/types"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"pierhead.dev/pierhead/dialect"
)

// sources are the places that an image is asked for at, in order: with "!" where without TLS; "blocked" for none.
type sources func(t *testing.T, dir, image string) []string

// generations are containers/image before Podman 6, and since.
func generations() map[string]sources {
	return map[string]sources{
		"before": func(t *testing.T, dir, image string) []string {
			sys := &beforetypes.SystemContext{SystemRegistriesConfPath: filepath.Join(dir, "registries.conf"), SystemRegistriesConfDirPath: filepath.Join(dir, "registries.conf.d")}
			ref, err := beforeref.ParseNormalizedNamed(image)
			if err != nil {
				t.Fatal(err)
			}
			r, err := before.FindRegistry(sys, ref.Name())
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				return []string{ref.Name()}
			}
			if r.Blocked {
				return []string{"blocked"}
			}
			all, err := r.PullSourcesFromReference(ref)
			if err != nil {
				t.Fatal(err)
			}
			var at []string
			for _, s := range all {
				at = append(at, told(s.Reference.Name(), s.Endpoint.Insecure))
			}
			return at
		},
		"since": func(t *testing.T, dir, image string) []string {
			sys := &types.SystemContext{SystemRegistriesConfPath: filepath.Join(dir, "registries.conf"), SystemRegistriesConfDirPath: filepath.Join(dir, "registries.conf.d")}
			ref, err := reference.ParseNormalizedNamed(image)
			if err != nil {
				t.Fatal(err)
			}
			r, err := sysregistriesv2.FindRegistry(sys, ref.Name())
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				return []string{ref.Name()}
			}
			if r.Blocked {
				return []string{"blocked"}
			}
			all, err := r.PullSourcesFromReference(ref)
			if err != nil {
				t.Fatal(err)
			}
			var at []string
			for _, s := range all {
				at = append(at, told(s.Reference.Name(), s.Endpoint.Insecure))
			}
			return at
		},
	}
}

func told(name string, insecure bool) string {
	if insecure {
		return "!" + name
	}
	return name
}

// The mirror is asked first, and without TLS, the origin after it as it was.
func TestRegistriesConf(t *testing.T) {
	e := export(t, dialect.RegistriesConf, dialect.Defaults())
	dir := write(t, map[string]string{"registries.conf": "unqualified-search-registries = [\"docker.io\"]\n", "registries.conf.d/" + e.Files[0].Name: e.Files[0].Text})
	for generation, sources := range generations() {
		for image, want := range map[string]string{
			azure + "/ml-training:v2.0": "!127.0.0.1:5050/" + azure + "/ml-training " + azure + "/ml-training",
			"gcr.io/my-project/a/b@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": "!127.0.0.1:5050/gcr.io/my-project/a/b gcr.io/my-project/a/b",
			"gcr.io/my-project-else/a": "gcr.io/my-project-else/a",
			lab + "/app":               "!127.0.0.1:5050/10.0.0.7_5000/app !10.0.0.7:5000/app",
			"alpine":                   "!127.0.0.1:5050/docker.io/library/alpine docker.io/library/alpine",
			"quay.io/a/b":              "quay.io/a/b",
		} {
			if got := words(sources(t, dir, image)); got != want {
				t.Errorf("%s: %s is asked for at %s, not at %s", generation, image, got, want)
			}
		}
	}
}

// What somebody wrote holds beside our drop-in as it held without: where ours would take something from it, it is left out.
func TestRegistriesConfOfOthers(t *testing.T) {
	e := export(t, dialect.RegistriesConf, dialect.Defaults())
	images := []string{azure + "/a", "gcr.io/my-project/a", "gcr.io/else/a", lab + "/a", "docker.io/library/a", "docker.io/acme/a"}
	for name, other := range map[string]string{
		"blocked":           "[[registry]]\nlocation = \"gcr.io\"\nblocked = true\n[[registry]]\nlocation = \"" + azure + "\"\nblocked = true\n",
		"blocked below":     "[[registry]]\nlocation = \"docker.io/acme\"\nblocked = true\n",
		"blocked domain":    "[[registry]]\nprefix = \"*.azurecr.io\"\nblocked = true\n",
		"mirrors":           "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"mirror.example/hub\"\n[[registry]]\nprefix = \"gcr.io\"\nlocation = \"gcr.corp.example\"\n",
		"insecure":          "[[registry]]\nlocation = \"" + azure + "\"\ninsecure = true\n",
		"a port is covered": "[[registry]]\nlocation = \"10.0.0.7\"\nblocked = true\n",
		"nothing to lose":   "[[registry]]\nlocation = \"gcr.io\"\n",
	} {
		for _, file := range []string{"registries.conf", "registries.conf.d/10-theirs.conf", "registries.conf.d/90-theirs.conf"} {
			files := map[string]string{"registries.conf": "", file: other}
			without := write(t, files)
			own := dialect.ConfFile{Path: "50-pierhead.conf"}
			m, err := dialect.MergeRegistries(own, e, [][]dialect.ConfFile{{{Path: file, Text: []byte(other), After: file > "registries.conf.d/50"}}})
			if err != nil {
				t.Fatal(err)
			}
			files["registries.conf.d/50-pierhead.conf"] = string(m.Text)
			with := write(t, files)
			for generation, sources := range generations() {
				for _, image := range images {
					was, is := sources(t, without, image), sources(t, with, image)
					if fmt.Sprint(is[len(is)-len(was):]) != fmt.Sprint(was) && image != lab+"/a" {
						t.Errorf("%s, %s in %s: %s was asked for at %s, and is at %s", generation, name, file, image, was, is)
					}
					if was[0] == "blocked" && is[0] != "blocked" {
						t.Errorf("%s, %s in %s: %s was blocked, and is asked for at %s", generation, name, file, image, is)
					}
				}
			}
			if name == "nothing to lose" && len(m.Findings) > 0 {
				t.Errorf("in %s: %v", file, m.Findings)
			}
		}
	}
}

// Podman and its like ask the helper for its hosts, and use the logins of others for theirs.
func TestContainersAuth(t *testing.T) {
	helper(t)
	e := export(t, dialect.ContainersAuth, dialect.Defaults())
	theirs := `{"auths": {"quay.io": {"auth": "bWU6cDp3"}, "gcr.io/my-project": {"auth": "bWU6cDp3"}}, "credHelpers": {"else.example": "none"}}`
	m, err := dialect.MergeHelpers([]byte(theirs), e, dialect.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	sys := &types.SystemContext{AuthFilePath: filepath.Join(write(t, map[string]string{"auth.json": string(m.Text)}), "auth.json"), SystemRegistriesConfPath: "/dev/null", SystemRegistriesConfDirPath: t.TempDir()}
	for image, want := range map[string]string{azure + "/a": "pier " + azure, lab + "/a": "pier " + lab, "docker.io/library/a": "pier docker.io", "quay.io/a": "me p:w", "gcr.io/my-project/a": "me p:w", "gcr.io/a": " "} {
		ref, err := reference.ParseNormalizedNamed(image)
		if err != nil {
			t.Fatal(err)
		}
		login, err := config.GetCredentialsForRef(sys, ref)
		if got := login.Username + " " + login.Password; err != nil || got != want {
			t.Errorf("%s: %q, %v", image, got, err)
		}
	}
}
