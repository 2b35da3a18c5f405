package tokens

import (
	"crypto/ed25519"
	"time"
)

// The types of the two halves of a node's registry login. A grant is signed by the token service and says what the holder
// of a key may pull; by itself it opens nothing, so a node may keep it on disk for the time when there is no token service.
// A pull token is signed by that key, has the grant in it, and lives for minutes.
const (
	GrantType = "pierhead-grant+jwt"
	PullType  = "pierhead-pull+jwt"
)

// AccessNamespace is the type of an Access to all repositories below a name, for grants only.
const AccessNamespace = "namespace"

// PullLife is how long a pull token counts.
const PullLife = 5 * time.Minute

// PullClaims are those of a pull token.
type PullClaims struct {
	Audience string `json:"aud"` // the registry's service name
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
	Grant    string `json:"grant"`
}

// GrantClaims are what a grant has beside those of a registry token.
type GrantClaims struct {
	Node   string `json:"node"`   // the holder's id
	Holder string `json:"holder"` // its public key, as PublicText has it
}

// SignGrant makes a grant.
func (k *Key) SignGrant(c Claims, node string, holder ed25519.PublicKey) (string, error) {
	header, err := encode(map[string]string{"alg": Algorithm, "kid": k.id, "typ": GrantType})
	if err != nil {
		return "", err
	}
	claims, err := encode(struct {
		wireClaims
		GrantClaims
	}{c.wire(), GrantClaims{Node: node, Holder: PublicText(holder)}})
	if err != nil {
		return "", err
	}
	return k.signed(header + "." + claims)
}

// SignPull makes a pull token of a grant to this key.
func (k *Key) SignPull(grant, service, id string, now time.Time) (text string, expires time.Time, err error) {
	expires = now.Add(PullLife)
	header, err := encode(map[string]string{"alg": Algorithm, "kid": k.id, "typ": PullType})
	if err != nil {
		return "", time.Time{}, err
	}
	claims, err := encode(PullClaims{Audience: service, IssuedAt: now.Unix(), Expires: expires.Unix(), ID: id, Grant: grant})
	if err != nil {
		return "", time.Time{}, err
	}
	text, err = k.signed(header + "." + claims)
	return text, expires, err
}
