package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/dialect"
)

func podmanPlaces(p *program) [2]string {
	places := [2]string{p.variable("REGISTRY_AUTH_FILE", filepath.Join(p.configHome(), "containers", "auth.json")), "/etc/containers/registries.conf.d"}
	if os.Geteuid() != 0 {
		places[1] = filepath.Join(p.configHome(), "containers", "registries.conf.d")
	}
	return places
}

func (s *setup) podman() error {
	auth, err := s.export(dialect.ContainersAuth)
	if err != nil {
		return err
	}
	s.add(s.places[0], 0o600, func(found []byte) (dialect.Merge, error) { return dialect.MergeHelpers(found, auth, s.settings) })
	s.wantProgram("docker-credential-" + s.settings.Helper)
	runtime := "/run/containers/0/auth.json"
	if directory := s.p.env("XDG_RUNTIME_DIR"); directory != "" {
		runtime = filepath.Join(directory, "containers", "auth.json")
	}
	if text, err := os.ReadFile(s.at(runtime)); err == nil && runtime != s.places[0] {
		s.findings = append(s.findings, dialect.Shadows(runtime, text, auth)...)
	}
	mirrors, err := s.export(dialect.RegistriesConf)
	if err != nil || len(mirrors.Files) == 0 {
		return err
	}
	return s.dropIn(mirrors)
}

// dropIn plans ours beside all the files that containers/image reads with it.
func (s *setup) dropIn(mirrors dialect.Export) error {
	path := filepath.Join(s.places[1], mirrors.Files[0].Name)
	orders, err := s.registriesOrders(path)
	if err != nil {
		return err
	}
	var others [][]dialect.ConfFile
	for _, order := range orders {
		var files []dialect.ConfFile
		for i, other := range order {
			if other == path {
				continue
			}
			text, err := os.ReadFile(s.at(other))
			if err != nil {
				return unread(other, err)
			}
			files = append(files, dialect.ConfFile{Path: other, Text: text, After: slices.Contains(order[:i], path)})
		}
		others = append(others, files)
	}
	s.add(path, 0o644, func(found []byte) (dialect.Merge, error) {
		return dialect.MergeRegistries(dialect.ConfFile{Path: path, Text: found}, mirrors, others)
	})
	return nil
}

// unread refuses to guess what a file says.
func unread(path string, err error) error {
	return pierhead.NewProblem(pierhead.ErrNotAllowed, fmt.Sprintf("%s is read beside pier's file, and what it says cannot be told: %v", path, err), "run it as a user who may read it; nothing was changed")
}

// registriesOrders are the files that are read as registries.conf, in the order in which they are, ours among them: by
// Podman before version 6 (containers/image), and since (go.podman.io/image). They differ in whose drop-ins come last.
func (s *setup) registriesOrders(ours string) (orders [2][]string, err error) {
	const etc, usr = "/etc/containers/registries", "/usr/share/containers/registries"
	user, directory := filepath.Join(s.p.configHome(), "containers", "registries"), s.places[1]
	before := []string{etc + ".conf.d", user + ".conf.d"}
	since := slices.Concat(dropInPlaces(usr), dropInPlaces(etc), []string{user + ".conf.d"})
	if !slices.Contains(before, directory) { // somebody's own choice of a place
		before, since = []string{directory}, []string{directory}
	}
	mains := []string{user + ".conf", etc + ".conf", usr + ".conf"}
	if other := s.p.env("CONTAINERS_REGISTRIES_CONF"); other != "" {
		mains = []string{other}
		s.find("CONTAINERS_REGISTRIES_CONF names another registries.conf, "+other+", and since Podman 6 no drop-ins are read beside it",
			"unset it, or put what pier export registries-conf prints into that file")
	} else if exists(s.at(mains[0])) && directory == etc+".conf.d" {
		s.find(mains[0]+" is there, so Podman before 6 does not read "+directory+" for this user", "for this user, put what pier export registries-conf prints into "+user+".conf.d")
	}
	var main []string
	if at := slices.IndexFunc(mains, func(path string) bool { return exists(s.at(path)) }); at >= 0 {
		main = mains[at : at+1]
	}
	for i, directories := range [2][]string{before, since} {
		found, err := s.dropInsOf(directories, ours, i == 1)
		if err != nil {
			return orders, err
		}
		orders[i] = slices.Concat(main, found)
	}
	return orders, nil
}

// dropInPlaces are the directories of drop-ins beside a file of the system's, since Podman 6.
func dropInPlaces(base string) []string {
	if uid := os.Geteuid(); uid != 0 {
		return []string{base + ".conf.d", base + ".rootless.conf.d", filepath.Join(base+".rootless.conf.d", strconv.Itoa(uid))}
	}
	return []string{base + ".conf.d", base + ".rootful.conf.d"}
}

// dropInsOf are the drop-ins of directories, with ours: one directory after the other, or byName, all by their names, of
// which one in a later directory stands for those of the same name before.
func (s *setup) dropInsOf(directories []string, ours string, byName bool) ([]string, error) {
	var paths []string
	for _, directory := range directories {
		entries, err := os.ReadDir(s.at(directory))
		if err != nil && !os.IsNotExist(err) {
			return nil, unread(directory, err)
		}
		var here []string
		for _, entry := range entries {
			if name := entry.Name(); !entry.IsDir() && strings.HasSuffix(name, ".conf") {
				here = append(here, filepath.Join(directory, name))
			}
		}
		if filepath.Dir(ours) == directory && !slices.Contains(here, ours) {
			here = append(here, ours)
			slices.Sort(here)
		}
		paths = append(paths, here...)
	}
	if !byName {
		return paths, nil
	}
	last := make(map[string]string)
	for _, path := range paths {
		last[filepath.Base(path)] = path
	}
	var sorted []string
	for _, name := range slices.Sorted(maps.Keys(last)) {
		sorted = append(sorted, last[name])
	}
	return sorted, nil
}
