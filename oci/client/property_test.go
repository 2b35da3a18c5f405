package client_test

import (
	"slices"

	"pierhead.dev/pierhead/egress/egresstest"
)

// A door is a server of the world, told apart by whether it has TLS.
type door struct {
	host   string
	secure bool
	server *egresstest.Server
}

// received is what each server was sent so far.
func (f *fixture) received() map[door]string {
	out := map[door]string{}
	seen := map[string]bool{}
	for _, s := range f.Servers() {
		// The fixture starts each host with TLS first, and then without.
		out[door{s.Host, !seen[s.Host], s}] = s.Received()
		seen[s.Host] = true
	}
	return out
}

type added string

func (a added) knows(secret string) bool { return egresstest.Contains(string(a), secret) }

func contains(list []string, item string) bool { return slices.Contains(list, item) }
