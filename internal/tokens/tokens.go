// Package tokens makes the bearer tokens of the hosted registry: JWTs as docker's token authentication has them
// (distribution, docs/content/spec/auth/jwt.md), signed with Ed25519 (RFC 8037, alg "EdDSA") and named by "kid". It has
// the signing half and the keys; the registry checks tokens with the public key only.
//
// It also has the tokens with which a node proves who it is, both halves: the node signs them with a key of its own, and
// the control plane knows that key's public half.
package tokens

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Algorithm is the "alg" of every token.
const Algorithm = "EdDSA"

// The kinds of PEM block of keys.
const (
	privateBlock = "PRIVATE KEY" // PKCS #8
	publicBlock  = "PUBLIC KEY"  // PKIX
)

// ErrKey says that a text is no Ed25519 key. It never repeats the text.
var ErrKey = errors.New("not an Ed25519 key in PEM")

// An Access is one thing that a token allows.
type Access struct {
	Type    string   `json:"type"` // "repository"
	Name    string   `json:"name"` // "acme/ml-training"
	Actions []string `json:"actions"`
}

// Claims are what a token says. Times are to the second.
type Claims struct {
	Issuer    string    // who signed: the server's URL
	Subject   string    // the caller's name; empty for anonymous
	Audience  string    // the registry's service name
	Expires   time.Time // exclusive
	NotBefore time.Time
	IssuedAt  time.Time
	ID        string // unique
	Access    []Access
	Asked     []Access // what the client asked for: lets the registry refuse for good what it did not get
}

// wireClaims is Claims as the token has it; access is a list even where it is empty.
type wireClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expires   int64    `json:"exp"`
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Access    []Access `json:"access"`
	Asked     []Access `json:"asked,omitempty"` // ours, not distribution's
}

// A Key signs tokens. It prints as its id only.
type Key struct {
	private ed25519.PrivateKey
	id      string
}

// Generate makes a new key.
func Generate() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return newKey(private), nil
}

// Parse reads what PEM wrote. The error is ErrKey.
func Parse(text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != privateBlock {
		return nil, ErrKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, ErrKey // x509's error says nothing that helps, and might quote the key
	}
	return newKey(private), nil
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{private: private, id: KeyID(private.Public().(ed25519.PublicKey))}
}

// KeyID is the "kid" of a public key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// ID is the key's "kid".
func (k *Key) ID() string { return k.id }

// Public is the half that verifies.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// PEM is the key as a file keeps it, for a file of mode 0600.
func (k *Key) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
}

// PublicPEM is the public half as a file keeps it, for a registry that runs alone.
func (k *Key) PublicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), nil
}

// ParsePublic reads what PublicPEM wrote. The error is ErrKey.
func ParsePublic(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != publicBlock {
		return nil, ErrKey
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, ErrKey
	}
	return public, nil
}

// Sign makes the token, header.claims.signature in base64url.
func (k *Key) Sign(c Claims) (string, error) {
	header, err := encode(map[string]string{"alg": Algorithm, "kid": k.id, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := encode(c.wire())
	if err != nil {
		return "", err
	}
	return k.signed(header + "." + claims)
}

func (c Claims) wire() wireClaims {
	access := c.Access
	if access == nil {
		access = []Access{}
	}
	return wireClaims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, Expires: c.Expires.Unix(), NotBefore: c.NotBefore.Unix(),
		IssuedAt: c.IssuedAt.Unix(), ID: c.ID, Access: access, Asked: c.Asked,
	}
}

func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// Format keeps the private half out of every print, whatever the verb.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "token key %s", k.id) }

// MarshalJSON refuses: a key in a document is a mistake.
func (k *Key) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a token key is not for documents")
}
