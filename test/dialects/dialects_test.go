package dialects

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/dialect"
)

const (
	mirror = "127.0.0.1:5050"
	azure  = "myregistry.azurecr.io"
	lab    = "10.0.0.7:5000"
)

// registries are Docker Hub, a whole host, a part of one, and one without TLS at a port.
func registries() []pierhead.Registry {
	var all []pierhead.Registry
	for name, match := range map[string]string{"azure": azure + "/*", "gcp": "gcr.io/my-project/*", "lab": lab + "/*", "hub": "docker.io/*"} {
		all = append(all, pierhead.Registry{ID: "reg_" + name, Name: name, Type: pierhead.TypeOfMatch([]string{match}), Enabled: true, Match: []string{match},
			Projects: pierhead.ProjectScope{All: true}, Credential: pierhead.RegistryCredential{Secret: "file:login"}, PlainHTTP: name == "lab"})
	}
	return all
}

// export says the registries in a dialect, which has something to say.
func export(t *testing.T, d dialect.Dialect, settings dialect.Settings) dialect.Export {
	t.Helper()
	e, err := d(registries(), settings)
	if err != nil || len(e.Files) == 0 {
		t.Fatal(e, err)
	}
	return e
}

// write writes files below a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func exported(t *testing.T, e dialect.Export) string {
	t.Helper()
	files := make(map[string]string)
	for _, f := range e.Files {
		files[f.Name] = f.Text
	}
	return write(t, files)
}

// helper puts a docker-credential-pier on the PATH that says for which server it was asked.
func helper(t *testing.T) {
	t.Helper()
	const program = "#!/bin/sh\nread -r server\nprintf '{\"ServerURL\":\"%s\",\"Username\":\"pier\",\"Secret\":\"%s\"}' \"$server\" \"$server\"\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-pier"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "CONTAINERS_REGISTRIES_CONF"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
}

// words is a list as one text.
func words(all []string) string { return strings.Join(all, " ") }
