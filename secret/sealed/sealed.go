// Package sealed encrypts a registry login on an admin's side so that only agents can open it: the control plane keeps
// the text and cannot read it. `pier` seals with this package; a browser does the same with WebCrypto, as
// testdata/seal.mjs does. What both must agree on is in testdata/vectors.json and testdata/webcrypto.json.
//
// # Version 1
//
// HPKE (RFC 9180) in base mode, with DHKEM(P-256, HKDF-SHA256) 0x0010, HKDF-SHA256 0x0001 and AES-256-GCM 0x0002, one
// message, no additional data. The text is
//
//	sealed:v1:<key id>:<base64url of enc || ciphertext, without padding>
//
// The key id is the first 16 hex digits, lower case, of the SHA-256 of the recipient's uncompressed point (65 bytes);
// enc is the 65 bytes of the sender's point. info binds the login to what it is for. It is a row of fields, each field
// its length as 4 bytes, big-endian, and then its bytes:
//
//	"pierhead/sealed/v1"
//	organization id
//	registry id
//	type                  ("generic")
//	and then the number of hosts as 4 bytes, big-endian, and each host as a field,
//	sorted by bytes, each once, canonical ("docker.io", "example.com:5000")
//
// The plaintext is the JSON object {"username":…,"password":…} in UTF-8, followed by spaces up to a multiple of 256
// bytes, so that the length of the text does not tell the length of the password.
//
// The registry id must be known before the registry exists: the client that creates a registry draws it ("reg_…",
// at random) and proposes it to the API.
package sealed

import (
	"bytes"
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pierhead.dev/pierhead/secret"
)

// What can be wrong with a sealed credential. Each is one of secret's errors too.
var (
	ErrGarbled = fmt.Errorf("%w: garbled", secret.ErrContent)           // not a text of version 1, or damaged
	ErrKey     = fmt.Errorf("%w: another data key", secret.ErrNotFound) // sealed to a key that is not here
	ErrBinding = fmt.Errorf("%w: another binding", secret.ErrNotAllowed)
	ErrExposed = fmt.Errorf("%w: others can read or write the data key", secret.ErrNotAllowed)
)

const (
	prefix  = "sealed:v1:"
	domain  = "pierhead/sealed/v1"
	padding = 256 // bytes
	maxText = secret.MaxContent * 2
)

// A Binding is what a sealed login is for. It opens for exactly this and nothing else.
type Binding struct {
	OrganizationID string
	RegistryID     string
	Type           string   // of the registry
	Hosts          []string // the literal hosts of its match, canonical; order and repetition do not count
}

// info is the encoding in the package's comment.
func (b Binding) info() ([]byte, error) {
	hosts := slices.Clone(b.Hosts)
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	if b.OrganizationID == "" || b.RegistryID == "" || b.Type == "" || len(hosts) == 0 || hosts[0] == "" {
		return nil, errors.New("a login is sealed for an organization, a registry, its type and at least one host")
	}
	var out []byte
	field := func(s string) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(s)))
		out = append(out, s...)
	}
	for _, s := range []string{domain, b.OrganizationID, b.RegistryID, b.Type} {
		field(s)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(hosts)))
	for _, host := range hosts {
		field(host)
	}
	return out, nil
}

// login is the plaintext.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

func (l login) check() error {
	switch {
	case l.Username == "" || l.Password == "":
		return errors.New("a login needs a user name and a password")
	case !utf8.ValidString(l.Username) || !utf8.ValidString(l.Password):
		return errors.New("a login's user name and password must be UTF-8")
	case len(l.Username)+len(l.Password) > secret.MaxContent/8: // each byte may become six in JSON
		return fmt.Errorf("a login is at most %d bytes long", secret.MaxContent/8)
	}
	return nil
}

// Seal encrypts a login to pub. Errors: an incomplete login or binding, in words.
func Seal(pub Public, b Binding, username, password string) (string, error) {
	l := login{Username: username, Password: password}
	if err := l.check(); err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	if pub.IsZero() {
		return "", errors.New("sealing: there is no public data key")
	}
	info, err := b.info()
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	plaintext, err := json.Marshal(l)
	if err != nil {
		return "", errors.New("sealing: the login does not encode") // the cause could quote it
	}
	if over := len(plaintext) % padding; over > 0 {
		plaintext = append(plaintext, bytes.Repeat([]byte{' '}, padding-over)...)
	}
	recipient, err := hpke.NewDHKEMPublicKey(pub.key)
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	message, err := hpke.Seal(recipient, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext)
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	return prefix + pub.ID() + ":" + base64.RawURLEncoding.EncodeToString(message), nil
}

// KeyID is the id of the key that text was sealed to. Error: ErrGarbled.
func KeyID(text string) (string, error) {
	id, _, err := parse(text)
	return id, err
}

// Open decrypts text with the key of keys that it was sealed to. The Value is the JSON object
// {"username":…,"password":…}. Errors: ErrGarbled; ErrKey, which names the key; ErrBinding.
func Open(keys Keys, b Binding, text string) (secret.Value, error) {
	id, message, err := parse(text)
	if err != nil {
		return secret.Value{}, err
	}
	info, err := b.info()
	if err != nil {
		return secret.Value{}, fmt.Errorf("opening a sealed credential: %w", err)
	}
	key, found := keys.find(id)
	if !found {
		return secret.Value{}, &secret.Error{Kind: ErrKey, Text: "the credential is sealed to data key " + id + ", which is not on this node",
			Hint: "start the agent with that key (--data-key), or seal the credential again to the current one"}
	}
	plaintext, err := key.open(info, message)
	if err != nil { // HPKE does not say why, and its error is of no use to people
		return secret.Value{}, &secret.Error{Kind: ErrBinding,
			Text: "the credential was sealed for another registry, type or other hosts than it is used for now (or its text was altered)",
			Hint: "type the credential in again for this registry"}
	}
	return read(plaintext)
}

// read takes the login from the plaintext, and only that: the padding and the order of keys do not get out.
func read(plaintext []byte) (secret.Value, error) {
	var l login
	decoder := json.NewDecoder(bytes.NewReader(plaintext))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil || l.check() != nil || len(bytes.TrimSpace(plaintext[decoder.InputOffset():])) > 0 {
		return secret.Value{}, garbled("what was sealed is not a login")
	}
	content, err := json.Marshal(l)
	if err != nil {
		return secret.Value{}, garbled("what was sealed is not a login")
	}
	return secret.NewValue(content), nil
}

// parse takes the text apart without opening it.
func parse(text string) (id string, message []byte, err error) {
	if len(text) > maxText {
		return "", nil, garbled("it is longer than %d KiB", maxText>>10)
	}
	rest, found := strings.CutPrefix(text, prefix)
	if !found {
		return "", nil, garbled("it does not begin with %s", prefix)
	}
	id, encoded, found := strings.Cut(rest, ":")
	if !found || !isKeyID(id) {
		return "", nil, garbled("it does not name a data key")
	}
	message, err = decode(encoded)
	if err != nil {
		return "", nil, garbled("its last part is not base64url without padding")
	}
	if len(message) < pointSize+16+2 { // a point, GCM's tag, "{}"
		return "", nil, garbled("it is cut short")
	}
	return id, message, nil
}

func isKeyID(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == ""
}

// decode reads base64url strictly: one text for one message. Go's decoder skips line breaks.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("line break")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

func garbled(format string, args ...any) error {
	return &secret.Error{Kind: ErrGarbled, Text: "garbled sealed credential or data key: " + fmt.Sprintf(format, args...)}
}
