package agent

import (
	"net/url"
	"strings"
	"testing"

	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
)

// names are the ways in which an image is named to the mirror; "" as a result is a refusal.
var names = []struct{ query, repository, want string }{
	// containerd's
	{"ns=registry.example.com", "team/app", "registry.example.com/team/app"},
	{"ns=127.0.0.1%3A5000", "team/app", "127.0.0.1:5000/team/app"},
	{"ns=docker.io", "library/ubuntu", "docker.io/library/ubuntu"},
	{"ns=docker.io", "ubuntu", "docker.io/library/ubuntu"},
	{"ns=registry-1.docker.io", "me/app", "docker.io/me/app"},
	{"ns=%5B%3A%3A1%5D%3A5000", "team/app", "[::1]:5000/team/app"},
	{"ns=REGISTRY.example.com%3A443", "app", "registry.example.com/app"},
	// by a path
	{"", "registry.example.com/team/app", "registry.example.com/team/app"},
	{"", "127.0.0.1_5000/team/app", "127.0.0.1:5000/team/app"},
	{"", "registry_5000/app", "registry:5000/app"},
	{"", "localhost/app", "localhost/app"},
	{"", "localhost_5000/a/b/c", "localhost:5000/a/b/c"},
	{"", "docker.io/library/ubuntu", "docker.io/library/ubuntu"},
	{"", "docker.io/ubuntu", "docker.io/library/ubuntu"},
	{"", "registry_443/app", "registry/app"},
	{"ns=", "registry.example.com/app", "registry.example.com/app"},
	// Docker Hub's
	{"", "library/ubuntu", "docker.io/library/ubuntu"},
	{"", "ubuntu", "docker.io/library/ubuntu"},
	{"", "team/app", "docker.io/team/app"},
	{"", "some.thing", "docker.io/library/some.thing"}, // one segment is no host
	{"", "my_team/app", "docker.io/my_team/app"},
	{"", "team_123456/app", "docker.io/team_123456/app"}, // no port has six digits
	// What could be read in two ways, and is read in one.
	{"", "team_5000/app", "team:5000/app"},
	{"", "docker.io/team_5000/app", "docker.io/team_5000/app"},
	{"ns=docker.io", "team_5000/app", "docker.io/team_5000/app"},
	{"ns=harbor.example.com", "docker.io/library/ubuntu", "harbor.example.com/docker.io/library/ubuntu"},
	{"ns=registry.example.com", "registry.example.com/team/app", "registry.example.com/team/app"},
	{"ns=127.0.0.1%3A5000", "127.0.0.1_5000/team/app", "127.0.0.1:5000/team/app"},
	{"ns=127.0.0.1%3A5000", "127.0.0.1/team/app", "127.0.0.1:5000/127.0.0.1/team/app"},
	// No image.
	{"ns=a.example&ns=b.example", "app", ""},
	{"ns=http%3A%2F%2Fa.example", "app", ""},
	{"ns=a.example%2Fteam", "app", ""},
	{"ns=user@a.example", "app", ""},
	{"ns=*", "app", ""},
	{"ns=a b", "app", ""},
	{"", "foo_bar.com/app", ""},
}

func TestMirroredNames(t *testing.T) {
	for _, c := range names {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := mirrored(query, c.repository)
		if c.want == "" {
			if told, ok := err.(*oci.Error); !ok || told.Status != 400 || told.Code != "NAME_INVALID" || told.Text == "" {
				t.Errorf("?%s %s is %s, %v", c.query, c.repository, got, err)
			}
			continue
		}
		if name := got.Name(); err != nil || name != c.want || got.TagKnown() || got.DigestKnown() {
			t.Errorf("?%s %s is %s, %v; want %s", c.query, c.repository, name, err, c.want)
		}
	}
}

func TestMisspeltNames(t *testing.T) {
	for path, hint := range map[string]string{
		"/v2/127.0.0.1:5000/team/app/manifests/1": "127.0.0.1_5000",
		"/v2/[::1]:5000/app/manifests/1":          "give the registry a name",
		"/v2/[::1]_5000/app/manifests/1":          "give the registry a name",
		"/v2/app/manifests/sha256:1":              "",
		"/v2/":                                    "",
		"/v2":                                     "",
		"/":                                       "",
	} {
		if err := misspelt(path); (err == nil) != (hint == "") || err != nil && !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Whatever comes in, what comes out is a reference that is read the same again by its path, and never a host that was not named.
func FuzzMirrored(f *testing.F) {
	for _, c := range names {
		query, _ := url.ParseQuery(c.query)
		f.Add(query.Get("ns"), c.repository)
	}
	f.Fuzz(func(t *testing.T, ns, repository string) {
		_ = misspelt("/v2/" + repository)
		query := url.Values{}
		if ns != "" {
			query.Set("ns", ns)
		}
		got, err := mirrored(query, repository)
		if err != nil {
			return
		}
		if ns != "" && !sameHost(ns, got.Host()) {
			t.Fatalf("ns %q became %s", ns, got.Host())
		}
		if got.Host() != image.Hub && ns == "" && !strings.HasPrefix(strings.ToLower(repository), strings.ReplaceAll(got.Host(), ":", "_")) {
			t.Fatalf("%q became %s", repository, got.Name())
		}
		name, err := endpointRepository(got)
		if err != nil || !strings.ContainsAny(got.Host(), ".:") { // cannot be written so
			return
		}
		if again, err := mirrored(nil, name); err != nil || again.Name() != got.Name() {
			t.Fatalf("%s is written %s and read %s, %v", got.Name(), name, again.Name(), err)
		}
	})
}
