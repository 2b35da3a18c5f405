package gcpsm

import (
	"regexp"

	"pierhead.dev/pierhead/secret"
)

// Scheme is the scheme of references that this source serves.
const Scheme = "gcpsm"

// latest is the version that a reference without one names: the newest there is.
const latest = "latest"

// form of a reference's name: Google's own resource names, whose version may be left out. A project is its id, with its
// domain where it has one, or its number; a version is a number, "latest", or an alias.
var form = regexp.MustCompile(`^projects/((?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?:)?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)` +
	`(?:/locations/([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?))?` +
	`/secrets/([A-Za-z0-9_-]{1,255})` +
	`(?:/versions/([1-9][0-9]{0,18}|[A-Za-z][A-Za-z0-9_-]{0,62}))?$`)

// A name is a secret in Secret Manager.
type name struct {
	project  string // "acme-prod", "example.com:acme", "123456789012"
	location string // "" for a secret that Google replicates, else the region that it is kept in
	secret   string
	version  string // "" where the reference has none
}

// parse reads a reference. The error is a *secret.Error with secret.ErrRef.
func parse(ref secret.Ref) (name, error) {
	parts := form.FindStringSubmatch(ref.Name())
	if ref.Scheme() != Scheme || parts == nil {
		return name{}, &secret.Error{Kind: secret.ErrRef, Ref: ref, Text: "not the name of a secret in Google Secret Manager",
			Hint: "write gcpsm:projects/PROJECT/secrets/SECRET, or gcpsm:projects/PROJECT/locations/LOCATION/secrets/SECRET, with /versions/VERSION behind it for one that is not the latest"}
	}
	return name{project: parts[1], location: parts[2], secret: parts[3], version: parts[4]}, nil
}

// String is what a reference's name says.
func (n name) String() string {
	if n.version == "" {
		return n.resource()
	}
	return n.resource() + "/versions/" + n.version
}

// resource is the secret's own name, without a version.
func (n name) resource() string {
	text := "projects/" + n.project
	if n.location != "" {
		text += "/locations/" + n.location
	}
	return text + "/secrets/" + n.secret
}

// at is the resource name of a version.
func (n name) at(version string) string { return n.resource() + "/versions/" + version }

// host is where the secret is asked for: a regional one is known at its region's endpoint only.
func (n name) host() string {
	if n.location == "" {
		return "secretmanager.googleapis.com"
	}
	return "secretmanager." + n.location + ".rep.googleapis.com"
}

// followed tells whether the reference means whatever is newest.
func (n name) followed() bool { return n.version == "" || n.version == latest }
