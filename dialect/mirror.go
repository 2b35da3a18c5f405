package dialect

import (
	"fmt"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// RegistriesConf is a drop-in for containers-registries.conf(5), which Podman, Buildah, Skopeo and CRI-O read: for each
// namespace the mirror, asked first, with the origin behind it.
func RegistriesConf(registries []pierhead.Registry, settings Settings) (Export, error) {
	s, err := mirrored(registries, settings)
	if err != nil {
		return Export{}, err
	}
	s.warnWild("registries.conf can put no host's name into a mirror's path, so it")
	var text strings.Builder
	text.WriteString(comment(
		"Written by pier. Images of these registries are pulled through the mirror of the node's agent, which has",
		"the logins; there are none here. insecure: the mirror is on loopback, and speaks HTTP without TLS. Where",
		"the mirror is not there, the origin is asked as if this file were not."))
	any := false
	for _, host := range s.hosts {
		path, ok := mirrorPath(host)
		if !ok {
			s.warn(s.at[host][0].registry, fmt.Sprintf("%s is an IPv6 address, which is no part of a repository's name, so registries.conf cannot say it", host), "give the registry a name")
			continue
		}
		for _, prefix := range s.prefixes(host) {
			any = true
			text.WriteString(confRegistry{prefix: host + prefix, location: host + prefix, insecure: s.plain(host), mirrors: []string{settings.Mirror + "/" + path + prefix}}.text())
		}
	}
	return s.export(any, File{"50-pierhead.conf", text.String()}), nil
}

// prefixes are the namespaces of a host, "" for the whole of it, else "/team"; those within another are left out. What a
// prefix covers beyond its pattern the mirror answers as it would be without the registry.
func (s *survey) prefixes(host string) []string {
	var all []string
	for _, c := range s.at[host] {
		prefix, exact := literalPath(c.pattern)
		if !exact {
			s.warn(c.registry, fmt.Sprintf("%s has a wildcard within its path, for which registries.conf has no words; all of %s goes through the mirror, which pulls the rest as it is without this registry", c, host+prefix), "")
		}
		all = append(all, prefix)
	}
	slices.Sort(all)
	var kept []string
	for _, prefix := range all {
		within := func(other string) bool { return other == "" || prefix == other || strings.HasPrefix(prefix, other+"/") }
		if !slices.ContainsFunc(kept, within) {
			kept = append(kept, prefix)
		}
	}
	return kept
}

// literalPath is the part of a pattern's path before its first segment with a wildcard, "/team/app" or ""; exact tells
// whether that was all of it.
func literalPath(p image.Pattern) (prefix string, exact bool) {
	if p.Path() == "" {
		return "", true
	}
	for segment := range strings.SplitSeq(p.Path(), "/") {
		if image.HasGlob(segment) {
			return prefix, false
		}
		prefix += "/" + segment
	}
	return prefix, true
}

// HostsTOML is containerd's registry configuration: a directory for each host. There is none for _default, which would
// catch every registry of the world and hide the origin's errors.
func HostsTOML(registries []pierhead.Registry, settings Settings) (Export, error) {
	s, err := mirrored(registries, settings)
	if err != nil {
		return Export{}, err
	}
	s.warnWild("containerd has a directory per host and")
	e := Export{}
	for _, host := range s.hosts {
		s.warnWider(host, "containerd")
		server := "https://" + dialHost(host)
		if s.plain(host) {
			server = "http://" + host
		}
		text := comment(
			"Written by pier. Images of this host are pulled through the mirror of the node's agent, which has the login;",
			"there is none here. Where the mirror is not there, containerd goes on to the server. Read at every pull.") +
			fmt.Sprintf("server = %q\n\n%s", server, MirrorBlock(settings.Mirror))
		e.Files = append(e.Files, File{HostDirectory(host) + "/hosts.toml", text})
	}
	e.Warnings = s.warnings
	e.Notes = []string{`containerd reads it where its CRI plugin's registry.config_path says so, which is "" before containerd 2: config_path = "/etc/containerd/certs.d"`}
	return e, nil
}

// MirrorBlock is the mirror as one host of a hosts.toml.
func MirrorBlock(mirror string) string {
	return fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+mirror)
}

// HostDirectory is the name of a host's directory for containerd: with a port "host_port_", which it looks for first and
// which every file system can hold.
func HostDirectory(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		return host[:colon] + "_" + host[colon+1:] + "_"
	}
	return host
}

// dialHost is who serves a host's images.
func dialHost(host string) string {
	if host == image.Hub {
		return image.HubDial
	}
	return host
}

// Buildkit is buildkitd.toml: the mirror for each host.
func Buildkit(registries []pierhead.Registry, settings Settings) (Export, error) {
	s, err := mirrored(registries, settings)
	if err != nil {
		return Export{}, err
	}
	s.warnWild("buildkitd.toml names whole hosts and")
	var text strings.Builder
	text.WriteString(comment(
		"Written by pier. Base images of these registries are pulled through the mirror of the node's agent, which has",
		"the logins; there are none here. buildkitd has to be in the node's own network: in a container of its own,",
		"127.0.0.1 is that container."))
	for _, host := range s.hosts {
		s.warnWider(host, "BuildKit")
		fmt.Fprintf(&text, "\n[registry.%q]\n  mirrors = [%q]\n", host, settings.Mirror)
		if s.plain(host) {
			text.WriteString("  http = true\n")
		}
	}
	fmt.Fprintf(&text, "\n# The mirror is on loopback, and speaks HTTP without TLS.\n[registry.%q]\n  http = true\n", settings.Mirror)
	return s.export(len(s.hosts) > 0, File{"buildkitd.toml", text.String()}), nil
}

// mirrored surveys for dialects of mirrors.
func mirrored(registries []pierhead.Registry, settings Settings) (*survey, error) {
	if err := settings.check(); err != nil {
		return nil, err
	}
	s, err := look(registries, settings, false)
	if err != nil {
		return nil, err
	}
	for _, host := range s.hosts {
		s.warnOwnCA(host)
	}
	return s, nil
}

// warnWider tells of a host of which only a part is a registry's, where the dialect knows whole hosts.
func (s *survey) warnWider(host, tool string) {
	var patterns []string
	for _, c := range s.at[host] {
		if c.pattern.WholeHost() {
			return
		}
		patterns = append(patterns, c.String())
	}
	s.warn(&pierhead.Registry{}, fmt.Sprintf("%s knows whole hosts: all of %s goes through the mirror, not only %s; the rest it pulls as it is without a registry", tool, host, strings.Join(patterns, ", ")), "")
}

func (s *survey) export(any bool, file File) Export {
	e := Export{Warnings: s.warnings}
	if any {
		e.Files = []File{file}
	}
	return e
}
