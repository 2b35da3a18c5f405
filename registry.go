package pierhead

import "time"

// A RegistryType says how a registry's credential comes about.
type RegistryType string

// The types that this version knows.
const (
	RegistryGeneric RegistryType = "generic" // a login with user name and password
	RegistryHosted  RegistryType = "hosted"  // our own, which owns its content
)

// HostedRegistryName is the predefined registry of every organization.
const HostedRegistryName = "docker-registry"

// WhenRefused says what a pull does when a registry refuses the credential.
type WhenRefused string

// The choices. Anonymous is the default: a dead credential must not break a public image.
const (
	RefusedAnonymous WhenRefused = "anonymous"
	RefusedFail      WhenRefused = "fail"
)

// A Sealed is a credential encrypted to a data-plane key, as text "sealed:v1:<key id>:<base64url>".
// Only agents that hold the key open it; it is safe to store and to show to an admin.
type Sealed string

// A RegistryCredential names where the login is: nothing, or exactly one of the two.
type RegistryCredential struct {
	Secret string // a secret reference, "file:NAME" or "env:NAME"
	Sealed Sealed
}

// A ProjectScope says which projects may use a registry. The zero value is nobody.
type ProjectScope struct {
	All   bool
	Names []string // project names within the organization, sorted
}

// A Registry is an organization's entry for images that lie somewhere.
type Registry struct {
	ID              string // "reg_…"
	OrganizationID  string
	Name            string
	Type            RegistryType
	Enabled         bool
	Match           []string // match patterns, as written
	Credential      RegistryCredential
	WhenRefused     WhenRefused
	Projects        ProjectScope
	PlainHTTP       bool
	CA              string   // PEM, added to the system's roots
	Realms          []string // "host" of token servers that an admin confirmed
	PrivateNetworks []string // CIDR prefixes that its hosts may resolve to
	CreatedAt       time.Time
	UpdatedAt       time.Time
}
