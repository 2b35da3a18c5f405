package vault

import "pierhead.dev/pierhead/secret"

// Canonical reads a reference, prints it back, and tells the path.
func Canonical(ref secret.Ref) (printed, path string, err error) {
	p, err := parse(ref)
	return p.String(), p.path, err
}
