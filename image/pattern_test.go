package image

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestV5ParsePattern(t *testing.T) {
	for in, want := range map[string]string{
		// the seeds' own
		"docker.io/myusername/*":                          "docker.io/myusername/*",
		"my-account-id.dkr.ecr.my-region.amazonaws.com/*": "my-account-id.dkr.ecr.my-region.amazonaws.com/*",
		"gcr.io/my-project/*":                             "gcr.io/my-project/*",
		"gcr.io/my-project/my-registry:*":                 "gcr.io/my-project/my-registry:*",
		"myregistry.azurecr.io/*":                         "myregistry.azurecr.io/*",
		// the whole host
		"gcr.io":          "gcr.io/*",
		"gcr.io/":         "gcr.io/*",
		"gcr.io/*":        "gcr.io/*",
		"https://gcr.io/": "gcr.io/*",
		"HTTP://GCR.io":   "gcr.io/*",
		"gcr.io/*:v1":     "gcr.io/*:v1",
		// hosts
		"GCR.io:443/p/*":        "gcr.io/p/*",
		"localhost:5000/*":      "localhost:5000/*",
		"myreg/*":               "myreg/*",
		"[::1]:5000/*":          "[::1]:5000/*",
		"[FD00:0::1]:443/a":     "[fd00::1]/a",
		"*.dkr.ecr.*.AWS.com/*": "*.dkr.ecr.*.aws.com/*",
		"*.azurecr.io":          "*.azurecr.io/*",
		"*.example.com:5000/*":  "*.example.com:5000/*",
		// Docker Hub
		"docker.io/ubuntu":                       "docker.io/library/ubuntu",
		"docker.io/ubuntu:22.*":                  "docker.io/library/ubuntu:22.*",
		"docker.io/ubu*":                         "docker.io/library/ubu*",
		"index.docker.io/ubuntu":                 "docker.io/library/ubuntu",
		"registry-1.docker.io/me/*":              "docker.io/me/*",
		"registry.hub.docker.com/me/*":           "docker.io/me/*",
		"https://index.docker.io/me/*":           "docker.io/me/*",
		"docker.io/*":                            "docker.io/*",
		"docker.io/name/*":                       "docker.io/name/*",
		"auth.docker.io/ubuntu":                  "auth.docker.io/ubuntu",
		"docker.io:5000/ubuntu":                  "docker.io:5000/ubuntu",
		"gcr.io/my-project/team-*/app":           "gcr.io/my-project/team-*/app",
		"gcr.io/*/app":                           "gcr.io/*/app",
		"gcr.io/my-project/x:v1*-rc.*":           "gcr.io/my-project/x:v1*-rc.*",
		"gcr.io/p/x:" + strings.Repeat("t", 128): "gcr.io/p/x:" + strings.Repeat("t", 128),
	} {
		p, err := ParsePattern(in)
		if err != nil {
			t.Errorf("ParsePattern(%q): %v", in, err)
			continue
		}
		if p.String() != want || p.Written() != in {
			t.Errorf("ParsePattern(%q) = %q, want %q", in, p, want)
		}
		if again, err := ParsePattern(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%q read back: %q, %v", p, again, err)
		}
	}
}

