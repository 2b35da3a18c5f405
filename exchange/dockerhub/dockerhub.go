// Package dockerhub serves docker.io, under all its names and no other: logins with the Docker ID and a personal access
// token (dckr_pat_) or password, and with an organization's name and its access token (dckr_oat_).
package dockerhub

import (
	"context"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
)

// An Exchanger picks the login of a secret that is for Docker Hub.
type Exchanger struct{}

// New makes one.
func New() Exchanger { return Exchanger{} }

// Exchange implements exchange.Exchanger by exchange.PasswordLogin, at docker.io only. Errors: exchange.ErrHostMismatch,
// and exchange.ErrContent, also where the user name is an e-mail address: Docker Hub answers that as it answers a wrong
// password, and whoever reads it resets the password.
func (Exchanger) Exchange(_ context.Context, r exchange.Request) (credential.Credential, error) {
	if r.Host != image.Hub {
		return credential.Credential{}, &exchange.Error{Kind: exchange.ErrHostMismatch,
			Text: "a registry of type dockerhub is for " + image.Hub + ", and the image is at " + r.Host + ": the login is not sent there",
			Hint: "an organization admin changes the registry's type to generic, or its match patterns"}
	}
	return exchange.PasswordLogin(r)
}
