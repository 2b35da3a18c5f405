package server

import (
	"context"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pierhead.dev/pierhead/internal/tokens"
)

// pull verifies a token that a node signed: with the key that the grant in it names, which the token service signed. What
// it may is the grant's, until the earlier of both ends.
func (b *Bearer) pull(token *jwt.JSONWebToken) (claims, error) {
	var outer tokens.PullClaims
	if err := token.UnsafeClaimsWithoutVerification(&outer); err != nil { // nothing of it counts before the signature is seen
		return claims{}, errors.New("the token is not one of this registry's")
	}
	grant, err := jwt.ParseSigned(outer.Grant, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil || len(grant.Headers) != 1 || typeOf(grant) != tokens.GrantType {
		return claims{}, errors.New("the token has no grant of this registry's token service in it")
	}
	c, err := b.ours(grant)
	if err != nil {
		return claims{}, err
	}
	holder, err := tokens.ParsePublicText(c.Holder)
	if err != nil || c.Node == "" || c.Expiry == nil {
		return claims{}, errors.New("the grant in the token is nobody's")
	}
	if err := token.Claims(holder, &outer); err != nil {
		return claims{}, errors.New("the token's signature is not that of the grant's holder")
	}
	issued, expires := time.Unix(outer.IssuedAt, 0), time.Unix(outer.Expires, 0)
	switch {
	case outer.Audience != b.config.Service:
		return claims{}, errors.New("the token is for another service")
	case expires.Sub(issued) > tokens.PullLife || !expires.After(issued):
		return claims{}, errors.New("the token lives too long")
	}
	if expires.Before(c.Expiry.Time()) {
		c.Expiry = jwt.NewNumericDate(expires)
	}
	if c.NotBefore == nil || issued.After(c.NotBefore.Time()) {
		c.NotBefore = jwt.NewNumericDate(issued)
	}
	return c, nil
}

// stillNode refuses a grant whose holder was revoked, where that is known.
func (b *Bearer) stillNode(ctx context.Context, c claims) error {
	if c.Node == "" || b.config.Revoked == nil {
		return nil
	}
	if revoked, err := b.config.Revoked(ctx, c.Node); err != nil || revoked {
		return errors.New("the node that pulls was revoked, or nobody can tell")
	}
	return nil
}

// A Holder is the node that a pull token is of.
type Holder struct {
	ID   string
	Name string // as the grant has it: "node:gpu-1"
}

// Holder verifies a pull token, for the token service, which takes it as a password. The errors are for the client.
func (b *Bearer) Holder(ctx context.Context, text string) (Holder, error) {
	c, err := b.verify(text)
	if err == nil {
		err = b.stillNode(ctx, c)
	}
	if err == nil && c.Node == "" {
		err = errors.New("the token is not a node's")
	}
	if err != nil {
		return Holder{}, err
	}
	return Holder{ID: c.Node, Name: c.Subject}, nil
}
