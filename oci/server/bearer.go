package server

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pierhead.dev/pierhead/internal/tokens"
	"pierhead.dev/pierhead/oci"
)

// A BearerConfig says whose registry tokens are good.
type BearerConfig struct {
	Realm   string                      // the token service's URL, for challenges
	Service string                      // this registry's name: the audience of its tokens
	Issuer  string                      // of the tokens
	Keys    map[string]crypto.PublicKey // by key id; Ed25519 or ECDSA P-256. A private key is refused: nothing here signs
	Now     func() time.Time            // nil is time.Now
	// Revoked tells whether a node that pulls by a grant is none any more. Nil: nobody knows here, and the grant counts to its
	// end.
	Revoked func(ctx context.Context, nodeID string) (bool, error)
}

// Bearer verifies registry tokens: JWTs signed EdDSA or ES256, with the claims iss, sub, aud, exp, nbf and access
// (distribution's token specification), by public keys alone.
//
// A request without a good token is challenged, 401. One whose token has too few rights is challenged too, as the client
// may not have asked for them yet, unless the token says that it did: a claim "asked" of the same form as access lists
// what the client asked for, and what it asked for and did not get is refused for good, 403.
type Bearer struct {
	config BearerConfig

	mu       sync.Mutex
	verified map[[sha256.Size]byte]claims
}

// claims are those of a registry token.
type claims struct {
	jwt.Claims
	Access []Access `json:"access"`
	Asked  []Access `json:"asked,omitempty"`
	tokens.GrantClaims
}

const (
	maxToken    = 16 << 10 // bytes
	maxVerified = 4096     // tokens remembered
)

// NewBearer checks the configuration: a key that cannot verify, or could sign, is refused.
func NewBearer(c BearerConfig) (*Bearer, error) {
	if c.Realm == "" || c.Service == "" || c.Issuer == "" || len(c.Keys) == 0 {
		return nil, errors.New("registry tokens need a realm, a service, an issuer and a key")
	}
	for id, key := range c.Keys {
		switch key := key.(type) {
		case ed25519.PublicKey:
		case *ecdsa.PublicKey:
			if key.Curve != elliptic.P256() {
				return nil, fmt.Errorf("key %s for registry tokens is not on P-256", id)
			}
		default:
			return nil, fmt.Errorf("key %s for registry tokens is a %T, not an Ed25519 or ECDSA public key", id, key)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Bearer{config: c, verified: map[[sha256.Size]byte]claims{}}, nil
}

// Authorize verifies the token of a request, and that it gives what the request needs.
func (b *Bearer) Authorize(r *http.Request, q Request) (Grant, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return Grant{}, b.challenge(q, "", "")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Grant{}, b.challenge(q, "invalid_token", "the registry takes tokens of its token service only")
	}
	c, err := b.verify(strings.TrimSpace(token))
	if err == nil {
		err = b.stillNode(r.Context(), c)
	}
	if err != nil {
		return Grant{}, b.challenge(q, "invalid_token", err.Error())
	}
	for _, need := range q.Needs() {
		if covers(c.Access, need) {
			continue
		}
		if covers(c.Asked, need) {
			return Grant{Caller: c.Subject}, &Refusal{Err: oci.ErrDenied, Challenge: b.header(q, "insufficient_scope"), Detail: describe(need)}
		}
		return Grant{Caller: c.Subject}, b.challenge(q, "insufficient_scope", describe(need))
	}
	grant := Grant{Caller: c.Subject, Pull: []string{}}
	for _, access := range c.Access {
		if access.Type == "repository" && covers(c.Access, Access{access.Type, access.Name, []string{ActionPull}}) {
			grant.Pull = append(grant.Pull, access.Name)
		}
	}
	return grant, nil
}

func covers(have []Access, need Access) bool {
	for _, action := range need.Actions {
		if !slices.ContainsFunc(have, func(a Access) bool {
			return (a.Type == need.Type && a.Name == need.Name || below(a, need)) &&
				(slices.Contains(a.Actions, action) || slices.Contains(a.Actions, ActionAll))
		}) {
			return false
		}
	}
	return true
}

// below tells whether the right is one to all repositories of the name's namespace.
func below(have, need Access) bool {
	return have.Type == tokens.AccessNamespace && need.Type == "repository" && have.Name != "" && strings.HasPrefix(need.Name, have.Name+"/")
}

func describe(a Access) string { return a.Type + ":" + a.Name + ":" + strings.Join(a.Actions, ",") }

func (b *Bearer) challenge(q Request, code, detail string) error {
	return &Refusal{Err: oci.ErrUnauthorized, Challenge: b.header(q, code), Detail: detail}
}

func (b *Bearer) header(q Request, code string) string {
	h := fmt.Sprintf(`Bearer realm="%s",service="%s"`, quote(b.config.Realm), quote(b.config.Service))
	var scopes []string
	for _, access := range q.Wants() {
		scopes = append(scopes, describe(access))
	}
	if len(scopes) > 0 {
		h += `,scope="` + strings.Join(scopes, " ") + `"`
	}
	if code != "" {
		h += `,error="` + code + `"`
	}
	return h
}

func quote(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }

// verify checks a token's signature and claims; the errors are for the client. A token is verified once, its times
// every time.
func (b *Bearer) verify(text string) (claims, error) {
	if len(text) > maxToken {
		return claims{}, errors.New("the token is too long")
	}
	sum := sha256.Sum256([]byte(text))
	b.mu.Lock()
	c, known := b.verified[sum]
	b.mu.Unlock()
	if !known {
		var err error
		if c, err = b.signed(text); err != nil {
			return claims{}, err
		}
	}
	if err := b.current(c); err != nil {
		return claims{}, err
	}
	if !known {
		b.remember(sum, c)
	}
	return c, nil
}

func (b *Bearer) signed(text string) (claims, error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil || len(token.Headers) != 1 {
		return claims{}, errors.New("the token is not one of this registry's")
	}
	switch typeOf(token) {
	case tokens.PullType:
		return b.pull(token)
	case tokens.GrantType:
		return claims{}, errors.New("a grant is no token: its holder makes one of it")
	}
	return b.ours(token)
}

func typeOf(token *jwt.JSONWebToken) any { return token.Headers[0].ExtraHeaders[jose.HeaderType] }

// ours verifies what the token service signed.
func (b *Bearer) ours(token *jwt.JSONWebToken) (claims, error) {
	key, ok := b.config.Keys[token.Headers[0].KeyID]
	if !ok {
		return claims{}, errors.New("the token is signed with an unknown key")
	}
	var c claims
	if err := token.Claims(key, &c); err != nil {
		return claims{}, errors.New("the token's signature is not valid")
	}
	return c, nil
}

// leeway is how far the clocks of token service and registry may be apart.
const leeway = 30 * time.Second

func (b *Bearer) current(c claims) error {
	if c.Expiry == nil {
		return errors.New("the token has no expiry")
	}
	err := c.ValidateWithLeeway(jwt.Expected{
		Issuer: b.config.Issuer, AnyAudience: jwt.Audience{b.config.Service}, Time: b.config.Now(),
	}, leeway)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return errors.New("the token has expired")
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return errors.New("the token is not valid yet: compare the clocks of token service and registry")
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return errors.New("the token is from another issuer")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return errors.New("the token is for another service")
	case err != nil:
		return errors.New("the token is not valid")
	}
	return nil
}

// remember keeps what a token says until there are too many; then all is forgotten, which costs a few signatures.
func (b *Bearer) remember(sum [sha256.Size]byte, c claims) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.verified) >= maxVerified {
		clear(b.verified)
	}
	b.verified[sum] = c
}
