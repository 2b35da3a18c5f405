package dialect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/resolve"
)

// hubKey is Docker Hub in Docker's own config.json; every other client writes docker.io.
const hubKey = "https://index.docker.io/v1/"

// DockerConfig is ~/.docker/config.json: the credential helper for each host that it answers for. Docker, crane, helm,
// BuildKit's clients and Kaniko read it, and containers/image as the last of its places.
func DockerConfig(registries []pierhead.Registry, settings Settings) (Export, error) {
	s, hosts, err := lent(registries, settings)
	if err != nil {
		return Export{}, err
	}
	keys := hosts
	if slices.Contains(hosts, image.Hub) {
		keys = append(slices.Clone(hosts), hubKey)
	}
	e := helpersFile("config.json", keys, s)
	e.Notes = []string{fmt.Sprintf(`"credsStore": %q would ask for every host; it is not written, because then docker login would keep its logins there too, and %s keeps none`,
		settings.Helper, "docker-credential-"+settings.Helper)}
	return e, nil
}

// ContainersAuth is containers-auth.json(5), which Podman, Buildah, Skopeo and CRI-O read: the same, with their names.
func ContainersAuth(registries []pierhead.Registry, settings Settings) (Export, error) {
	s, hosts, err := lent(registries, settings)
	if err != nil {
		return Export{}, err
	}
	e := helpersFile("auth.json", hosts, s)
	e.Notes = []string{"the line credential-helpers in registries.conf would ask for every host, public ones too; it is not written, so that these go on when the agent is down"}
	return e, nil
}

// lent finds the hosts for which the helper has a login: it is asked for a host and knows no repository, so one registry
// has to be right for all of them.
func lent(registries []pierhead.Registry, settings Settings) (*survey, []string, error) {
	if err := settings.check(); err != nil {
		return nil, nil, err
	}
	s, err := look(registries, settings, false)
	if err != nil {
		return nil, nil, err
	}
	s.warnWild("a credential helper's configuration")
	var hosts []string
	for _, host := range s.hosts {
		switch r := s.lender(host); {
		case r == nil:
			s.warnPartial(host)
		case r.Type != pierhead.RegistryHosted && r.HasCredential(): // the hosted registry's login is the node's own
			hosts = append(hosts, host)
		}
	}
	return s, hosts, nil
}

// lender is whose login the helper gets for a host: the registry that is right for all of it, else the one that was opted
// in (helper: whole-host), else nobody's.
func (s *survey) lender(host string) *pierhead.Registry {
	question := resolve.Question{Host: host}
	if answer := s.table.Match(question); answer.Outcome == resolve.Matched {
		return answer.Registry
	}
	var opted *pierhead.Registry
	for _, candidate := range s.table.AtHost(question) {
		switch {
		case candidate.Registry.Helper != pierhead.HelperWholeHost:
		case opted != nil:
			return nil // nothing decides between two
		default:
			opted = candidate.Registry
		}
	}
	if opted != nil {
		s.warn(opted, fmt.Sprintf("its login is lent for all of %s (helper: whole-host), though it covers a part of it", host), "")
	}
	return opted
}

// warnPartial tells of a host where the repository decides.
func (s *survey) warnPartial(host string) {
	way := "run it as an execution, where this node's mirror cannot be named"
	if path, ok := mirrorPath(host); ok {
		way = fmt.Sprintf("pull its images through the mirror, for example %s/%s/%s", s.settings.Mirror, path, exampleOf(s.at[host][0]))
	}
	var told []*pierhead.Registry
	for _, c := range s.at[host] {
		if slices.Contains(told, c.registry) || !c.registry.HasCredential() || c.registry.Type == pierhead.RegistryHosted {
			continue
		}
		told = append(told, c.registry)
		s.warn(c.registry, fmt.Sprintf("a credential helper is asked for a host and not for a repository, and this registry is not right for all of %s, so the helper has no login for it", host), way+"; or say helper: whole-host in one registry of the host")
	}
}

// exampleOf is a repository that the claim covers.
func exampleOf(c claim) string {
	path := strings.ReplaceAll(c.pattern.Path(), "*", "x")
	if c.pattern.Subtree() {
		path = strings.TrimPrefix(path+"/IMAGE", "/")
	}
	return path
}

func helpersFile(name string, keys []string, s *survey) Export {
	e := Export{Warnings: s.warnings}
	if len(keys) == 0 {
		return e
	}
	helpers := make(map[string]string, len(keys))
	for _, key := range keys {
		helpers[key] = s.settings.Helper
	}
	text, err := json.MarshalIndent(map[string]any{"credHelpers": helpers}, "", "\t") // as Docker's CLI writes it
	if err != nil {
		panic(err) // strings are always JSON
	}
	e.Files = []File{{name, string(text) + "\n"}}
	return e
}

// DockerDaemon is dockerd's daemon.json: the mirror, which dockerd asks for Docker Hub's images and for no others.
func DockerDaemon(registries []pierhead.Registry, settings Settings) (Export, error) {
	if err := settings.check(); err != nil {
		return Export{}, err
	}
	s, err := look(registries, settings, false)
	if err != nil {
		return Export{}, err
	}
	e := Export{Warnings: s.warnings}
	if len(s.at[image.Hub]) == 0 {
		e.Notes = []string{"dockerd's registry-mirrors are for Docker Hub alone, and no registry is at Docker Hub, so there is nothing to write"}
		return e, nil
	}
	text, err := json.MarshalIndent(map[string]any{"registry-mirrors": []string{"http://" + settings.Mirror}}, "", "  ")
	if err != nil {
		panic(err) // strings are always JSON
	}
	e.Files = []File{{"daemon.json", string(text) + "\n"}}
	e.Notes = []string{"dockerd's registry-mirrors are for Docker Hub alone; other hosts are served by the credential helper, or pulled as " + settings.Mirror + "/HOST/REPOSITORY"}
	return e, nil
}