func TestParsePatternRefuses(t *testing.T) {
	for _, c := range []struct {
		in    string
		kind  error
		names string
	}{
		{"", ErrEmpty, "host/path/*"},
		{"https://", ErrEmpty, "host/path/*"},
		{"oci://gcr.io/x", ErrScheme, "without oci://"},
		{" gcr.io", ErrSpace, "without"},
		{"gcr.io/a b", ErrSpace, "without"},
		{"user:pw@gcr.io/*", ErrUserinfo, "credential"},
		{"https://user:pw@gcr.io/*", ErrUserinfo, "credential"},
		{"gcr.io/x@sha256:" + hex64, ErrPattern, "no digest"},
		{"gcr.io/x?y=1", ErrPattern, "only wildcard"},
		{"gcr.io/x#y", ErrPattern, "only wildcard"},
		{"gcr.io/[ab]", ErrPattern, "only wildcard"},
		{"gcr.io/**", ErrPattern, "once"},
		{"gcr.io/a/**/b", ErrPattern, "once"},
		{"gcr.io//x", ErrRepository, "between two slashes"},
		{"gcr.io/p/", ErrRepository, `"p/*"`},
		{"gcr.io/../x", ErrRepository, ".."},
		{"gcr.io/p/:v1", ErrRepository, ""},
		{"gcr.io/:v1", ErrRepository, ""},
		{"gcr.io/p/x:", ErrTag, "leave out the colon"},
		{"gcr.io/p/x:-1", ErrTag, "begins with"},
		{"gcr.io/p/x:" + strings.Repeat("t", 129), ErrTag, "128"},
		{"gcr.io/P/x", ErrUppercase, `"p/x"`},
		{"gcr.io/p:v/x", ErrRepository, "last part"},
		{"gcr.io/-*", ErrRepository, "match nothing"},
		{"gcr.io/<project>/*", ErrRepository, "placeholder"},
		{"<acct>.dkr.ecr.<region>.amazonaws.com/*", ErrHost, "placeholder"},
		{"gcr.io./*", ErrHost, "trailing dot"},
		{"gcr.io:*/x", ErrHost, "digits only"},
		{"/x", ErrHost, "host before"},
		{"ubuntu:22.04", ErrHost, "docker.io/library/ubuntu:22.04"},
		{"[*::1]/x", ErrHost, "wildcard"},
		{"::1/x", ErrHost, "brackets"},
		{"foo_bar.com/*", ErrHost, "underscore"},
		{"-*.example.com/*", ErrHost, "hyphen"},
		{strings.Repeat("a", 256) + "/*", ErrTooLong, "255"},
		{"gcr.io/" + strings.Repeat("a", 256), ErrTooLong, "255"},
		{"gcr.io/" + strings.Repeat("*/", 128) + "a", ErrTooLong, "255"},
	} {
		p, err := ParsePattern(c.in)
		if err == nil {
			t.Errorf("ParsePattern(%q) = %q, want an error", c.in, p)
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("ParsePattern(%q): %v; want %q and %q in it", c.in, err, c.kind, c.names)
		}
		if strings.Contains(err.Error(), "pw") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestPatternMatches(t *testing.T) {
	digest := "@sha256:" + hex64
	for _, c := range []struct {
		pattern, image string
		want           Verdict
	}{
		{"gcr.io/p/*", "gcr.io/p/x", Yes},
		{"gcr.io/p/*", "gcr.io/p/x/y/z@sha256:" + hex64, Yes}, // nested repositories
		{"gcr.io/p/*", "gcr.io/p", No},                        // the namespace itself is not below it
		{"gcr.io/p/*", "gcr.io/p2/x", No},                     // a segment's border, never a raw prefix
		{"gcr.io/p/*", "gcr.io/p2", No},
		{"gcr.io/p/x", "gcr.io/p/x", Yes},
		{"gcr.io/p/x", "gcr.io/p/x:v1", Yes},
		{"gcr.io/p/x", "gcr.io/p/x" + digest, Yes},
		{"gcr.io/p/x", "gcr.io/p/x/y", No},
		{"gcr.io/p/x:*", "gcr.io/p/x", Yes},
		{"gcr.io/p/x:*", "gcr.io/p/x" + digest, Yes},
		{"gcr.io/p/x:v1*", "gcr.io/p/x:v1.2", Yes},
		{"gcr.io/p/x:v1*", "gcr.io/p/x:v2", No},
		{"gcr.io/p/x:v1*", "gcr.io/p/x:v1" + digest, Yes},
		{"gcr.io/p/x:v1*", "gcr.io/p/x" + digest, No}, // a narrower tag needs a tag
		{"gcr.io/p/x:latest", "gcr.io/p/x", Yes},      // implied
		{"gcr.io/team-*/app", "gcr.io/team-a/app", Yes},
		{"gcr.io/team-*/app", "gcr.io/team-a/b/app", No}, // "*" crosses no slash
		{"gcr.io/*/app", "gcr.io/x/app", Yes},
		{"gcr.io/*/app/*", "gcr.io/x/app", No},
		{"gcr.io/*/app/*", "gcr.io/x/app/y/z", Yes},
		{"gcr.io/a*", "gcr.io/ab", Yes},
		{"gcr.io/a*", "gcr.io/ab/c", No}, // only a "*" alone is a subtree
		{"*.azurecr.io", "a.azurecr.io/x", Yes},
		{"*.azurecr.io", "a.b.azurecr.io/x", No},
		{"*.azurecr.io", "azurecr.io/x", No},
		{"*.azurecr.io", "a.azurecr.io:8443/x", No},
		{"*.azurecr.io", "a.azurecr.io:443/x", Yes},
		{"*.azurecr.io", "a.azurecr.io.evil.com/x", No},
		{"a-*.azurecr.io:8443", "a-b.azurecr.io:8443/x", Yes},
		{"*", "[::1]/x", No}, // no wildcard in or for an IPv6 literal
		{"*", "localhost/x", Yes},
		{"[::1]:5000", "[0::1]:5000/x", Yes},
		{"docker.io/ubuntu", "ubuntu:22.04", Yes},
		{"docker.io/library/*", "docker.io/myusername", Yes},
		{"docker.io/myusername/*", "docker.io/myusername", No},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(c.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Matches(r); got != c.want {
			t.Errorf("%q against %q: %v, want %v", c.image, c.pattern, got, c.want)
		}
	}
	name, _ := ParseName("gcr.io/p/x")
	for pattern, want := range map[string]Verdict{"gcr.io/p/x:v1": Maybe, "gcr.io/p/x:*": Yes, "gcr.io/p/x": Yes, "gcr.io/p/y:v1": No} {
		if p, err := ParsePattern(pattern); err != nil || p.Matches(name) != want {
			t.Errorf("a name with unknown tag against %q: %v, want %v", pattern, p.Matches(name), want)
		}
	}
}

// A port that nobody can dial is told when it is saved, not by the first pull.
func TestPatternCheckSavePorts(t *testing.T) {
	for in, ok := range map[string]bool{
		"gcr.io:1": true, "gcr.io:65535/x": true, "[fd00::1]:5000": true, "[fd00::1]": true, "gcr.io:443": true, "*.example.com:5000": true,
		"gcr.io:0": false, "gcr.io:65536/*": false, "gcr.io:0443": false, "gcr.io:99999999999999999999": false, "[fd00::1]:65536": false, "*.example.com:65536": false,
	} {
		p, err := ParsePattern(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckSave(); (err == nil) != ok || err != nil && !errors.Is(err, ErrHost) {
			t.Errorf("CheckSave of %q: %v", in, err)
		}
	}
}

// How much a wildcard in a host may cover when it is saved.
func TestPatternCheckSave(t *testing.T) {
	for in, ok := range map[string]bool{
		"*": false, "*.com/*": false, "*.io": false, "reg*": false, "a.*.com": false, "10.0.0.*": false, "*.io:5000/x": false,
		"*.azurecr.io/*": true, "*.dkr.ecr.*.amazonaws.com/*": true, "a-*.example.com:5000": true, "gcr.io/*": true, "[::1]": true, "localhost": true,
	} {
		p, err := ParsePattern(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckSave(); (err == nil) != ok || err != nil && !errors.Is(err, ErrWideHost) {
			t.Errorf("CheckSave of %q: %v", in, err)
		}
	}
}

func TestPatternFacts(t *testing.T) {
	for in, want := range map[string]string{
		"my-account-id.dkr.ecr.my-region.amazonaws.com/*": "my-account-id",
		"your-registry.azurecr.io/*":                      "your-registry",
		"gcr.io/project-id/*":                             "project-id",
		"12345.dkr.ecr.eu-west-1.amazonaws.com/*":         "12 digits",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/*":  "",
		"*.dkr.ecr.*.amazonaws.com/*":                     "",
		"myregistry.azurecr.io/*":                         "",
		"docker.io/myusername/*":                          "",
		"myusername/*":                                    "docker.io/myusername",
		"localhost/*":                                     "",
		"registry:443/*":                                  "",
	} {
		p, err := ParsePattern(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Warnings(), "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("warnings of %q: %q, want %q", in, got, want)
		}
	}
	p, _ := ParsePattern("gcr.io/p/x:v1")
	if repository, ok := p.Repository(); !ok || repository != "p/x" || p.HostHasGlob() || p.WholeHost() {
		t.Errorf("%+v", p)
	}
	if host, ok := p.Literal(); !ok || host != "gcr.io" {
		t.Errorf("%+v", p)
	}
	p, _ = ParsePattern("*.azurecr.io")
	if _, ok := p.Repository(); ok || !p.HostHasGlob() || !p.WholeHost() {
		t.Errorf("%+v", p)
	}
	if _, ok := p.Literal(); ok {
		t.Errorf("%+v", p)
	}
}

func TestLiteralHosts(t *testing.T) {
	for _, test := range []struct {
		match []string
		hosts []string
		all   bool
	}{
		{nil, []string{}, true},
		{[]string{"b.example/x/*", "A.example:443/*", "b.example/y"}, []string{"a.example", "b.example"}, true},
		{[]string{"index.docker.io/me/*", "registry-1.docker.io/you/*"}, []string{"docker.io"}, true},
		{[]string{"*.azurecr.io/*", "a.example/*"}, []string{"a.example"}, false},
		{[]string{"no pattern", "a.example/*"}, []string{"a.example"}, false},
		{[]string{"https://a.example", "me:pw@b.example/*", "ftp://c.example/*", "/*", "https:///x"}, []string{"a.example"}, false},
	} {
		if hosts, all := LiteralHosts(test.match); !slices.Equal(hosts, test.hosts) || hosts == nil || all != test.all {
			t.Errorf("%q: %q, %v; want %q, %v", test.match, hosts, all, test.hosts, test.all)
		}
	}
}
