package dialect

import (
	"fmt"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
)

// Kubelet is the kubelet's CredentialProviderConfig. Its matchImages look like our patterns and are another language:
// wildcards stand in labels of the host only, tags are not seen, and a path is a beginning of the text. What they match
// too much costs one call of the plugin, which answers that it has no login.
func Kubelet(registries []pierhead.Registry, settings Settings) (Export, error) {
	if err := settings.check(); err != nil {
		return Export{}, err
	}
	settings.Hosts = nil // it has wildcards
	s, err := look(registries, settings, settings.Audience != "")
	if err != nil {
		return Export{}, err
	}
	var images []string
	add := func(c claim) {
		if text, ok := s.matchImage(c); ok {
			images = append(images, text)
		}
	}
	for _, host := range s.hosts {
		for _, c := range s.at[host] {
			add(c)
		}
	}
	for _, c := range s.wild {
		add(c)
	}
	slices.Sort(images)
	images = slices.Compact(images)
	return s.export(len(images) > 0, File{"credential-provider-config.yaml", providerConfig(images, settings)}), nil
}

// matchImage translates one pattern, and warns of what is lost.
func (s *survey) matchImage(c claim) (text string, ok bool) {
	if strings.HasPrefix(c.host, "[") && !strings.Contains(c.host, "]:") {
		s.warn(c.registry, fmt.Sprintf("the kubelet reads the brackets of %s as a set of characters and matches nothing", c.host), "give the registry a name, or a port")
		return "", false
	}
	if image.TagIsNarrow(c.pattern.Tag()) {
		s.warn(c.registry, fmt.Sprintf("the kubelet does not tell its plugin the tag, so %s is asked for with every tag, and answered only where the tag does not matter", c),
			"write the pattern without a tag")
	}
	path := c.pattern.Path()
	switch before, _, globs := strings.Cut(path, "*"); {
	case path == "":
		return c.host, true
	case globs:
		s.warn(c.registry, fmt.Sprintf("matchImages has no wildcards in paths, so the plugin is asked for all images that begin with %s/%s, not only for %s", c.host, before, c), "")
		return c.host + "/" + before, true
	case c.pattern.Subtree():
		return c.host + "/" + path + "/", true
	default:
		s.warn(c.registry, fmt.Sprintf("a path in matchImages is a beginning, so the plugin is asked for %s/%s… too, and has no login for it", c.host, path), "")
		return c.host + "/" + path, true
	}
}

// providerConfig is the YAML, with quotes wherever a value is somebody's.
func providerConfig(images []string, settings Settings) string {
	var text strings.Builder
	text.WriteString(comment(
		"Written by pier. For the kubelet's flags",
		"  --image-credential-provider-config=THIS FILE",
		"  --image-credential-provider-bin-dir=DIRECTORY OF "+settings.Plugin,
		"The plugin asks the node's agent; there is no login here."))
	text.WriteString("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n")
	text.WriteString(provider(images, settings, "  "))
	return text.String()
}

// provider is one item of the list providers.
func provider(images []string, settings Settings, indent string) string {
	var text strings.Builder
	line := func(format string, arguments ...any) { fmt.Fprintf(&text, indent+format+"\n", arguments...) }
	line("- name: %s", settings.Plugin)
	line("  apiVersion: credentialprovider.kubelet.k8s.io/v1")
	line("  # The kubelet's own dialect: no /* at the end, and wildcards in the host only.")
	line("  matchImages:")
	for _, one := range images {
		line("    - %q", one)
	}
	line("  # The plugin says itself how long each answer is good.")
	line(`  defaultCacheDuration: "0s"`)
	if settings.Audience != "" {
		line("  # The pod's service account says which project asks. Pods without one are served as no project.")
		line("  tokenAttributes:")
		line("    serviceAccountTokenAudience: %q", settings.Audience)
		line("    cacheType: Token")
		line("    requireServiceAccount: false")
	}
	return text.String()
}
