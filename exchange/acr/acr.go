// Package acr makes logins for Azure's container registries. The node's identity, or a service principal out of a secret,
// gets a token from Entra; the registry exchanges it for a refresh token of its own, which lasts a few hours and is what
// leaves here, so that no lasting secret reaches a registry or an engine. The tokens for single repositories are then the
// registry client's affair. A user name and a password (a service principal's, a token's with a scope map, the admin user's)
// are sent as they are.
//
// The exchange is described at https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md.
package acr

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/image"
)

// scope is Azure's container registries, in each of its clouds.
const scope = "https://containerregistry.azure.net/.default"

// refreshUser is the user name beside a refresh token.
const refreshUser = "00000000-0000-0000-0000-000000000000"

// An Exchanger makes logins with the node's identity or with what is in the secret.
type Exchanger struct {
	identity *azure.Identity
	pause    func(context.Context, time.Duration) error // between two tries
}

// New makes one.
func New(identity *azure.Identity) *Exchanger { return &Exchanger{identity: identity, pause: pause} }

// Exchange implements exchange.Exchanger. The credential is for r.Host alone and lasts as long as the registry says.
// Errors: as there.
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (credential.Credential, error) {
	if r.Identity {
		return e.exchange(ctx, r, nil)
	}
	principal, err := parse(r)
	switch {
	case err != nil:
		return credential.Credential{}, err
	case principal == nil:
		return exchange.PasswordLogin(r)
	}
	return e.exchange(ctx, r, principal)
}

func (e *Exchanger) exchange(ctx context.Context, r exchange.Request, principal *azure.ServicePrincipal) (credential.Credential, error) {
	cloud, err := cloudOf(r)
	if err != nil {
		return credential.Credential{}, err
	}
	token, err := e.identity.Token(ctx, azure.Ask{Cloud: cloud, Scope: scope, Principal: principal})
	if err != nil {
		return credential.Credential{}, fromEntra(err, r.Host)
	}
	refresh, err := e.refreshToken(ctx, r, token)
	if err != nil {
		return credential.Credential{}, err
	}
	login := credential.New(refreshUser, refresh, expiry(refresh, time.Now()), []string{r.Host})
	return login.WithPrincipal(token.Who.String()), nil
}

// cloudOf checks that the host is a registry of Azure's, and one that the login was meant for, before anybody is asked for
// anything: https://github.com/chrismellard/docker-credential-acr-env/issues/21 is what comes of a pattern without anchors.
func cloudOf(r exchange.Request) (azure.Cloud, error) {
	tld, ok := image.ACRCloud(r.Host)
	switch {
	case !ok:
		text := r.Host + " is no registry of Azure's: no token of Azure's is sent there"
		if len(r.Hosts) > 0 {
			text += "; the login is for " + strings.Join(r.Hosts, ", ")
		}
		return "", &exchange.Error{Kind: exchange.ErrHostMismatch, Text: text,
			Hint: "Azure's registries are NAME.azurecr.io, .cn or .us; a registry under a name of your own takes a user name and password, with the type generic"}
	case len(r.Hosts) > 0 && !slices.Contains(r.Hosts, r.Host):
		return "", &exchange.Error{Kind: exchange.ErrHostMismatch, Text: "the login is for " + strings.Join(r.Hosts, ", ") + " and the image is at " + r.Host + ": it is not sent there",
			Hint: "change the registry's match patterns if the login is for that host too"}
	}
	return azure.Cloud(tld), nil
}

// fromEntra gives Entra's answer the exchange's kind.
func fromEntra(err error, host string) error {
	var e *azure.Error
	if !errors.As(err, &e) {
		return err // the context's own
	}
	kind := exchange.ErrUnreachable
	switch {
	case errors.Is(err, azure.ErrNoIdentity):
		kind = exchange.ErrNoIdentity
	case errors.Is(err, azure.ErrRefused):
		kind = exchange.ErrRefused
	}
	return &exchange.Error{Kind: kind, Text: "no login for " + host + ": " + e.Text, Hint: e.Hint}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
