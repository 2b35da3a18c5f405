package gcpsm

import (
	"errors"
	"strings"
	"testing"

	"pierhead.dev/pierhead/secret"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"projects/acme-prod/secrets/registry", "projects/123456789012/secrets/a_b-C/versions/7", "projects/example.com:acme/secrets/x/versions/latest",
		"projects/acme/locations/europe-west1/secrets/x", "projects/acme/locations/europe-west1/secrets/x/versions/production", "projects//secrets/", "projects/a/secrets/b/versions/01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := secret.Parse(Scheme + ":" + text)
		if err != nil {
			return
		}
		n, err := parse(ref)
		if err != nil {
			if !errors.Is(err, secret.ErrRef) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if n.String() != text {
			t.Errorf("%q prints as %q", text, n)
		}
		if host := n.host(); host != "secretmanager.googleapis.com" && (!strings.HasPrefix(host, "secretmanager.") || !strings.HasSuffix(host, ".rep.googleapis.com") || strings.Count(host, ".") != 4) {
			t.Errorf("%q is asked of %s", text, host)
		}
	})
}
