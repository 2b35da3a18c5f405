package tokens

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// nodeType is the "typ" of the tokens that a node signs about itself (RFC 8725, 3.11): no other kind of token of ours
// passes for one.
const nodeType = "pierhead-node+jwt"

// Bounds of a node's token.
const (
	MaxNodeToken = 2 << 10         // bytes
	NodeLife     = 5 * time.Minute // the longest
	nodeLeeway   = time.Minute     // how far the clocks of node and server may be apart
	maxVersion   = 64              // bytes of NodeClaims.Version that are kept
)

// What VerifyNode can answer beside SkewError, found with errors.Is.
var (
	ErrNodeToken = errors.New("not a token that this node signed")
	ErrAudience  = errors.New("the token is for another server")
)

// A SkewError says that a token is not of this time: the clocks of node and server differ, or it is an old one.
type SkewError struct {
	Behind time.Duration // of the node's clock when it signed, against the server's now; negative: it is ahead
}

// Error says by how much.
func (e *SkewError) Error() string {
	if e.Behind < 0 {
		return fmt.Sprintf("the token was signed %v ahead of the server's clock", (-e.Behind).Round(time.Second))
	}
	return fmt.Sprintf("the token was signed %v before the server's clock", e.Behind.Round(time.Second))
}

// NodeClaims are what a node says of itself, to the second.
type NodeClaims struct {
	Node     string   // its id
	Audience []string // the server's URLs
	IssuedAt time.Time
	Expires  time.Time // at most NodeLife later
	ID       string    // unique
	Version  string    // of its agent
}

type wireNodeClaims struct {
	Node     string       `json:"sub"`
	Audience jwt.Audience `json:"aud"`
	IssuedAt int64        `json:"iat"`
	Expires  int64        `json:"exp"`
	ID       string       `json:"jti"`
	Version  string       `json:"ver,omitempty"`
}

// PublicText is a public key as requests and the store have it: base64url.
func PublicText(public ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(public) }

// ParsePublicText reads what PublicText wrote. The error is ErrKey.
func ParsePublicText(text string) (ed25519.PublicKey, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, ErrKey
	}
	return raw, nil
}

// JoinAudience is whom the proof that comes with a join token is for: that token alone, which it does not reveal.
func JoinAudience(joinToken string) string {
	hash := sha256.Sum256([]byte(joinToken))
	return JoinAudienceOf(hash[:])
}

// JoinAudienceOf is JoinAudience for whoever has the token's SHA-256 only.
func JoinAudienceOf(hash []byte) string {
	sum := sha256.Sum256(append([]byte("pierhead/join\x00"), hash...))
	return "join:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// SignNode makes a node's token.
func (k *Key) SignNode(c NodeClaims) (string, error) {
	header, err := encode(map[string]string{"alg": Algorithm, "kid": k.id, "typ": nodeType})
	if err != nil {
		return "", err
	}
	claims, err := encode(wireNodeClaims{Node: c.Node, Audience: c.Audience, IssuedAt: c.IssuedAt.Unix(), Expires: c.Expires.Unix(), ID: c.ID, Version: c.Version})
	if err != nil {
		return "", err
	}
	return k.signed(header + "." + claims)
}

// signed adds the signature.
func (k *Key) signed(text string) (string, error) {
	signature, err := k.private.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// A NodeToken was read and says whose it claims to be; nothing of it counts before Verify.
type NodeToken struct {
	parsed *jwt.JSONWebToken
	Node   string // the id that it claims
	KeyID  string
}

// LooksSigned tells a signed token from one of the form pier_…
func LooksSigned(text string) bool { return strings.Count(text, ".") == 2 }

// ParseNode reads a node's token. The error is ErrNodeToken.
func ParseNode(text string) (NodeToken, error) {
	if len(text) > MaxNodeToken {
		return NodeToken{}, ErrNodeToken
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != nodeType {
		return NodeToken{}, ErrNodeToken // jose's error might quote the text
	}
	var c wireNodeClaims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil || c.Node == "" {
		return NodeToken{}, ErrNodeToken
	}
	return NodeToken{parsed: parsed, Node: c.Node, KeyID: parsed.Headers[0].KeyID}, nil
}

// Verify checks signature, audience and times, in this order, so that only the node itself learns of the last two. A token
// may be used again within its life: it is short, and travels by TLS. Errors: ErrNodeToken, ErrAudience, *SkewError.
func (t NodeToken) Verify(public ed25519.PublicKey, audience string, now time.Time) (NodeClaims, error) {
	var c wireNodeClaims
	if t.parsed == nil || t.KeyID != KeyID(public) || t.parsed.Claims(public, &c) != nil || c.ID == "" {
		return NodeClaims{}, ErrNodeToken
	}
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	if life := expires.Sub(issued); life <= 0 || life > NodeLife {
		return NodeClaims{}, ErrNodeToken
	}
	if !slices.Contains(c.Audience, audience) {
		return NodeClaims{}, ErrAudience
	}
	if issued.After(now.Add(nodeLeeway)) || !now.Before(expires.Add(nodeLeeway)) {
		return NodeClaims{}, &SkewError{Behind: now.Sub(issued)}
	}
	return NodeClaims{Node: c.Node, Audience: c.Audience, IssuedAt: issued, Expires: expires, ID: c.ID, Version: c.Version[:min(len(c.Version), maxVersion)]}, nil
}
