package amazontest

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// An Issuer is an OIDC provider that the cloud's accounts trust, as an EKS cluster is: the cloud knows its public keys only
// (JWKS), the test signs.
type Issuer struct {
	URL   string
	cloud *Cloud
	key   *rsa.PrivateKey
	jwks  jose.JSONWebKeySet
}

// NewIssuer makes a provider with a key of its own and makes it known to the cloud.
func (c *Cloud) NewIssuer(url string) *Issuer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	i := &Issuer{URL: url, cloud: c, key: key, jwks: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issuers[url] = i
	return i
}

// Token signs a token for a subject, as in "system:serviceaccount:default:pier".
func (i *Issuer) Token(audience, subject string, life time.Duration) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	if err != nil {
		panic(err)
	}
	i.cloud.mu.Lock()
	now := i.cloud.now()
	i.cloud.mu.Unlock()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: i.URL, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life))}).Serialize()
	if err != nil {
		panic(err)
	}
	i.cloud.mu.Lock()
	defer i.cloud.mu.Unlock()
	i.cloud.made = append(i.cloud.made, token)
	return token
}

var errExpired = errors.New("expired")

// readToken verifies a token by its issuer's published keys.
func (c *Cloud) readToken(text string) (jwt.Claims, error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return jwt.Claims{}, err
	}
	var unsafe jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&unsafe); err != nil {
		return jwt.Claims{}, err
	}
	c.mu.Lock()
	i, now := c.issuers[unsafe.Issuer], c.now()
	c.mu.Unlock()
	if i == nil {
		return jwt.Claims{}, errors.New("no such provider")
	}
	var claims jwt.Claims
	if err := token.Claims(i.jwks, &claims); err != nil {
		return jwt.Claims{}, err
	}
	if claims.Expiry == nil || !now.Before(claims.Expiry.Time()) {
		return claims, errExpired
	}
	return claims, nil
}
