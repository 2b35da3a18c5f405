// Package gcp makes logins for Google's registries, Artifact Registry and gcr.io, out of everything that Google takes for an
// identity: the node's own, a service account's key, a token of the node's that a workload identity pool takes, and any of
// them standing in for a service account. What is sent to a registry is always an access token, for an hour at most; a key
// never leaves the node.
//
// A login names its hosts, but for keys and federations: their tokens go to Google's hosts and no others, so there is nobody
// else whom they could be sent to.
package gcp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/tokendir"
	"pierhead.dev/pierhead/secret"
)

// Username is the user name of every login that comes out: the registries take it with an access token.
const Username = "oauth2accesstoken"

// whole bounds one exchange, with all that it asks for.
const whole = 40 * time.Second

// Config says what the exchanges stand on.
type Config struct {
	Client    *google.Client
	Node      *google.Node
	TokenDirs tokendir.Dirs // where the tokens lie that an external_account in a secret may name; none are none
}

// An Exchanger makes access tokens. New makes one.
type Exchanger struct{ config Config }

// New makes an Exchanger; nothing is asked of anybody yet.
func New(c Config) *Exchanger { return &Exchanger{config: c} }

// Exchange implements exchange.Exchanger for hosts that image.VendorOf knows as Google's; for all others it asks nobody and
// answers exchange.ErrHostMismatch. The login's expiry is the token's, its principal an e-mail or principalSet://…, its host
// r.Host alone. Errors: as exchange.Exchanger has them.
func (e *Exchanger) Exchange(ctx context.Context, r exchange.Request) (credential.Credential, error) {
	if image.VendorOf(r.Host) != image.VendorGCP {
		return credential.Credential{}, &exchange.Error{Kind: exchange.ErrHostMismatch,
			Text: r.Host + " is none of Google's registries (gcr.io, us.gcr.io, LOCATION-docker.pkg.dev, docker.LOCATION.rep.pkg.dev): no login of Google's is sent there",
			Hint: "an organization admin changes the registry's match patterns, or its type if it is not Google's"}
	}
	if r.Sealed && !slices.Contains(r.Hosts, r.Host) {
		return credential.Credential{}, &exchange.Error{Kind: exchange.ErrHostMismatch,
			Text: "the login was sealed for other hosts than " + r.Host + ": it is not used there", Hint: "an organization admin types it in again, with the registry's match patterns as they are now"}
	}
	if err := ctx.Err(); err != nil {
		return credential.Credential{}, err
	}
	token, err := e.token(ctx, r)
	if err != nil {
		return credential.Credential{}, outward(ctx, err)
	}
	return credential.New(Username, string(token.Value.Reveal()), token.Expires, []string{r.Host}).WithPrincipal(token.Principal), nil
}

// kinds says what an error of identity/google is here.
var kinds = map[error]error{google.ErrNoIdentity: exchange.ErrNoIdentity, google.ErrRefused: exchange.ErrRefused, google.ErrUnreachable: exchange.ErrUnreachable}

func outward(ctx context.Context, err error) error {
	var e *google.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &e):
		return &exchange.Error{Kind: kinds[e.Kind], Text: e.Text, Hint: e.Hint}
	case errors.Is(err, context.DeadlineExceeded):
		return &exchange.Error{Kind: exchange.ErrUnreachable, Text: "no token of Google's came in time", Hint: "try again; if it stays so, ask whoever runs the network whether the node reaches Google's APIs and its metadata server"}
	}
	return err
}

func (e *Exchanger) token(ctx context.Context, r exchange.Request) (google.Token, error) {
	if r.Impersonate != "" && !google.IsServiceAccount(r.Impersonate) {
		return google.Token{}, content("impersonate is not the e-mail of a service account", "write it as NAME@PROJECT.iam.gserviceaccount.com")
	}
	ctx, cancel := context.WithTimeout(ctx, whole)
	defer cancel()
	token, err := e.source(ctx, r)
	if err != nil || r.Impersonate == "" {
		return token, err
	}
	return e.config.Client.Impersonate(ctx, token, r.Impersonate)
}

