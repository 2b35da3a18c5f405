package basic_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/basic"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/secret"
)

const marker = "hunter2-Marker"

func value(format string, args ...any) secret.Value {
	return secret.NewValue(fmt.Appendf(nil, format, args...))
}

func seed000(server string) secret.Value {
	return value(`{"username": "ci", "password": %q, "server": %q}`, marker, server)
}

func TestContract(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("ci:" + marker))
	for name, r := range map[string]exchange.Request{
		"A3 seed form":                 {Host: "example.jfrog.io", Secret: seed000("example.jfrog.io")},
		"A3 seed form, port":           {Host: "registry.example.com:5000", Secret: seed000("https://registry.example.com:5000/")},
		"auths":                        {Host: "ghcr.io", Secret: value(`{"auths":{"ghcr.io":{"auth":%q}}}`, auth)},
		"without server, by the match": {Host: "ghcr.io", Hosts: []string{"ghcr.io"}, Secret: value(`{"username":"ci","password":%q}`, marker)},
		"sealed":                       {Host: "ghcr.io", Hosts: []string{"ghcr.io"}, Sealed: true, Secret: value(`{"username":"ci","password":%q}`, marker)},
	} {
		t.Run(name, func(t *testing.T) {
			exchangetest.Test(t, exchangetest.Subject{Exchanger: basic.New(), Good: r, Secrets: []string{marker, auth}})
		})
	}
}

func TestA4DockerHubsNames(t *testing.T) {
	for _, server := range []string{"docker.io", "Docker.IO", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "https://index.docker.io/v1/", "https://index.docker.io/v2/", "https://registry.hub.docker.com/", "docker.io:443"} {
		c, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "docker.io", Secret: seed000(server)})
		if err != nil || !c.For("docker.io") || c.Username() != "ci" || c.Password() != marker {
			t.Errorf("%s: %v, %v", server, c, err)
		}
	}
	for _, server := range []string{"auth.docker.io", "hub.docker.com", "evil.docker.io", "docker.io.evil.com", "mydocker.io", "docker.io:5000"} {
		_, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "docker.io", Secret: seed000(server)})
		if !errors.Is(err, exchange.ErrHostMismatch) {
			t.Errorf("%s: %v", server, err)
		}
	}
}

func TestA5MismatchNamesBothHosts(t *testing.T) {
	_, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "ghcr.io", Secret: seed000("docker.io")})
	if want := "the secret is for docker.io and the image is at ghcr.io: the login is not sent there"; !errors.Is(err, exchange.ErrHostMismatch) || err.Error() != want {
		t.Errorf("got %v", err)
	}
	exchangetest.Silent(t, err, marker)
}

// A secret that names no host serves exactly the literal hosts of match, and nothing where there are none.
func TestLoginsWithoutHost(t *testing.T) {
	plain := value(`{"username":"ci","password":%q}`, marker)
	two := []string{"a.example.com", "b.example.com:5000"}
	c, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "a.example.com", Hosts: two, Secret: plain})
	if err != nil || !c.For("a.example.com") || !c.For("b.example.com:5000") || len(c.Hosts()) != 2 {
		t.Errorf("%v, %v", c, err)
	}
	for _, sealed := range []bool{false, true} {
		_, err = basic.New().Exchange(t.Context(), exchange.Request{Host: "a.example.com", Secret: plain, Sealed: sealed})
		if !errors.Is(err, exchange.ErrContent) || errors.Is(err, exchange.ErrHostMismatch) || !strings.Contains(exchange.HintOf(err), `"server": "a.example.com"`) {
			t.Errorf("%v", err)
		}
		_, err = basic.New().Exchange(t.Context(), exchange.Request{Host: "c.example.com", Hosts: two, Secret: plain, Sealed: sealed})
		if !errors.Is(err, exchange.ErrHostMismatch) {
			t.Errorf("%v", err)
		}
	}
	// One that names its host is for no other, whatever match says.
	_, err = basic.New().Exchange(t.Context(), exchange.Request{Host: "a.example.com", Hosts: two, Sealed: true, Secret: seed000("b.example.com:5000")})
	if !errors.Is(err, exchange.ErrHostMismatch) {
		t.Errorf("%v", err)
	}
}

func TestPathsAreWholeSegments(t *testing.T) {
	auths := value(`{"auths":{"quay.io/acme":{"username":"acme","password":"1"},"quay.io/acme/ml":{"username":"ml","password":"2"},"quay.io/other":{"username":"other","password":"3"}}}`)
	for repository, want := range map[string]string{"acme": "acme", "acme/x": "acme", "acme/ml": "ml", "acme/ml/deep/er": "ml", "acme/mlx": "acme", "other/x": "other", "acmex/y": "", "x/acme": ""} {
		c, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "quay.io", Repository: repository, Secret: auths})
		if want == "" {
			if !errors.Is(err, exchange.ErrHostMismatch) {
				t.Errorf("%s: %v, %v", repository, c, err)
			}
		} else if err != nil || c.Username() != want {
			t.Errorf("%s: %v, %v", repository, c, err)
		}
	}
	if _, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "quay.io", Secret: auths}); !errors.Is(err, exchange.ErrContent) {
		t.Errorf("which of three, unasked: %v", err)
	}
	c, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "example.jfrog.io", Secret: seed000("example.jfrog.io/anyscale")})
	if err != nil || c.Username() != "ci" {
		t.Errorf("the only one: %v, %v", c, err)
	}
}

func TestNoSecret(t *testing.T) {
	if _, err := basic.New().Exchange(t.Context(), exchange.Request{Host: "ghcr.io", Hosts: []string{"ghcr.io"}}); !errors.Is(err, exchange.ErrContent) {
		t.Error(err)
	}
}
