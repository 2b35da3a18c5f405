package azure

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
)

// A Principal is whom a token stands for, as the token itself says: good for naming him, never for trusting. Fields that the
// token has not, or not in the form of an id, are "".
type Principal struct {
	Client  string // the application's id
	Object  string // the id that roles are granted to
	Tenant  string
	Managed string // resource of a managed identity, "userAssignedIdentities/pier-nodes"
}

// String names the principal, in a form that is safe to print.
func (p Principal) String() string {
	name := "application " + p.Client
	switch {
	case p.Managed != "":
		name = "managed identity " + p.Managed
	case p.Client == "":
		name = "somebody"
	}
	if p.Object != "" {
		name += " (object " + p.Object + ")"
	}
	return name
}

// Assignee is what `az role assignment create --assignee` takes for the principal.
func (p Principal) Assignee() string {
	for _, id := range []string{p.Object, p.Client} {
		if id != "" {
			return id
		}
	}
	return "OBJECT-ID"
}

var (
	idShape       = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	resourceShape = regexp.MustCompile(`^/[A-Za-z0-9._()/-]{1,500}$`)
)

// IsID tells whether a text has the form of Azure's ids.
func IsID(text string) bool { return idShape.MatchString(text) }

// principalOf reads a token's claims without verifying them: that is its receiver's affair.
func principalOf(token string) Principal {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Principal{}
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Principal{}
	}
	var claims struct {
		AppID, Azp, OID, TID string
		Resource             string `json:"xms_mirid"`
	}
	if json.Unmarshal(text, &claims) != nil {
		return Principal{}
	}
	p := Principal{Client: onlyID(claims.AppID), Object: onlyID(claims.OID), Tenant: onlyID(claims.TID)}
	if p.Client == "" {
		p.Client = onlyID(claims.Azp)
	}
	if segments := strings.Split(claims.Resource, "/"); resourceShape.MatchString(claims.Resource) && len(segments) > 2 {
		p.Managed = strings.Join(segments[len(segments)-2:], "/")
	}
	return p
}

func onlyID(text string) string {
	if IsID(text) {
		return text
	}
	return ""
}

// printable is an id out of the environment or a secret, which may be anything else by mistake.
func printable(id string) string {
	if IsID(id) {
		return id
	}
	return "(not an id)"
}
