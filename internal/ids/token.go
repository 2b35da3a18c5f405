package ids

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"strings"
)

// tokenLength is the number of random characters of a token: 5 bits each, 140 in all.
const tokenLength = 28

// checksumLength is 32 bits in characters of 5.
const checksumLength = 7

// ErrToken says that a text is no token, or one that was mistyped or cut short. It never repeats the text.
var ErrToken = errors.New("not a token: it is mistyped or cut short")

// NewToken returns "pier_<kind>_<random>_<checksum>" with 140 random bits. The checksum (CRC-32 of all before it) lets
// a program or a secret scanner tell a token from a mistake without asking anyone; it protects nothing.
func NewToken(kind string) string {
	head := "pier_" + kind + "_" + random(tokenLength)
	return head + "_" + checksum(head)
}

// TokenKind returns the kind of a well-formed token. The error is ErrToken.
func TokenKind(text string) (string, error) {
	parts := strings.Split(text, "_")
	if len(parts) != 4 || parts[0] != "pier" || parts[1] == "" {
		return "", ErrToken
	}
	if len(parts[2]) != tokenLength || !inAlphabet(parts[2]) {
		return "", ErrToken
	}
	if checksum(text[:len(text)-len(parts[3])-1]) != parts[3] {
		return "", ErrToken
	}
	return parts[1], nil
}

func checksum(head string) string {
	sum := crc32.ChecksumIEEE([]byte(head))
	out := make([]byte, checksumLength)
	for i := range out {
		out[i] = alphabet[sum&31]
		sum >>= 5
	}
	return string(out)
}

// JoinText is a join token together with the SHA-256 of the certificate of its server's own authority, which lets an agent
// that has nothing else know the server: "pier_join_…_….<base64url>". Without a hash it is the token.
func JoinText(token string, authority []byte) string {
	if len(authority) == 0 {
		return token
	}
	return token + "." + base64.RawURLEncoding.EncodeToString(authority)
}

// SplitJoin takes JoinText apart; authority is nil where there is none. The error is ErrToken: also for tokens of other
// kinds.
func SplitJoin(text string) (token string, authority []byte, err error) {
	token, hash, hashed := strings.Cut(text, ".")
	if kind, err := TokenKind(token); err != nil || kind != "join" {
		return "", nil, ErrToken
	}
	if !hashed {
		return token, nil, nil
	}
	if authority, err = base64.RawURLEncoding.Strict().DecodeString(hash); err != nil || len(authority) != sha256.Size {
		return "", nil, ErrToken
	}
	return token, authority, nil
}
