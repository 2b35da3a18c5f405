// Package azurekv reads secrets out of Azure Key Vault with the node's identity:
//
//	https://acme.vault.azure.net/secrets/registry
//	https://acme.vault.azure.net/secrets/registry/0123456789abcdef0123456789abcdef
//
// A token of the node's goes only to hosts that are vaults of Azure's by their whole name, and only a token for vaults. A
// vault keeps the earlier versions of a secret, but says which those are only to who may list them: what a node needs is the
// permission get, so there is nothing before a rotation here.
package azurekv

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/secret"
)

const wholeTime = 35 * time.Second // for one secret, with the token for it

// A Source is Key Vault, asked by this node.
type Source struct{ identity *azure.Identity }

// New makes one.
func New(identity *azure.Identity) Source { return Source{identity} }

// Get implements secret.Source. Nothing is kept but the token of the node's, which Azure's library keeps. Errors: as there.
func (s Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	address, err := ParseRef(ref)
	if err != nil {
		return secret.Value{}, err
	}
	if err := ctx.Err(); err != nil {
		return secret.Value{}, err
	}
	caller := &caller{identity: s.identity, address: address}
	options := azsecrets.ClientOptions{ClientOptions: s.identity.ClientOptions()}
	options.Transport = guard{options.Transport, address.domain}
	client, err := azsecrets.NewClient("https://"+address.Host, caller, &options)
	if err != nil {
		return secret.Value{}, &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: "Azure's library makes no client for " + address.Host}
	}
	within, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	got, err := client.GetSecret(within, address.Name, address.Version, nil)
	switch {
	case err != nil && ctx.Err() != nil:
		return secret.Value{}, ctx.Err()
	case err != nil:
		return secret.Value{}, explain(ref, address, caller.who, err)
	}
	return usable(ref, got.Secret, time.Now())
}

// usable takes the value out of an answer. A vault gives out what has run out, or is not yet valid, all the same: the
// dates are for whoever reads it.
func usable(ref secret.Ref, s azsecrets.Secret, now time.Time) (secret.Value, error) {
	const renew = "whoever looks after the secret sets a new version, or other dates (az keyvault secret set-attributes --expires, --not-before)"
	if dates := s.Attributes; dates != nil {
		switch {
		case dates.Enabled != nil && !*dates.Enabled:
			return secret.Value{}, disabled(ref)
		case dates.Expires != nil && !now.Before(*dates.Expires):
			return secret.Value{}, &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: "it ran out on " + dates.Expires.UTC().Format(time.RFC3339), Hint: renew}
		case dates.NotBefore != nil && now.Before(*dates.NotBefore):
			return secret.Value{}, &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: "it is not valid before " + dates.NotBefore.UTC().Format(time.RFC3339), Hint: renew}
		}
	}
	switch {
	case s.Value == nil || *s.Value == "":
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "it is empty", Hint: "whoever looks after the secret sets a value"}
	case len(*s.Value) > secret.MaxContent:
		return secret.Value{}, &secret.Error{Kind: secret.ErrContent, Ref: ref, Text: "it is longer than a secret can be", Hint: "keep a login there, and nothing else"}
	}
	return secret.NewValue([]byte(*s.Value)), nil
}

// A caller is the node as the vault's client asks for its tokens, for one secret.
type caller struct {
	identity *azure.Identity
	address  Address
	who      azure.Principal // after the first token
}

// GetToken implements azcore.TokenCredential: it gives tokens for vaults of this cloud, whatever else may be asked for.
func (c *caller) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.identity.Token(ctx, azure.Ask{Cloud: c.address.cloud, Scope: "https://" + c.address.domain + "/.default", Tenant: options.TenantID})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	c.who = token.Who
	return azcore.AccessToken{Token: string(token.Value.Reveal()), ExpiresOn: token.Expires}, nil
}

// A guard reads the vault's challenge before the library does. The library takes for the vault's own what only ends like it,
// and does not survive an address without a tenant.
type guard struct {
	transport policy.Transporter
	domain    string
}

// errChallenge is a challenge that is not a vault's.
var errChallenge = errors.New("the challenge is not one of Key Vault's")

// authorityShape is a tenant at a token server.
var authorityShape = regexp.MustCompile(`^https://[A-Za-z0-9.-]+/[A-Za-z0-9.-]+/?$`)

// Do sends a request.
func (g guard) Do(r *http.Request) (*http.Response, error) {
	answer, err := g.transport.Do(r)
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		return answer, err
	}
	if !g.isOwn(answer.Header.Get("WWW-Authenticate")) {
		_ = answer.Body.Close() // in memory
		return nil, azure.Final(errChallenge)
	}
	return answer, nil
}

// isOwn tells whether a challenge names a tenant, and this cloud's vaults and nothing else. It is taken apart as the library
// does it, so that what passes here is what is read there.
func (g guard) isOwn(challenge string) bool {
	rest, bearer := strings.CutPrefix(challenge, "Bearer ")
	var tenant, resource bool
	for part := range strings.SplitSeq(strings.ReplaceAll(rest, "Bearer ", ""), " ") {
		key, value, _ := strings.Cut(part, "=")
		value = strings.TrimSuffix(strings.ReplaceAll(value, `"`, ""), ",")
		switch key {
		case "authorization":
			if tenant = authorityShape.MatchString(value); !tenant {
				return false
			}
		case "resource", "scope":
			if resource = strings.TrimSuffix(strings.TrimSuffix(value, "/.default"), "/") == "https://"+g.domain; !resource {
				return false
			}
		}
	}
	return bearer && tenant && resource
}
