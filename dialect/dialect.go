// Package dialect says an organization's registries in the words of other tools: the configuration by which Docker,
// Podman, containerd, the kubelet and BuildKit get their credentials from this node's agent, or their images through its
// mirror. It is for `pier export`, which prints it, and `pier node setup`, which writes it.
//
// All of it is text in, text out. No dialect says all that a match pattern says, so each [Export] has warnings beside its
// files, and nothing is left out without one. What is written names helpers and loopback addresses; there is no secret in
// it, nor the reference of one.
//
// The second half of the package ([MergeHelpers] and its neighbours) puts our part into a file that is somebody's already,
// and changes nothing else in it.
package dialect

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/resolve"
)

// Settings are what is the node's own.
type Settings struct {
	Mirror   string   // loopback address and port: "127.0.0.1:5050"
	Helper   string   // N of the program docker-credential-N: "pier"
	Plugin   string   // file name of the kubelet's plugin: "pier-credential-provider"
	Audience string   // of service-account tokens that the kubelet hands to the plugin; "" for none
	Hosts    []string // to be written out although only a pattern with a wildcard in its host covers them
}

// Defaults are the settings of a node that was told nothing else.
func Defaults() Settings {
	return Settings{Mirror: "127.0.0.1:5050", Helper: "pier", Plugin: "pier-credential-provider"}
}

// A File is one file in a dialect.
type File struct {
	Name string // below the place where the tool looks: "config.json", "gcr.io/hosts.toml"
	Text string
}

// A Warning is something that a dialect cannot say.
type Warning struct {
	Registry string // its name, or "" where it is about no single one
	Text     string // one sentence, without a full stop
	Hint     string // what to do, or ""
}

// String is the warning on one line.
func (w Warning) String() string {
	if w.Registry == "" {
		return w.Text
	}
	return "registry " + w.Registry + ": " + w.Text
}

// An Export is configuration in one dialect.
type Export struct {
	Files    []File // none where there is nothing to say
	Warnings []Warning
	Notes    []string // what to know when it is used
}

// A Dialect makes configuration of registries. Errors are for people: a host that is none, a mirror that is no address.
type Dialect func([]pierhead.Registry, Settings) (Export, error)

// A claim is one pattern at one host.
type claim struct {
	registry *pierhead.Registry
	pattern  image.Pattern
	host     string // of the pattern, or one of Settings.Hosts that it covers
}

// String is the pattern as it was written.
func (c claim) String() string { return c.pattern.Written() }

// A survey is what the dialects have in common: what is at which host, for those who ask without a project.
type survey struct {
	settings Settings
	table    *resolve.Table
	hosts    []string           // written out, sorted
	at       map[string][]claim // by host
	wild     []claim            // with a wildcard in the host
	warnings []Warning
}

// look surveys the registries. With all, those that list projects count too: the kubelet's plugin may know the project.
func look(registries []pierhead.Registry, settings Settings, all bool) (*survey, error) {
	own, err := ownIdentity(registries, settings.Hosts)
	if err != nil {
		return nil, err
	}
	registries = append(slices.Clone(registries), own...)
	table, err := resolve.Compile(registries)
	if err != nil {
		return nil, err
	}
	s := &survey{settings: settings, table: table, at: make(map[string][]claim)}
	for i := range registries {
		if err := s.add(&registries[i], all); err != nil {
			return nil, err
		}
	}
	if err := s.addHosts(); err != nil {
		return nil, err
	}
	for host := range s.at {
		s.hosts = append(s.hosts, host)
	}
	slices.Sort(s.hosts)
	return s, nil
}

// ownIdentity stands in for the registry that nobody configured: a host of a cloud's, named by who runs this node, is read
// with the node's own identity.
func ownIdentity(registries []pierhead.Registry, hosts []string) ([]pierhead.Registry, error) {
	var own []pierhead.Registry
	for _, text := range hosts {
		host, err := image.CanonicalHost(text)
		if err != nil {
			return nil, err
		}
		vendor := image.VendorOf(host)
		if !vendor.Cloud() || slices.ContainsFunc(registries, func(r pierhead.Registry) bool { return r.Enabled && r.Projects.All && coversHost(r, host) }) {
			continue
		}
		own = append(own, pierhead.Registry{Type: pierhead.RegistryType(vendor), Enabled: true, Match: []string{host + "/*"}, Projects: pierhead.ProjectScope{All: true},
			Credential: pierhead.RegistryCredential{Identity: pierhead.IdentityNode}})
	}
	return own, nil
}

