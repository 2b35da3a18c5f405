package image

import (
	"errors"
	"strings"
	"testing"
)

func TestA4A5CanonicalHost(t *testing.T) {
	for in, want := range map[string]string{
		"docker.io":                        "docker.io",
		"Docker.IO":                        "docker.io",
		"docker.io:443":                    "docker.io",
		"index.docker.io":                  "docker.io",
		"INDEX.docker.io:443":              "docker.io",
		"registry-1.docker.io":             "docker.io",
		"registry.hub.docker.com":          "docker.io",
		"https://index.docker.io/v1/":      "docker.io",
		"https://index.docker.io/v2/":      "docker.io",
		"https://registry.hub.docker.com/": "docker.io",
		"docker.io:80":                     "docker.io:80",
		"auth.docker.io":                   "auth.docker.io",
		"hub.docker.com":                   "hub.docker.com",
		"docker.io.evil.com":               "docker.io.evil.com",
		"evildocker.io":                    "evildocker.io",
		" example.jfrog.io ":               "example.jfrog.io",
		"HTTPS://Example.JFrog.io/":        "example.jfrog.io",
		"http://localhost:5000":            "localhost:5000",
		"myreg":                            "myreg",
		"gcr.io:0443":                      "gcr.io:0443",
		"[::1]":                            "[::1]",
		"[0:0:0:0:0:0:0:1]:443":            "[::1]",
		"[FD00::1]:5000":                   "[fd00::1]:5000",
		"[::ffff:1.2.3.4]":                 "[::ffff:102:304]",
		"registry.example.com/team":        "registry.example.com",
	} {
		if got, err := CanonicalHost(in); err != nil || got != want {
			t.Errorf("CanonicalHost(%q) = %q, %v; want %q", in, got, err, want)
		} else if again, err := CanonicalHost(got); err != nil || again != got {
			t.Errorf("CanonicalHost(%q) = %q, %v: not stable", got, again, err)
		}
	}
}

func TestCanonicalHostRefuses(t *testing.T) {
	for in, kind := range map[string]error{
		"":                       ErrEmpty,
		"https://":               ErrEmpty,
		"ftp://gcr.io":           ErrScheme,
		"user:pw@gcr.io":         ErrUserinfo,
		"https://user:pw@gcr.io": ErrUserinfo,
		"gcr.io?x":               ErrHost,
		"gcr.io#x":               ErrHost,
		"gcr.io.":                ErrHost,
		"gcr.io.:443":            ErrHost,
		"gcr io":                 ErrSpace,
		"*.gcr.io":               ErrHost,
		"::1":                    ErrHost,
		"[::1%eth0]":             ErrHost,
		"[::1":                   ErrHost,
		"[1.2.3.4]":              ErrHost,
		"gcr.io:":                ErrHost,
		"gcr.io:https":           ErrHost,
		"foo_bar.com":            ErrHost,
		"-a.com":                 ErrHost,
		"/v2/":                   ErrHost,
		"bücher.example":         ErrHost,
		"\u212aubernetes.io":     ErrHost, // KELVIN SIGN lower-cases to "k"
	} {
		got, err := CanonicalHost(in)
		if !errors.Is(err, kind) {
			t.Errorf("CanonicalHost(%q) = %q, %v; want %q", in, got, err, kind)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestCanonicalServer(t *testing.T) {
	for in, want := range map[string][2]string{
		"registry.example.com/team/":        {"registry.example.com", "team"},
		"https://registry.example.com/a/b":  {"registry.example.com", "a/b"},
		"https://index.docker.io/v1/":       {"docker.io", ""},
		"https://registry.example.com/v2":   {"registry.example.com", ""},
		"registry.example.com":              {"registry.example.com", ""},
		"https://registry.example.com/v2x/": {"registry.example.com", "v2x"},
	} {
		if host, path, err := CanonicalServer(in); err != nil || host != want[0] || path != want[1] {
			t.Errorf("CanonicalServer(%q) = %q, %q, %v; want %q", in, host, path, err, want)
		}
	}
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"docker.io", "https://index.docker.io/v1/", "[::1]:443", "gcr.io.", "a:443:443", "[::ffff:1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, err := CanonicalHost(s)
		if err != nil {
			return
		}
		if again, err := CanonicalHost(host); err != nil || again != host {
			t.Fatalf("%q → %q → %q, %v", s, host, again, err)
		}
		r, err := New(host, "a/b")
		if err != nil || r.Host() != host {
			t.Fatalf("%q → %q, which as the host of a reference is %q, %v", s, host, r.Host(), err)
		}
	})
}
