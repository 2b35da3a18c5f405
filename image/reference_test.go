package image

import (
	"errors"
	"strings"
	"testing"
)

var hex64 = strings.Repeat("0123456789abcdef", 4)

// What distribution/reference v0.6.0 says, then what the canonical host makes of it.
func TestParse(t *testing.T) {
	sha256, sha512 := "sha256:"+hex64, "sha512:"+hex64+hex64
	for _, c := range []struct{ in, want string }{
		// familiar names
		{"ubuntu", "docker.io/library/ubuntu:latest"},
		{"library/ubuntu", "docker.io/library/ubuntu:latest"},
		{"docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"index.docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"me/app:1", "docker.io/me/app:1"},
		{"index.docker.io/me/app:1", "docker.io/me/app:1"},
		{"myreg/app", "docker.io/myreg/app:latest"},
		{"localhost:5000", "docker.io/library/localhost:5000"},
		{"docker.io", "docker.io/library/docker.io:latest"},
		{"sha256:" + hex64, "docker.io/library/sha256:" + hex64},
		// what the library does not fold, and we do
		{"registry-1.docker.io/library/ubuntu", "docker.io/library/ubuntu:latest"},
		{"registry-1.docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"registry.hub.docker.com/library/x", "docker.io/library/x:latest"},
		{"Docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"INDEX.docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"docker.io:443/ubuntu", "docker.io/library/ubuntu:latest"},
		{"Registry.Hub.Docker.Com:443/me/app", "docker.io/me/app:latest"},
		// what nobody folds
		{"auth.docker.io/x", "auth.docker.io/x:latest"},
		{"hub.docker.com/x", "hub.docker.com/x:latest"},
		{"docker.io:5000/ubuntu", "docker.io:5000/ubuntu:latest"},
		{"docker.io.evil.com/x", "docker.io.evil.com/x:latest"},
		// hosts
		{"MyReg/app", "myreg:443/app:latest"}, // host "myreg"; printed so that it is read back as a host
		{"myreg:443/app", "myreg:443/app:latest"},
		{"localhost/app", "localhost/app:latest"},
		{"LOCALHOST/app", "localhost/app:latest"},
		{"localhost:5000/app", "localhost:5000/app:latest"},
		{"myreg:5000/app:v1", "myreg:5000/app:v1"},
		{"10.0.0.1/app", "10.0.0.1/app:latest"},
		{"gcr.io:443/my-project/x", "gcr.io/my-project/x:latest"},
		{"[::1]:5000/app", "[::1]:5000/app:latest"},
		{"[fd00::1]/a/b:t", "[fd00::1]/a/b:t"},
		{"[FD00:0:0::1]:443/a/b:t", "[fd00::1]/a/b:t"},
		{"[::ffff:102:304]/a", "[::ffff:102:304]/a:latest"},
		{"xn--bcher-kva.example/app", "xn--bcher-kva.example/app:latest"},
		// tags and digests
		{"gcr.io/p/x:UPPER", "gcr.io/p/x:UPPER"},
		{"ubuntu:22.04@" + sha256, "docker.io/library/ubuntu:22.04@" + sha256},
		{"gcr.io/p/x@" + sha256, "gcr.io/p/x@" + sha256},
		{"gcr.io/p/x@" + sha512, "gcr.io/p/x@" + sha512},
		{"gcr.io/p/x:" + strings.Repeat("t", 128), "gcr.io/p/x:" + strings.Repeat("t", 128)},
		{"gcr.io/p/" + strings.Repeat("a", 253), "gcr.io/p/" + strings.Repeat("a", 253) + ":latest"},
	} {
		r, err := Parse(c.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		if r.String() != c.want {
			t.Errorf("Parse(%q) = %q, want %q", c.in, r, c.want)
		}
		if r.Written() != c.in {
			t.Errorf("Parse(%q).Written() = %q", c.in, r.Written())
		}
		checkRoundTrip(t, r)
	}
}

// checkRoundTrip: printed and parsed again, it is the same image.
func checkRoundTrip(t *testing.T, r Reference) {
	t.Helper()
	again, err := Parse(r.String())
	if err != nil {
		t.Errorf("%q, printed as %q, does not parse: %v", r.Written(), r, err)
		return
	}
	if again.Host() != r.Host() || again.Repository() != r.Repository() || again.Tag() != r.Tag() || again.Digest() != r.Digest() {
		t.Errorf("%q, printed as %q, is read back as host %q repository %q tag %q digest %q",
			r.Written(), r, again.Host(), again.Repository(), again.Tag(), again.Digest())
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		in    string
		kind  error
		names string // what the text must say
	}{
		{"", ErrEmpty, "registry.example.com/team/app:1.0"},
		{" ubuntu", ErrSpace, "without"},
		{"gcr.io/p/x\n", ErrSpace, "without"},
		{"https://gcr.io/x", ErrScheme, "without https://"},
		{"docker://gcr.io/x", ErrScheme, "without docker://"},
		{"user:pw@gcr.io/p/x", ErrUserinfo, "credential"},
		{"docker.io@evil.com/x", ErrUserinfo, "credential"},
		{"gcr.io:443@evil/x", ErrUserinfo, "credential"},
		{"::1/app", ErrHost, "brackets"},
		{"[::1/app", ErrHost, "brackets"},
		{"[::::]/app", ErrHost, "not an IPv6 address"},
		{"foo_bar.com/app", ErrHost, "underscore"},
		{"gcr.io./p/x", ErrHost, `trailing dot: "gcr.io"`},
		{"bücher.example/app", ErrHost, "xn--"},
		{"gcr..io/p", ErrHost, "between two of its dots"},
		{"myreg:v1/app", ErrHost, "digits only"},
		{"/app", ErrHost, "host before the first slash"},
		{"myreg.example.com/App", ErrUppercase, `write "app"`},
		{"App", ErrUppercase, `write "app"`},
		{"gcr.io/p/x:", ErrTag, "leave out the colon"},
		{"gcr.io/p/x:-1", ErrTag, "begins with"},
		{"gcr.io/p/x:a b", ErrSpace, ""},
		{"gcr.io/p/x:*", ErrTag, "wildcard"},
		{"gcr.io/p/x:" + strings.Repeat("t", 129), ErrTag, "128"},
		{"gcr.io/p:x/y", ErrRepository, "last part"},
		{"gcr.io/p/-x", ErrRepository, "-x"},
		{"a___b", ErrRepository, "a___b"},
		{"a..b", ErrRepository, "a..b"},
		{"gcr.io/p//x", ErrRepository, "between two slashes"},
		{"gcr.io/p/", ErrRepository, "take out the slash"},
		{"x@sha256:abc", ErrDigest, "sha256: and 64"},
		{"x@sha256:" + strings.ToUpper(hex64), ErrDigest, "lower-case"},
		{"x@md5:" + hex64[:32], ErrDigest, "sha512"},
		{"x@sha512:" + hex64, ErrDigest, "128"},
		{hex64, ErrImageID, "<name>@sha256:"},
		{"gcr.io/p/" + strings.Repeat("a", 254), ErrTooLong, "255"},
		{"Docker.io/" + strings.Repeat("a", 250), ErrTooLong, "255"}, // too long with library/ before it
	} {
		r, err := Parse(c.in)
		if err == nil {
			t.Errorf("Parse(%q) = %q, want an error", c.in, r)
			continue
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("Parse(%q): %v; want %q and %q in it", c.in, err, c.kind, c.names)
		}
		if strings.Contains(err.Error(), "pw") {
			t.Errorf("the error repeats a password: %v", err)
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("the error has control characters: %q", err)
		}
	}
}

// What is not told is unknown; an unknown tag is not "latest".
func TestUnknownParts(t *testing.T) {
	digest := "sha256:" + hex64
	implied, _ := Parse("gcr.io/p/x")
	if !implied.TagKnown() || !implied.TagImplied() || implied.Tag() != "latest" || !implied.DigestKnown() {
		t.Errorf("a reference without tag and digest: %+v", implied)
	}
	byDigest, _ := Parse("gcr.io/p/x@" + digest)
	if !byDigest.TagKnown() || byDigest.TagImplied() || byDigest.Tag() != "" {
		t.Errorf("a reference by digest alone: %+v", byDigest)
	}
	name, err := ParseName("ubuntu")
	if err != nil || name.TagKnown() || name.DigestKnown() || name.Tag() != "" || name.Name() != "docker.io/library/ubuntu" {
		t.Errorf("a name without its tag: %+v, %v", name, err)
	}
	tagged, err := ParseName("ubuntu:22.04")
	if err != nil || !tagged.TagKnown() || tagged.Tag() != "22.04" || !tagged.DigestKnown() {
		t.Errorf("a name with a tag after all: %+v, %v", tagged, err)
	}
	apart, err := New("MyReg:443", "team/app")
	if err != nil || apart.Host() != "myreg" || apart.Repository() != "team/app" || apart.TagKnown() {
		t.Errorf("host and repository apart: %+v, %v", apart, err)
	}
	if apart, err = apart.WithTag("v1"); err != nil || !apart.TagKnown() || apart.String() != "myreg:443/team/app:v1" {
		t.Errorf("with a tag: %+v, %v", apart, err)
	}
	if byDigest, err = implied.WithDigest(digest); err != nil || byDigest.String() != "gcr.io/p/x@"+digest {
		t.Errorf("an implied tag goes when there is a digest: %+v, %v", byDigest, err)
	}
	if _, err := implied.WithTag("a/b"); !errors.Is(err, ErrTag) {
		t.Errorf("WithTag: %v", err)
	}
	if _, err := implied.WithDigest("sha256:abc"); !errors.Is(err, ErrDigest) {
		t.Errorf("WithDigest: %v", err)
	}
	for _, bad := range [][2]string{{"gcr.io/x", "y"}, {"gcr.io", "y:z"}, {"gcr.io", "y@" + digest}, {"gcr.io", ""}, {"", "y"}, {"gcr.io", "Y"}} {
		if r, err := New(bad[0], bad[1]); err == nil {
			t.Errorf("New(%q, %q) = %v", bad[0], bad[1], r)
		}
	}
}

func TestDialHost(t *testing.T) {
	for in, want := range map[string]string{"ubuntu": "registry-1.docker.io", "gcr.io/p/x": "gcr.io", "localhost:5000/x": "localhost:5000"} {
		if r, err := Parse(in); err != nil || r.DialHost() != want {
			t.Errorf("Parse(%q).DialHost() = %q, %v; want %q", in, r.DialHost(), err, want)
		}
	}
}

func TestReferenceWarnings(t *testing.T) {
	for in, want := range map[string]string{
		"sha256:" + hex64:                    "digest alone",
		"gcr.io/" + strings.Repeat("a", 250): "257 characters",
		"gcr.io/p/x":                         "",
	} {
		r, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.Warnings(), "; "); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("warnings of %q: %q, want %q", in, got, want)
		}
	}
}