// source makes the token of the identity that the registry has, before it stands in for anybody.
func (e *Exchanger) source(ctx context.Context, r exchange.Request) (google.Token, error) {
	if r.Identity {
		return e.config.Node.Token(ctx)
	}
	if r.Secret.Empty() {
		return google.Token{}, content("there is no secret to make a login of", expected)
	}
	fields, err := exchange.Fields(r.Secret)
	if err != nil {
		return google.Token{}, content(err.Error(), expected)
	}
	if _, typed := fields["type"]; !typed {
		return e.password(ctx, r)
	}
	return e.file(ctx, fields)
}

const expected = `write a service account's key file, an external_account file of workload identity federation, or {"username": "oauth2accesstoken", "password": "…", "server": "…"}`

func content(text, hint string) error {
	return &exchange.Error{Kind: exchange.ErrContent, Text: text, Hint: hint}
}

// file makes a token of one of Google's own forms, which says itself what it is.
func (e *Exchanger) file(ctx context.Context, fields map[string]json.RawMessage) (google.Token, error) {
	kind, err := text(fields, "type")
	if err != nil {
		return google.Token{}, err
	}
	switch kind {
	case "service_account":
		key, err := parseKey(fields)
		if err != nil {
			return google.Token{}, err
		}
		return e.config.Client.KeyToken(ctx, key)
	case "external_account":
		federation, err := e.parseFederation(fields)
		if err != nil {
			return google.Token{}, err
		}
		return e.config.Client.FederatedToken(ctx, federation)
	case "impersonated_service_account":
		return google.Token{}, content("the secret is an impersonated_service_account file, which names a login inside another", "put the key itself into the secret, and the service account's e-mail into the registry's impersonate")
	case "authorized_user", "external_account_authorized_user":
		return google.Token{}, content("the secret is a person's login (type authorized_user), as gcloud makes it", "use a service account: "+expected)
	}
	return google.Token{}, content("type in the secret is neither service_account nor external_account", expected)
}

// tokenUser are the user names that stand before an access token: Google's own, and those of its helpers.
var tokenUser = regexp.MustCompile(`^(oauth2accesstoken|_token|_dcgcloud_token|_dcgcr_[0-9]+_[0-9]+_[0-9]+_token)$`)

// password takes a user name and password, with the host check that every such login has. A key in its place is exchanged:
// the registries would take it as it is, and every node that pulls would have it.
func (e *Exchanger) password(ctx context.Context, r exchange.Request) (google.Token, error) {
	login, err := exchange.PasswordLogin(r)
	if err != nil {
		return google.Token{}, err
	}
	key := []byte(login.Password())
	switch username := login.Username(); {
	case tokenUser.MatchString(username):
		return google.Token{Value: secret.NewValue(key), Expires: login.Expires()}, nil
	case username == "_json_key":
	case username == "_json_key_base64":
		if key, err = base64.StdEncoding.DecodeString(string(key)); err != nil {
			return google.Token{}, content("username in the secret is _json_key_base64, and password is not base64", "base64 -w0 key.json makes it; or put the key file itself into the secret")
		}
	default:
		return google.Token{}, content("username in the secret is none that Google's registries know", "it is oauth2accesstoken, _json_key or _json_key_base64; or put the key file itself into the secret")
	}
	fields, err := exchange.Fields(secret.NewValue(key))
	if err != nil {
		return google.Token{}, content("password in the secret is not the JSON of a key file", "put the key file itself into the secret, as it was downloaded")
	}
	if kind, err := text(fields, "type"); err != nil || kind != "service_account" {
		return google.Token{}, content("password in the secret is no service account's key file", expected)
	}
	parsed, err := parseKey(fields)
	if err != nil {
		return google.Token{}, err
	}
	return e.config.Client.KeyToken(ctx, parsed)
}
