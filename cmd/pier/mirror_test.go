package main

import (
	"errors"
	"testing"

	"pierhead.dev/pierhead"
)

func TestMirrorHosts(t *testing.T) {
	hosts, err := mirrorHosts([]string{"Docker.io", "registry.example.com:5000", "*.dkr.ecr.*.amazonaws.com"})
	if err != nil || len(hosts) != 3 || !hosts[0].MatchesHost("docker.io") || !hosts[2].MatchesHost("1.dkr.ecr.us-east-1.amazonaws.com") || hosts[1].MatchesHost("registry.example.com") {
		t.Errorf("%v, %v", hosts, err)
	}
	for _, text := range []string{"", "*", "*.com", "*.io", "gcr.io/team/*", "gcr.io/team", "gcr.io/*:v1", "http//x", "two words"} {
		if hosts, err := mirrorHosts([]string{text}); !errors.Is(err, pierhead.ErrBadInput) || pierhead.HintOf(err) == "" {
			t.Errorf("%q is %v, %v", text, hosts, err)
		}
	}
}