func coversHost(r pierhead.Registry, host string) bool {
	return slices.ContainsFunc(r.Match, func(text string) bool {
		pattern, err := image.ParsePattern(text)
		return err == nil && pattern.MatchesHost(host)
	})
}

func (s *survey) add(r *pierhead.Registry, all bool) error {
	switch {
	case !r.Enabled, !r.Projects.All && len(r.Projects.Names) == 0:
		return nil // serves nobody
	case !r.Projects.All && !all:
		s.warn(r, "it lists projects, and what asks from this runtime has none, so it is left out",
			"let all projects use it (pier registry update "+r.Name+" --projects all), or run its images as executions")
		return nil
	}
	for _, text := range r.Match {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			return fmt.Errorf("registry %s: %w", r.Name, err)
		}
		c := claim{registry: r, pattern: pattern, host: pattern.Host()}
		if pattern.HostHasGlob() {
			s.wild = append(s.wild, c)
		} else {
			s.at[c.host] = append(s.at[c.host], c)
		}
	}
	return nil
}

// addHosts writes out the hosts that were asked for.
func (s *survey) addHosts() error {
	for _, text := range s.settings.Hosts {
		host, err := image.CanonicalHost(text)
		if err != nil {
			return err
		}
		found := len(s.at[host]) > 0
		for _, c := range s.wild {
			if c.pattern.MatchesHost(host) {
				c.host = host
				s.at[host] = append(s.at[host], c)
				found = true
			}
		}
		if !found {
			return pierhead.NewProblem(pierhead.ErrNotFound, fmt.Sprintf("no registry that may be used here covers the host %s", host), "see which there are: pier registry list")
		}
	}
	return nil
}

func (s *survey) warn(r *pierhead.Registry, text, hint string) {
	if w := (Warning{r.Name, text, hint}); !slices.Contains(s.warnings, w) {
		s.warnings = append(s.warnings, w)
	}
}

// warnWild tells of the patterns for which a dialect that knows only literal hosts has no words, unless some of their hosts
// were written out.
func (s *survey) warnWild(tool string) {
	for _, c := range s.wild {
		if !slices.ContainsFunc(s.settings.Hosts, func(host string) bool { host, _ = image.CanonicalHost(host); return c.pattern.MatchesHost(host) }) {
			s.warn(c.registry, fmt.Sprintf("%s has no wildcards in hosts, and %s has one", tool, c),
				"name the hosts that this node pulls from: --host HOST, once for each")
		}
	}
}

// plain tells whether the host is spoken to without TLS.
func (s *survey) plain(host string) bool {
	return slices.ContainsFunc(s.at[host], func(c claim) bool { return c.registry.PlainHTTP })
}

// warnOwnCA tells which registries a runtime cannot reach past the mirror, because it lacks their CA.
func (s *survey) warnOwnCA(host string) {
	for _, c := range s.at[host] {
		if c.registry.CA != "" {
			s.warn(c.registry, fmt.Sprintf("%s has a CA of its own, which the agent knows and this file does not; without the mirror the host cannot be reached", host),
				"give the runtime the CA too, if it shall do without the mirror")
			return
		}
	}
}

// check refuses settings that would be written into a file as they are.
func (s Settings) check() error {
	host, port, err := net.SplitHostPort(s.Mirror)
	if ip := net.ParseIP(host); err != nil || port == "" || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("the mirror's address %q is not a loopback address and port", s.Mirror), "the default is 127.0.0.1:5050")
	}
	for _, name := range []string{s.Helper, s.Plugin} {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || strings.HasPrefix(name, ".") {
			return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("%q is not the name of a program", name), "")
		}
	}
	return nil
}

// mirrorPath is what the mirror calls a host in the path of a repository: a port is written with an underscore. An IPv6
// literal has no such name.
func mirrorPath(host string) (string, bool) {
	return strings.ReplaceAll(host, ":", "_"), !strings.HasPrefix(host, "[")
}

// comment is lines of a comment, as YAML and TOML have them.
func comment(lines ...string) string {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString("# " + line + "\n")
	}
	return text.String()
}
