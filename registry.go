package pierhead

import (
	"strings"
	"time"

	"pierhead.dev/pierhead/image"
)

// A RegistryType says how a registry's credential comes about.
type RegistryType string

// The types that this version knows.
const (
	RegistryECR       RegistryType = "ecr"       // Amazon's, private and public
	RegistryGCP       RegistryType = "gcp"       // Google's Artifact Registry, and gcr.io
	RegistryACR       RegistryType = "acr"       // Azure's
	RegistryDockerHub RegistryType = "dockerhub" // docker.io
	RegistryJFrog     RegistryType = "jfrog"     // Artifactory
	RegistryGeneric   RegistryType = "generic"   // any other: a login with user name and password
	RegistryHosted    RegistryType = "hosted"    // our own, which owns its content
)

// RegistryTypes are all types, in the order in which people are told of them.
func RegistryTypes() []RegistryType {
	return []RegistryType{RegistryECR, RegistryGCP, RegistryACR, RegistryDockerHub, RegistryJFrog, RegistryGeneric, RegistryHosted}
}

// TypeOfMatch infers a registry's type from its match patterns: the vendor's where all their hosts are one vendor's, else
// generic.
func TypeOfMatch(match []string) RegistryType {
	if vendor := image.VendorOfMatch(match); vendor != "" {
		return RegistryType(vendor)
	}
	return RegistryGeneric
}

// HasCredential tells whether there is a login to prove.
func (r Registry) HasCredential() bool {
	return r.Credential.Secret != "" || r.Credential.Sealed != "" || r.Credential.Identity != ""
}

// SampleReference is the image that Sample names: with its host, or below the one host that Match writes out. Errors are
// for people.
func (r Registry) SampleReference() (image.Reference, error) {
	first, _, slash := strings.Cut(r.Sample, "/")
	hasHost := slash && (strings.ContainsAny(first, ".:") || first == "localhost")
	if hosts, _ := image.LiteralHosts(r.Match); !hasHost && len(hosts) == 1 {
		return image.Parse(hosts[0] + "/" + r.Sample)
	}
	return image.Parse(r.Sample)
}

// HostedRegistryName is the predefined registry of every organization.
const HostedRegistryName = "docker-registry"

// WhenRefused says what a pull does when a registry refuses the credential.
type WhenRefused string

// The choices. Anonymous is the default: a dead credential must not break a public image.
const (
	RefusedAnonymous WhenRefused = "anonymous"
	RefusedFail      WhenRefused = "fail"
)

// A HelperScope says for how much of a host the Docker credential helper lends a registry's login. A helper is asked for a
// host and never learns the repository.
type HelperScope string

// HelperWholeHost lends it for the whole host though the registry covers a part of it, or another registry a part of its
// own; the zero value, only where the registry covers the whole host and no other has a part of it.
const HelperWholeHost HelperScope = "whole-host"

// A Sealed is a credential encrypted to a data-plane key, as text "sealed:v1:<key id>:<base64url>".
// Only agents that hold the key open it; it is safe to store and to show to an admin.
type Sealed string

// An Identity says whose identity a login is made of.
type Identity string

// IdentityNode is the identity that the node has in its cloud: an instance's role, a workload's service account.
const IdentityNode Identity = "node"

// A RegistryCredential names where the login is: nothing, or exactly one of Secret, Sealed and Identity.
type RegistryCredential struct {
	Secret      string // a secret reference: "file:NAME", "arn:aws:secretsmanager:…", "https://acme.vault.azure.net/secrets/NAME"
	Sealed      Sealed
	Identity    Identity
	AssumeRole  string // ecr: ARN of the role that the identity, or the keys of the secret, assume first
	ExternalID  string // ecr: sent with AssumeRole; the organization's id where empty
	Impersonate string // gcp: e-mail of the service account that the identity, or the key of the secret, stands in for
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
	Proxy           string   // "http://HOST:PORT" or "https://HOST:PORT" that its requests go through: all but those to clouds' own APIs
	Sample          string   // an image that the check pulls: a full reference, or "REPOSITORY[:TAG]" on the only literal host
	// CreateRepositories: a push to a repository that is not there makes it first (ecr).
	CreateRepositories bool
	Helper             HelperScope
	Check              Check
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// A CheckResult says what the last check of a registry's credential found.
type CheckResult string

// The results. Only refused and failed are bad news.
const (
	CheckNever    CheckResult = ""         // no node has looked yet
	CheckProved   CheckResult = "proved"   // the registry gave an image for this credential, and not for a made-up one
	CheckUnproved CheckResult = "unproved" // nothing could be asked that would prove it: no image is known, or it is public
	CheckRefused  CheckResult = "refused"  // the registry, its token server or the exchange does not take the credential
	CheckFailed   CheckResult = "failed"   // something else was in the way: network, TLS, the secret store, the image
)

// A Check is the last look that a node had at a registry's credential. It is no setting: nobody's update changes it.
type Check struct {
	Result CheckResult
	At     time.Time
	Node   string // name
	Image  string // what was asked for
	Reason string // one sentence
	Hint   string // what to do, or empty
}

// ReachDays is how far back a registry's reach looks for executions.
const ReachDays = 30

// A RegistryReach is what a registry gives access to: what would lose it without the registry.
type RegistryReach struct {
	Registry   Registry
	Executions int       // that used it in the last ReachDays days
	Projects   []string  // names of those executions' projects, sorted
	LastUsed   time.Time // zero: not in that time
}
