package k8s

import (
	"strings"

	"pierhead.dev/pierhead/secret"
)

// Scheme is the scheme of references that this source serves.
const Scheme = "k8s"

// A place is what a reference names: a secret of the agent's own namespace, and perhaps one of its keys.
type place struct {
	name string
	key  string // "" where none is named
}

// String is the reference that parse reads.
func (p place) String() string {
	if p.key == "" {
		return Scheme + ":" + p.name
	}
	return Scheme + ":" + p.name + "/" + p.key
}

// parse reads "k8s:NAME" and "k8s:NAME/KEY". The errors are secret.ErrRef.
func parse(ref secret.Ref) (place, error) {
	refuse := func(text, hint string) (place, error) {
		return place{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: text, Hint: hint}
	}
	const form = "write k8s:NAME, or k8s:NAME/KEY, for a secret in the namespace that the agent runs in"
	name, key, hasKey := strings.Cut(ref.Name(), "/")
	switch {
	case ref.Scheme() != Scheme:
		return refuse("not a reference to a Kubernetes secret", form)
	case strings.Contains(key, "/"), strings.HasPrefix(ref.Name(), "//"), strings.Contains(ref.Name(), ":"):
		return refuse("a reference to a Kubernetes secret names no namespace: an agent reads those of its own namespace only",
			form+"; a secret of another namespace is copied there first")
	case !isName(name):
		return refuse("not the name of a Kubernetes secret", form+"; NAME is lower-case letters, digits, '-' and '.'")
	case hasKey && !isKey(key):
		return refuse("not the name of a key in a Kubernetes secret", form+"; KEY is letters, digits, '-', '_' and '.'")
	}
	return place{name: name, key: key}, nil
}

// isName holds a name against Kubernetes' rule for secrets, a DNS subdomain (RFC 1123).
func isName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(name) <= 253
}

func isKey(key string) bool {
	for i := range len(key) {
		c := key[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return key != "" && len(key) <= 253 && key != "." && !strings.HasPrefix(key, "..")
}
