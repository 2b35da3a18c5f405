package client

import (
	"slices"
	"strings"
	"sync"

	"pierhead.dev/pierhead/credential"
)

// maxSent logins are remembered. There is one, and another after each renewal.
const maxSent = 4

// sent are the logins that a registry was sent, the last ones. Whatever it answers later, to whom, they are hidden in it:
// a registry knows what it was sent, and may bring up a login where it was sent another, or none.
type sent struct {
	mu     sync.Mutex
	logins []credential.Credential
}

func (s *sent) add(login credential.Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.ContainsFunc(s.logins, func(l credential.Credential) bool { return l.ID() == login.ID() })
	if login.Empty() || known {
		return
	}
	s.logins = append(s.logins, login)
	s.logins = s.logins[max(len(s.logins)-maxSent, 0):]
}

// secrets are what must not come back: passwords, and what a Basic Authorization says.
func (s *sent) secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, login := range s.logins {
		out = append(out, login.Password(), strings.TrimPrefix(basicAuthorization(login), "Basic "))
	}
	return out
}
