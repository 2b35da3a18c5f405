// Package jfrog serves JFrog Artifactory, in JFrog's cloud and on hosts of one's own, in each form of host: one host with
// the repository in the path (acme.jfrog.io/docker-local/app), a sub-domain for each repository, a port for each. A secret
// is one of
//
//	{"username": …, "password": …, "server": …}        any login: a password, an access, identity or reference token; and Docker's auths
//	{"access_token": …, "refresh_token": …, "server": …}  an access token that is refreshed at half its life
//	{"oidc_provider": …, "server": …}                  nothing secret: the node's own OIDC token is exchanged at JFrog
//
// The rules of exchange.PasswordLogin say whom each is for: server, or where that is missing the literal hosts of match.
//
// # Access tokens
//
// The user name may be left out beside an access token, which says it itself ("sub").
//
// # Refreshing
//
// A refresh token is good for one use, and what comes back is kept in this process only. So such a secret serves one
// node, and after a restart only while its access token lives; where that is too little, use OIDC.
//
// # OIDC
//
// The provider's name is the integration's at JFrog; audience, project_key and identity_mapping_name are sent along where
// given. The token is read below the operator's directories of tokens from the file that has the host's name (a port
// written with an underscore: "artifactory.example.com_8443"), or for hosts in JFrog's cloud from the file "jfrog": so
// the operator, not the secret, says which token goes to whom. What comes back is a login with an expiry.
//
// Exchanges happen at the registry's own host, under /access/api. Where that host serves only the registry (some set-ups
// of sub-domains and ports), "url" in the secret names the platform's own address, and that host must be among the
// registry's confirmed realms.
package jfrog

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/internal/tokendir"
	"pierhead.dev/pierhead/secret"
)

// Config says what an Exchanger may use. The zero Config has no OIDC tokens.
type Config struct {
	TokenDirs tokendir.Dirs                                      // below which the node's OIDC tokens are
	Now       func() time.Time                                   // nil: time.Now
	Wait      func(ctx context.Context, how time.Duration) error // between tries; nil: a timer
}

// An Exchanger makes logins for Artifactory. It is safe for concurrent use.
type Exchanger struct {
	config Config

	mu        sync.Mutex
	refreshed map[[32]byte]*pair // what came of a refresh token, by a hash of it and of its host
}

// New makes an Exchanger; it asks nobody yet.
func New(c Config) *Exchanger {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	return &Exchanger{config: c, refreshed: map[[32]byte]*pair{}}
}

func wait(ctx context.Context, how time.Duration) error {
	timer := time.NewTimer(how)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Exchange implements exchange.Exchanger. Errors: exchange.ErrHostMismatch, exchange.ErrContent; exchange.ErrNoIdentity where
// the node has no OIDC token for the host; exchange.ErrRefused where JFrog refuses an OIDC or refresh token;
// exchange.ErrUnreachable.
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (credential.Credential, error) {
	if r.Secret.Empty() {
		return exchange.PasswordLogin(r)
	}
	fields, err := exchange.Fields(r.Secret)
	if err != nil {
		return credential.Credential{}, err
	}
	switch {
	case fields["oidc_provider"] != nil:
		return e.federated(ctx, r, fields)
	case fields["refresh_token"] != nil:
		return e.refreshable(ctx, r, fields)
	case fields["auths"] == nil && (fields["access_token"] != nil || fields["username"] == nil || string(fields["username"]) == `""`):
		return e.token(r, fields)
	}
	return exchange.PasswordLogin(r)
}

// token is a login with an access token that says whose it is.
func (e *Exchanger) token(r exchange.Request, fields map[string]json.RawMessage) (credential.Credential, error) {
	values, err := exchange.Texts(fields, "the secret", "access_token", "password", "username", "server")
	if err != nil {
		return credential.Credential{}, err
	}
	token := values["password"] + values["access_token"]
	if values["password"] != "" && values["access_token"] != "" {
		return credential.Credential{}, content(`the secret has both "password" and "access_token"`, "keep one of them")
	}
	username := values["username"]
	if username == "" {
		username = userOf(claimsOf(token).Subject)
	}
	if username == "" && token != "" {
		return credential.Credential{}, content("the secret has no username, and its token does not say whose it is",
			`add "username": the name of whom the token was made for; a reference token has no name in it`)
	}
	r.Secret = plain(fields, username, token)
	return exchange.PasswordLogin(r)
}

// plain is the secret as a user name and a password, with its server as it was written.
func plain(fields map[string]json.RawMessage, username, password string) secret.Value {
	out := map[string]any{"username": username, "password": password}
	if server, named := fields["server"]; named {
		out["server"] = server
	}
	text, err := json.Marshal(out)
	if err != nil {
		return secret.Value{} // texts and JSON always encode
	}
	return secret.NewValue(text)
}

// isFor applies the rules of exchange.PasswordLogin to a secret whose login is yet to be made.
func isFor(r exchange.Request, fields map[string]json.RawMessage) error {
	r.Secret = plain(fields, "yet-to-come", "yet-to-come")
	_, err := exchange.PasswordLogin(r)
	return err
}

func content(text, hint string) error {
	return &exchange.Error{Kind: exchange.ErrContent, Text: text, Hint: hint}
}
