package sealed

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// pointSize is the length of an uncompressed P-256 point, in bytes.
const pointSize = 65

// A Public is the half of a data-plane key that credentials are sealed to. It is safe to print and to publish.
type Public struct {
	key *ecdh.PublicKey
}

// ParsePublic reads what Public.String prints. Error: ErrGarbled.
func ParsePublic(text string) (Public, error) {
	point, err := decode(text)
	if err != nil || len(point) != pointSize {
		return Public{}, garbled("a public data key is the base64url text of %d bytes", pointSize)
	}
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return Public{}, garbled("the public data key is not a point of P-256")
	}
	return Public{key: key}, nil
}

// IsZero tells whether there is no key.
func (p Public) IsZero() bool { return p.key == nil }

// String is the uncompressed point (SEC 1, 65 bytes) in base64url without padding; "" for the zero Public.
func (p Public) String() string {
	if p.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(p.key.Bytes())
}

// Fingerprint is the SHA-256 of the uncompressed point as 64 hex digits: what `pier` pins and people compare.
func (p Public) Fingerprint() string {
	if p.IsZero() {
		return ""
	}
	sum := sha256.Sum256(p.key.Bytes())
	return hex.EncodeToString(sum[:])
}

// ID is the first 16 digits of Fingerprint: it tells keys apart, but is too short to be trusted.
func (p Public) ID() string {
	if p.IsZero() {
		return ""
	}
	return p.Fingerprint()[:16]
}

// A Key is the private half of a data-plane key. It prints as its id only and cannot be marshalled but by Marshal.
// The zero Key opens nothing.
type Key struct {
	private func() *ecdh.PrivateKey // behind a function, as in secret.Value
	public  Public
}

// GenerateKey makes a key pair.
func GenerateKey() (Key, error) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("making a data key: %w", err)
	}
	return newKey(private), nil
}

func newKey(private *ecdh.PrivateKey) Key {
	return Key{private: func() *ecdh.PrivateKey { return private }, public: Public{key: private.PublicKey()}}
}

// Public is the other half.
func (k Key) Public() Public { return k.public }

// ID is that of the public half.
func (k Key) ID() string { return k.public.ID() }

func (k Key) open(info, sealed []byte) ([]byte, error) {
	private, err := hpke.NewDHKEMPrivateKey(k.private())
	if err != nil {
		return nil, err
	}
	return hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
}

// errMarshal is the answer to every encoder.
var errMarshal = errors.New("a private data key cannot be marshalled this way")

// String is the key's id.
func (k Key) String() string {
	if k.private == nil {
		return "no data key"
	}
	return "data key " + k.ID() + " (private)"
}

// Format is String for every verb and flag.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON fails.
func (k Key) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalText fails.
func (k Key) MarshalText() ([]byte, error) { return nil, errMarshal }

// GobEncode fails.
func (k Key) GobEncode() ([]byte, error) { return nil, errMarshal }

// Keys are the private keys of one organization, the current one first; during a rotation there are two.
type Keys []Key

// Current is the key to seal to; the zero Public when there is none.
func (ks Keys) Current() Public {
	if len(ks) == 0 {
		return Public{}
	}
	return ks[0].public
}

// find returns the key of that id.
func (ks Keys) find(id string) (Key, bool) {
	for _, k := range ks {
		if k.private != nil && k.ID() == id {
			return k, true
		}
	}
	return Key{}, false
}

// pemType is the block type of PKCS #8.
const pemType = "PRIVATE KEY"

// maxKeys bounds a key file.
const maxKeys = 16

// Marshal is the keys as PEM blocks of PKCS #8, in their order: a secret, for WriteKeys or a secret store.
func (ks Keys) Marshal() ([]byte, error) {
	var out []byte
	for _, k := range ks {
		if k.private == nil {
			return nil, errors.New("marshalling data keys: a key is missing")
		}
		der, err := x509.MarshalPKCS8PrivateKey(k.private())
		if err != nil {
			return nil, errors.New("marshalling data keys: PKCS #8 refuses the key") // the cause is dropped: it is about a secret
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})...)
	}
	return out, nil
}

// ParseKeys reads what Marshal writes: one to 16 PEM blocks, the current key first. Error: ErrGarbled, without content.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if len(keys) == maxKeys {
			return nil, garbled("there are more than %d data keys", maxKeys)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if block.Type != pemType || err != nil {
			return nil, garbled("data key %d is not a PEM block of PKCS #8", len(keys)+1)
		}
		private, err := asP256(parsed)
		if err != nil {
			return nil, garbled("data key %d is not a P-256 key", len(keys)+1)
		}
		keys = append(keys, newKey(private))
	}
	if len(keys) == 0 {
		return nil, garbled("there is no PEM block of a data key")
	}
	return keys, nil
}

// asP256 takes the key as x509 returns it: PKCS #8 does not tell ECDH from ECDSA.
func asP256(parsed any) (*ecdh.PrivateKey, error) {
	if convertible, ok := parsed.(interface {
		ECDH() (*ecdh.PrivateKey, error)
	}); ok {
		converted, err := convertible.ECDH()
		if err != nil {
			return nil, err
		}
		parsed = converted
	}
	private, ok := parsed.(*ecdh.PrivateKey)
	if !ok || private.Curve() != ecdh.P256() {
		return nil, errors.New("another kind of key")
	}
	return private, nil
}
