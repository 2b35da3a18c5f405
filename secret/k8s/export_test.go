package k8s

import "pierhead.dev/pierhead/secret"

// Canonical reads a reference and prints it back.
func Canonical(ref secret.Ref) (string, error) {
	p, err := parse(ref)
	return p.String(), err
}
