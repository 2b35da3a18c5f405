package dockerhub_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/dockerhub"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/secret"
)

const (
	personal     = "dckr_pat_hunter2Marker0123456789ab"
	organization = "dckr_oat_hunter2Marker0123456789ab"
)

func login(username, password, server string) secret.Value {
	return secret.NewValue(fmt.Appendf(nil, `{"username": %q, "password": %q, "server": %q}`, username, password, server))
}

func TestV4Contract(t *testing.T) {
	for name, r := range map[string]exchange.Request{
		"access token":                 {Host: "docker.io", Secret: login("acme", personal, "docker.io")},
		"organization's token":         {Host: "docker.io", Repository: "acme/train", Secret: login("acme", organization, "https://index.docker.io/v1/")},
		"password":                     {Host: "docker.io", Secret: login("acme", "hunter2", "registry-1.docker.io")},
		"without server, by the match": {Host: "docker.io", Hosts: []string{"docker.io"}, Secret: secret.NewValue([]byte(`{"username":"acme","password":"` + personal + `"}`))},
	} {
		t.Run(name, func(t *testing.T) {
			exchangetest.Test(t, exchangetest.Subject{Exchanger: dockerhub.New(), Good: r, Secrets: []string{personal, organization, "hunter2"}})
		})
	}
}

// Twelve people reported one symptom, "incorrect username or password", and each was told in the end: use the Docker ID.
func TestV4EmailAsUsername(t *testing.T) {
	for password, want := range map[string]string{personal: "use the Docker ID", "hunter2": "use the Docker ID", organization: "the user name is the organization's name"} {
		_, err := dockerhub.New().Exchange(t.Context(), exchange.Request{Host: "docker.io", Secret: login("ada@example.com", password, "docker.io")})
		if !errors.Is(err, exchange.ErrContent) || !strings.Contains(err.Error(), "e-mail address") || !strings.Contains(exchange.HintOf(err), want) {
			t.Errorf("%v (%s)", err, exchange.HintOf(err))
		}
		exchangetest.Silent(t, err, password, "ada@")
	}
}

func TestV4TokensOfOthers(t *testing.T) {
	for _, password := range []string{"ghp_hunter2hunter2hunter2hunter2hunter2", "glpat-hunter2hunter2hunter2", "nvapi-hunter2hunter2hunter2", "ya29.hunter2hunter2hunter2"} {
		_, err := dockerhub.New().Exchange(t.Context(), exchange.Request{Host: "docker.io", Secret: login("acme", password, "docker.io")})
		if !errors.Is(err, exchange.ErrContent) || !strings.Contains(err.Error(), "docker.io is Docker Hub's") {
			t.Errorf("%v", err)
		}
		exchangetest.Silent(t, err, password)
	}
}

// A secret for another host stays here, even where the registry's type says Docker Hub.
func TestV4NoOtherHost(t *testing.T) {
	for _, host := range []string{"ghcr.io", "hub.docker.com", "auth.docker.io", "docker.io.evil.com", "mydocker.io"} {
		_, err := dockerhub.New().Exchange(t.Context(), exchange.Request{Host: host, Hosts: []string{host}, Secret: login("acme", personal, host)})
		if !errors.Is(err, exchange.ErrHostMismatch) {
			t.Errorf("%s: %v", host, err)
		}
	}
}
