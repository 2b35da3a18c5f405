package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/dialect"
)

// containerdConfig and its neighbour are where containerd's own packages have them.
const (
	containerdConfig = "/etc/containerd/config.toml"
	containerdHosts  = "/etc/containerd/certs.d"
)

func containerdPlaces(*program) [2]string { return [2]string{containerdConfig, containerdHosts} }

func (s *setup) containerd() error {
	if done, err := s.k3s(); done || err != nil {
		return err
	}
	e, err := s.export(dialect.HostsTOML)
	if err != nil || len(e.Files) == 0 {
		return err
	}
	text, err := os.ReadFile(s.at(s.places[0]))
	if err != nil && !os.IsNotExist(err) {
		return setupProblem(err)
	}
	imports, err := s.imports(dialect.ConfFile{Path: s.places[0], Text: text})
	if err != nil {
		return err
	}
	// containerd 2 reads Docker's certificates too, where nothing says otherwise.
	path, dockers := s.places[1], "/etc/docker/certs.d"
	if path == containerdHosts && exists(s.at(dockers)) {
		path += ":" + dockers
	}
	directories := strings.Split(path, ":")
	if _, there, err := dialect.MergeContainerd(dialect.ConfFile{Path: s.places[0], Text: text}, imports, path); err == nil {
		directories = there
	}
	s.add(s.places[0], 0o644, func(found []byte) (dialect.Merge, error) {
		m, _, err := dialect.MergeContainerd(dialect.ConfFile{Path: s.places[0], Text: found}, imports, path)
		return m, err
	})
	for _, file := range e.Files {
		s.host(directories, file)
	}
	for _, dir := range directories {
		if exists(s.at(filepath.Join(dir, "_default"))) {
			s.find(filepath.Join(dir, "_default")+" is not asked any more for the hosts that have a directory of their own now", "")
		}
	}
	return nil
}

// imports are the files that containerd reads after its configuration, in that order.
func (s *setup) imports(main dialect.ConfFile) ([]dialect.ConfFile, error) {
	all := []dialect.ConfFile{main}
	for i := 0; i < len(all); i++ {
		for _, pattern := range dialect.ContainerdImports(all[i].Text) {
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(all[i].Path), pattern)
			}
			found, err := filepath.Glob(s.at(pattern))
			if err != nil {
				return nil, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("%s imports %s, which is no pattern of files; nothing was changed", all[i].Path, pattern), "mend it")
			}
			for _, path := range found {
				name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, s.root), "/")
				if slices.ContainsFunc(all, func(f dialect.ConfFile) bool { return f.Path == name }) {
					continue
				}
				text, err := os.ReadFile(path)
				if err != nil {
					return nil, unread(name, err)
				}
				all = append(all, dialect.ConfFile{Path: name, Text: text})
			}
		}
	}
	return all[1:], nil
}

// k3s sets up the containerd of K3s or RKE2, which is made of registries.yaml at every start; done, where there is no other.
func (s *setup) k3s() (done bool, err error) {
	for _, name := range []string{"k3s", "rke2"} {
		own, registries := filepath.Join("/var/lib/rancher", name, "agent/etc/containerd"), filepath.Join("/etc/rancher", name, "registries.yaml")
		if strings.HasPrefix(s.places[0], own+"/") || strings.HasPrefix(s.places[1], own+"/") {
			return false, pierhead.NewProblem(pierhead.ErrConflict, own+" is made anew whenever "+name+" starts; nothing was changed",
				"without --config and --certs-dir this writes "+registries+", of which it is made")
		}
		if !exists(s.at(own)) && !exists(s.at(filepath.Dir(registries))) {
			continue
		}
		if s.places != containerdPlaces(s.p) || exists(s.at(containerdConfig)) {
			s.find(name+" is on this machine too, with a containerd of its own, which is not set up by this", "put what pier export k3s prints into "+registries+", and restart "+name)
			continue
		}
		e, err := s.export(dialect.K3s)
		if err != nil || len(e.Files) == 0 {
			return true, err
		}
		s.add(registries, 0o600, func(found []byte) (dialect.Merge, error) { return dialect.MergeK3s(found, e) })
		done = true
	}
	return done, nil
}

// host plans one host's hosts.toml, in the directory that containerd looks into first. One by the host's other name goes on
// counting, and certificates that lie loose in it would not be read beside a hosts.toml.
func (s *setup) host(directories []string, file dialect.File) {
	name := filepath.Dir(file.Name)
	names := []string{name}
	if plain := strings.TrimSuffix(name, "_"); plain != name {
		colon := strings.LastIndexByte(plain, '_')
		names = append(names, plain[:colon]+":"+plain[colon+1:])
	}
	place := filepath.Join(directories[0], name)
	for _, dir := range slices.Backward(directories) {
		for _, name := range slices.Backward(names) {
			if exists(s.at(filepath.Join(dir, name))) {
				place = filepath.Join(dir, name)
			}
		}
	}
	loose, _ := filepath.Glob(filepath.Join(s.at(place), "*.c[er]*t"))
	if len(loose) > 0 && !exists(s.at(filepath.Join(place, "hosts.toml"))) {
		s.find(fmt.Sprintf("%s has certificates, which containerd does not read beside a hosts.toml; it stays as it is", place),
			"name them in a hosts.toml there (ca = …, client = …), and run this again")
		return
	}
	s.add(filepath.Join(place, "hosts.toml"), 0o644, func(found []byte) (dialect.Merge, error) { return dialect.MergeHosts(found, file.Text, s.settings) })
}
