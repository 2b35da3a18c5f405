// Package basic serves registries that take a user name and a password: what the secret holds is sent as it is. The forms
// of GitHub's, GitLab's, Quay's, Harbor's, NVIDIA's and others' logins are in exchange.Check.
package basic

import (
	"context"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
)

// An Exchanger picks the login of a secret that is for the host asked about.
type Exchanger struct{}

// New makes one.
func New() Exchanger { return Exchanger{} }

// Exchange implements exchange.Exchanger by exchange.PasswordLogin. Errors: exchange.ErrHostMismatch, exchange.ErrContent.
func (Exchanger) Exchange(_ context.Context, r exchange.Request) (credential.Credential, error) {
	return exchange.PasswordLogin(r)
}
