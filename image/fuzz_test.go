package image

import (
	"regexp"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

// FuzzParse holds Parse against distribution/reference, and against what it prints.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"ubuntu", "me/app:1", "docker.io:443/ubuntu", "MyReg/app", "myreg:443/app", "localhost:5000", "[::1]:5000/app", "foo_bar.com/app",
		"gcr.io/p/x:UPPER@sha256:" + hex64, hex64, "https://gcr.io/x", "user:pw@gcr.io/p/x", "a___b", "gcr.io./p/x", "[::ffff:1:2]/x", "x@sha256:abc",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		named, libraryErr := reference.ParseNormalizedNamed(s)
		if err != nil {
			if libraryErr == nil && !refusedBeyondLibrary(named) {
				t.Fatalf("Parse(%q): %v; distribution/reference reads %q", s, err, named)
			}
			return
		}
		if libraryErr != nil {
			t.Fatalf("Parse(%q) = %q; distribution/reference refuses: %v", s, r, libraryErr)
		}
		compareWithLibrary(t, s, r, named)
		checkRoundTrip(t, r)
	})
}

// refusedBeyondLibrary: a path without a host, an impossible IPv6 address, and library/ making a repository too long.
func refusedBeyondLibrary(named reference.Named) bool {
	domain := reference.Domain(named)
	if domain == "" {
		return true
	}
	host, err := foldHost(domain)
	return err != nil || host == Hub && len(reference.Path(named)) > longestRepository-len("library/")
}

func compareWithLibrary(t *testing.T, s string, r Reference, named reference.Named) {
	t.Helper()
	path, host := reference.Path(named), strings.ToLower(reference.Domain(named))
	if r.Repository() != path && !(r.Host() == Hub && r.Repository() == "library/"+path) {
		t.Fatalf("Parse(%q): repository %q, distribution/reference has %q", s, r.Repository(), path)
	}
	if r.Host() != Hub && !strings.HasPrefix(host, "[") && r.Host() != strings.TrimSuffix(host, ":443") {
		t.Fatalf("Parse(%q): host %q, distribution/reference has %q", s, r.Host(), host)
	}
	if r.Host() == Hub && !strings.HasSuffix(strings.TrimSuffix(host, ":443"), "docker.io") && !strings.HasPrefix(host, "registry.hub.docker.com") {
		t.Fatalf("Parse(%q): Docker Hub, distribution/reference has %q", s, host)
	}
	tag, digest := "", ""
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		digest = digested.Digest().String()
	}
	if tag == "" && digest == "" {
		tag = DefaultTag
	}
	if r.Tag() != tag || r.Digest() != digest {
		t.Fatalf("Parse(%q): tag %q digest %q, distribution/reference has %q and %q", s, r.Tag(), r.Digest(), tag, digest)
	}
}

// FuzzParsePattern: what a pattern prints is read back as itself, and it matches what is made from it.
func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{
		"docker.io/myusername/*", "gcr.io", "gcr.io/my-project/my-registry:*", "*.dkr.ecr.*.amazonaws.com/*", "gcr.io/team-*/app:v1*", "[::1]:5000/a",
		"docker.io/ubuntu", "https://gcr.io/", "gcr.io/**", "gcr.io/x@sha256:abc", "user:pw@gcr.io", "gcr.io/a..b", "a*b*c.example.com:443/x*y/*:z*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil || again.String() != p.String() || again.path != p.path || again.subtree != p.subtree || again.tag != p.tag || again.host != p.host {
			t.Fatalf("%q prints as %q, which is read back as %q, %v", s, p, again, err)
		}
		if hosts, all := LiteralHosts([]string{s, s}); all == p.HostHasGlob() || all && (len(hosts) != 1 || hosts[0] != p.host) {
			t.Fatalf("%q is at %q, and its literal hosts are %q, %v", p, p.host, hosts, all)
		}
		tag := strings.ReplaceAll(p.tag, "*", "x")
		r, err := Parse(instance(p, tag))
		if err != nil {
			t.Fatalf("%q accepts only what is no reference: %q: %v", p, instance(p, tag), err)
		}
		if len(tag) <= 128 && p.Matches(r) != Yes {
			t.Fatalf("%q does not match its own instance %q", p, r)
		}
	})
}

// instance makes a reference that the pattern covers.
func instance(p Pattern, tag string) string {
	text := unambiguous(strings.ReplaceAll(p.host, "*", "x")) + "/"
	for segment := range strings.SplitSeq(p.path, "/") {
		if segment == "*" {
			segment = "x"
		}
		text += fill(segment) + "/"
	}
	text = strings.TrimSuffix(text, "/")
	if p.subtree {
		text = strings.TrimSuffix(text, "/") + "/x"
	}
	if tag != "" && len(tag) <= 128 {
		text += ":" + tag
	}
	return text
}

// fill takes the wildcards out where that leaves a component, else puts a letter for each.
func fill(segment string) string {
	if without := strings.ReplaceAll(segment, "*", ""); without == "" || isComponent(without) {
		return without
	}
	return strings.ReplaceAll(segment, "*", "x")
}

// isComponent, checkLabel and checkTag are written by hand; they accept what the grammar's expressions accept.
func FuzzGrammar(f *testing.F) {
	component := regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$`)
	label := regexp.MustCompile(`^(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])$`)
	tag := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	for _, s := range []string{"a", "a--b", "a__b", "a___b", "a.b", "a..b", "-a", "a-", "A-b", "_x", ".x", "a.-b", "a_-b", strings.Repeat("x", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isComponent(s) != component.MatchString(s) {
			t.Errorf("component %q: %v", s, isComponent(s))
		}
		if (checkLabel(s, false) == nil) != label.MatchString(s) {
			t.Errorf("label %q: %v", s, checkLabel(s, false))
		}
		if (checkTag(s, false) == nil) != tag.MatchString(s) {
			t.Errorf("tag %q: %v", s, checkTag(s, false))
		}
	})
}

// FuzzMatchGlob holds the matcher against a regular expression.
func FuzzMatchGlob(f *testing.F) {
	for _, c := range [][2]string{{"a*b", "axxb"}, {"*", ""}, {"*a*a*", "aa"}, {"a*ab", "aab"}, {"", ""}, {"*-x", "y-x-x"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, glob, s string) {
		if len(glob)+len(s) > 600 { // longer than anything it is called with, and slow for the expression
			return
		}
		var expression strings.Builder
		for i, piece := range strings.Split(glob, "*") {
			if i > 0 {
				expression.WriteString("(?s:.*)")
			}
			expression.WriteString(regexp.QuoteMeta(piece))
		}
		re, err := regexp.Compile("^" + expression.String() + "$")
		if err != nil { // not UTF-8
			return
		}
		if got, want := MatchGlob(glob, s), re.MatchString(s); got != want {
			t.Errorf("MatchGlob(%q, %q) = %v", glob, s, got)
		}
	})
}
