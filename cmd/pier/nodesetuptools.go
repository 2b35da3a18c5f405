package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"pierhead.dev/pierhead/dialect"
)

func setupTools() []setupTool {
	return []setupTool{
		{"docker", "config.json (credential helper), and as root dockerd's daemon.json (the mirror, for Docker Hub)",
			[2]string{"config-dir", "daemon-config"}, [2]string{"Docker's configuration directory (DOCKER_CONFIG)", `dockerd's configuration; "" leaves it alone`},
			dockerPlaces, (*setup).docker, (*setup).afterDocker},
		{"podman", "a drop-in for registries.conf (the mirror) and auth.json (credential helper), for Podman, Buildah, Skopeo and CRI-O",
			[2]string{"auth-file", "registries-dir"}, [2]string{"auth.json (REGISTRY_AUTH_FILE)", "directory of drop-ins for registries.conf"},
			podmanPlaces, (*setup).podman, func(*setup, string) string { return "" }},
		{"containerd", "hosts.toml for each host (the mirror), and config_path in config.toml",
			[2]string{"config", "certs-dir"}, [2]string{"containerd's configuration", "directory of the hosts, where the configuration names none"},
			containerdPlaces, (*setup).containerd,
			func(s *setup, path string) string {
				switch {
				case path == s.at(s.places[0]):
					return "containerd has to be restarted: systemctl restart containerd. Containers go on running."
				case filepath.Base(path) == "registries.yaml":
					return "It has to be restarted: systemctl restart k3s (k3s-agent, rke2-server, rke2-agent). Containers go on running."
				}
				return ""
			}},
		{"kubelet", "the kubelet's CredentialProviderConfig, and its flags",
			[2]string{"config", "flags-file"}, [2]string{"the CredentialProviderConfig", `file with KUBELET_EXTRA_ARGS; "" leaves it alone`},
			func(*program) [2]string {
				return [2]string{"/etc/pierhead/credential-provider-config.yaml", "/etc/default/kubelet"}
			}, (*setup).kubelet,
			func(*setup, string) string {
				return "The kubelet has to be restarted: systemctl restart kubelet. Pods go on running."
			}},
	}
}

// configHome is the user's directory for configuration.
func (p *program) configHome() string {
	if directory := p.env("XDG_CONFIG_HOME"); directory != "" {
		return directory
	}
	return filepath.Join(p.env("HOME"), ".config")
}

func dockerPlaces(p *program) [2]string {
	places := [2]string{p.variable("DOCKER_CONFIG", filepath.Join(p.env("HOME"), ".docker"))}
	if os.Geteuid() == 0 {
		places[1] = "/etc/docker/daemon.json"
	} // a dockerd without root has a loopback of its own, where there is no mirror
	return places
}

func (s *setup) docker() error {
	e, err := s.export(dialect.DockerConfig)
	if err != nil {
		return err
	}
	s.add(filepath.Join(s.places[0], "config.json"), 0o600, func(found []byte) (dialect.Merge, error) { return dialect.MergeHelpers(found, e, s.settings) })
	s.wantProgram("docker-credential-" + s.settings.Helper)
	if s.p.env("DOCKER_AUTH_CONFIG") != "" {
		s.find("DOCKER_AUTH_CONFIG is set; for the hosts that it lists Docker asks no helper", "unset it")
	}
	if user := s.p.env("SUDO_USER"); user != "" && user != "root" && s.root == "" {
		s.find(fmt.Sprintf("%s is what root's docker reads; %s's own is another", filepath.Join(s.places[0], "config.json"), user), "for that too, run it without sudo")
	}
	if s.places[1] == "" {
		return nil
	}
	daemon, err := dialect.DockerDaemon(s.registries, s.settings)
	if err != nil || len(daemon.Files) == 0 {
		return err
	}
	s.add(s.places[1], 0o644, func(found []byte) (dialect.Merge, error) { return dialect.MergeMirrors(found, daemon, s.settings) })
	return nil
}

// afterDocker knows that dockerd, when it reads its configuration again, takes what is there and drops nothing
// (moby, daemon/reload.go: IsValueSet).
func (s *setup) afterDocker(path string) string {
	if path != s.at(s.places[1]) {
		return ""
	}
	if text, err := os.ReadFile(path); err != nil || !bytes.Contains(text, []byte(`"registry-mirrors"`)) {
		return "dockerd goes on asking the mirror until it is restarted, for a reload takes no setting away: systemctl restart docker. Containers end with it, unless live-restore is on."
	}
	return "dockerd reads it when it is told to: systemctl reload docker. Containers go on running."
}

// export says the registries in a dialect, and keeps its warnings.
func (s *setup) export(d dialect.Dialect) (dialect.Export, error) {
	e, err := d(s.registries, s.settings)
	s.findings = append(s.findings, e.Warnings...)
	return e, err
}

// wantProgram tells where a program that the configuration names is not found.
func (s *setup) wantProgram(name string) {
	if s.root != "" {
		return
	}
	if _, err := exec.LookPath(name); err != nil {
		s.find(name+" is not on the PATH, so clients cannot start it", "put it beside pier, or into /usr/local/bin")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (s *setup) kubelet() error {
	e, err := s.export(dialect.Kubelet)
	if err != nil || len(e.Files) == 0 {
		return err
	}
	s.add(s.places[0], 0o644, func(found []byte) (dialect.Merge, error) { return dialect.MergeProviders(found, e, s.settings) })
	directory := "/usr/local/lib/pierhead/kubelet"
	if !exists(s.at(filepath.Join(directory, s.settings.Plugin))) {
		s.find(fmt.Sprintf("%s is not in %s, where the kubelet looks for it", s.settings.Plugin, directory),
			"install -D -m 0755 "+s.settings.Plugin+" "+filepath.Join(directory, s.settings.Plugin))
	}
	if s.places[1] != "" {
		s.add(s.places[1], 0o644, func(found []byte) (dialect.Merge, error) {
			return dialect.MergeKubeletFlags(found, s.places[0], directory)
		})
	}
	return nil
}
