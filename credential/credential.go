// Package credential is a registry login and the hosts that it is for.
//
// What a broker hands to a client is a Credential: user name, password, expiry, hosts. It goes to its own hosts and
// nowhere else, so whoever sends one asks For first. It prints without its password and cannot be marshalled.
package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Credential is a registry login. It never changes. The zero Credential is no login at all: anonymous.
//
// The password lies behind a function, as in secret.Value: printers that read unexported fields follow pointers and
// slices, but cannot look into a function.
type Credential struct {
	username string
	password func() string
	expires  time.Time
	hosts    []string
	// principal is who it stands for at its issuer; it is no part of the login.
	principal string
	part      bool
	bearer    bool
}

// errMarshal is the answer to every encoder.
var errMarshal = errors.New("a credential cannot be marshalled")

// New makes a credential. Hosts are canonical ("docker.io", "example.com:5000"); expires is zero where it never does.
func New(username, password string, expires time.Time, hosts []string) Credential {
	hosts = slices.Clone(hosts)
	slices.Sort(hosts)
	return Credential{
		username: username,
		password: func() string { return password },
		expires:  expires,
		hosts:    slices.Compact(hosts),
	}
}

// Username is the login's name.
func (c Credential) Username() string { return c.username }

// Password reveals the password. Whoever calls it answers for where it goes.
func (c Credential) Password() string {
	if c.password == nil {
		return ""
	}
	return c.password()
}

// WithPrincipal returns the same login with the name of whom it stands for at its issuer ("arn:aws:sts::…", an e-mail),
// which is safe to print.
func (c Credential) WithPrincipal(name string) Credential {
	c.principal = name
	return c
}

// Principal is whom the login stands for at its issuer, or "" where that is not known or the user name says it.
func (c Credential) Principal() string { return c.principal }

// ForPart returns the same login, marked as one for a part of its hosts: another repository there may have another.
func (c Credential) ForPart() Credential {
	c.part = true
	return c
}

// IsForPart tells whether another repository of the same host may have another login of the same source.
func (c Credential) IsForPart() bool { return c.part }

// AsBearer returns the same login, whose password is a token that the registry itself takes: no token server is asked for
// one.
func (c Credential) AsBearer() Credential {
	c.bearer = true
	return c
}

// IsBearer tells whether the password is a token for the registry itself.
func (c Credential) IsBearer() bool { return c.bearer }

// Expires is when the registry stops taking it; zero means never, or not known.
func (c Credential) Expires() time.Time { return c.expires }

// Hosts are the registry hosts that it may be sent to: canonical, sorted, a copy.
func (c Credential) Hosts() []string { return slices.Clone(c.hosts) }

// Empty tells whether there is no login: a pull with it is anonymous.
func (c Credential) Empty() bool { return c.password == nil }

// For tells whether the credential may be sent to host, which must be canonical: the comparison is exact, no suffix,
// no port added, nothing folded. An empty credential is for nobody.
func (c Credential) For(host string) bool { return slices.Contains(c.hosts, host) }

// Expired tells whether the credential has run out at now.
func (c Credential) Expired(now time.Time) bool { return !c.expires.IsZero() && !now.Before(c.expires) }

// RenewAt is when a credential obtained at that time should be renewed: at half of its life, and up to a tenth of its
// life earlier, by jitter, which the caller draws from [0, 1) so that a fleet does not renew at one moment. It is
// the zero time for a credential that never expires, and obtained for one that has expired already.
func (c Credential) RenewAt(obtained time.Time, jitter float64) time.Time {
	if c.expires.IsZero() {
		return time.Time{}
	}
	life := c.expires.Sub(obtained)
	if life <= 0 {
		return obtained
	}
	jitter = min(max(jitter, 0), 1)
	return obtained.Add(life/2 - time.Duration(float64(life)/10*jitter))
}

// ID is the same for the same login (user name, password and hosts) in this process and tells nothing of it: a keyed
// hash under a key that is made at first use and never leaves the process. It is for cache keys. "" when empty.
func (c Credential) ID() string {
	if c.Empty() {
		return ""
	}
	mac := hmac.New(sha256.New, processKey())
	for _, part := range append([]string{c.username, c.Password()}, c.hosts...) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// processKey never changes once made; a new process has another, so an ID is of no use outside this one.
var processKey = sync.OnceValue(func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return key
})

// String says who, where and until when, never the password.
func (c Credential) String() string {
	if c.Empty() {
		return "no credential"
	}
	until := "without expiry"
	if !c.expires.IsZero() {
		until = "until " + c.expires.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("login %q for %s %s", c.shownName(), strings.Join(c.hosts, ", "), until)
}

// shownName is the user name where that is none of the secret: DigitalOcean's logins have the token in both places.
func (c Credential) shownName() string {
	if c.username == c.Password() {
		return "(the password)"
	}
	return c.username
}

// GoString is String.
func (c Credential) GoString() string { return c.String() }

// Format is String for every verb and flag.
func (c Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue is a group of user name, hosts and expiry.
func (c Credential) LogValue() slog.Value {
	if c.Empty() {
		return slog.StringValue("no credential")
	}
	attrs := []slog.Attr{slog.String("username", c.shownName()), slog.String("hosts", strings.Join(c.hosts, ","))}
	if !c.expires.IsZero() {
		attrs = append(attrs, slog.Time("expires", c.expires))
	}
	return slog.GroupValue(attrs...)
}

// MarshalJSON fails.
func (c Credential) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalText fails.
func (c Credential) MarshalText() ([]byte, error) { return nil, errMarshal }

// MarshalBinary fails.
func (c Credential) MarshalBinary() ([]byte, error) { return nil, errMarshal }

// MarshalYAML fails.
func (c Credential) MarshalYAML() (any, error) { return nil, errMarshal }

// GobEncode fails.
func (c Credential) GobEncode() ([]byte, error) { return nil, errMarshal }

// GobDecode fails; without it gob would not ask GobEncode's twin.
func (c *Credential) GobDecode([]byte) error { return errMarshal }

// UnmarshalJSON fails: a credential comes from an exchange, never from a message.
func (c *Credential) UnmarshalJSON([]byte) error { return errMarshal }
