package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/suggest"
)

// A Registry is an organization's entry for images, with the same fields in the API and in files.
type Registry struct {
	Kind            string     `json:"kind,omitempty" doc:"Registry, or absent."`
	ID              string     `json:"id,omitempty" doc:"reg_…; a client that seals a credential proposes it, because sealing binds to it. It never changes."`
	Organization    string     `json:"organization,omitempty"`
	Name            string     `json:"name"`
	Type            string     `json:"type,omitempty" doc:"generic (the default) or hosted."`
	Enabled         *bool      `json:"enabled,omitempty" doc:"Absent: true."`
	Match           []string   `json:"match,omitempty" doc:"Match patterns: host/path/*[:tag]."`
	Credential      Credential `json:"credential,omitzero" doc:"Absent, or exactly one of secret and sealed."`
	WhenRefused     string     `json:"when_refused,omitempty" enum:"anonymous,fail" doc:"What a pull does when the registry refuses the credential; absent: anonymous."`
	Projects        *Projects  `json:"projects,omitempty" doc:"The word all, or a list of project names; absent: all; an empty list is nobody."`
	PlainHTTP       bool       `json:"plain_http,omitempty" doc:"Whether the registry speaks HTTP without TLS."`
	CA              string     `json:"ca,omitempty" doc:"PEM certificates, added to the system's roots."`
	Realms          []string   `json:"realms,omitempty" doc:"Hosts of token servers that may get the credential."`
	PrivateNetworks []string   `json:"private_networks,omitempty" doc:"CIDR prefixes that the registry's hosts may resolve to."`
	CreatedAt       *time.Time `json:"created_at,omitempty" doc:"Ignored in requests and files."`
	UpdatedAt       *time.Time `json:"updated_at,omitempty" doc:"Sent back in an update, it refuses the update when somebody else changed the registry since; ignored in files."`
}

func (*Registry) laterKeys() []string {
	return []string{"sample", "url", "image_prefix", "push", "default", "create_repositories", "cache", "proxy", "resources"}
}

// A Credential says where a registry's login is. It can be changed but never read back: an answer names the secret, or
// the key and the hosts that a sealed credential is for.
type Credential struct {
	Secret string  `json:"secret,omitempty" doc:"A secret reference: file:NAME or env:NAME."`
	Sealed *Sealed `json:"sealed,omitempty" doc:"In a request the text sealed:v1:…; in an answer the key and hosts. That object, sent back, keeps what there is."`
}

func (*Credential) laterKeys() []string {
	return []string{"identity", "assume_role", "external_id", "impersonate"}
}

// A Sealed is a sealed credential: on its way to the server and to a node its text, in every other answer the rest.
type Sealed struct {
	Text  string   // "sealed:v1:<key id>:<base64url>"; empty in answers to people
	KeyID string   // the data-plane key that opens it
	Hosts []string // the hosts that it is for
}

// SealedView is the shape of Sealed in answers.
type SealedView struct {
	KeyID string   `json:"key_id" doc:"The data-plane key that opens it."`
	Hosts []string `json:"hosts" doc:"The hosts that it is for, sorted."`
}

// MarshalJSON writes the text where there is one, else the object.
func (s Sealed) MarshalJSON() ([]byte, error) {
	if s.Text != "" {
		return json.Marshal(s.Text)
	}
	return json.Marshal(SealedView{s.KeyID, mapped(s.Hosts, func(h string) string { return h })})
}

// UnmarshalJSON reads either form.
func (s *Sealed) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &s.Text) == nil {
		s.KeyID = sealedKeyID(s.Text)
		return nil
	}
	var view SealedView
	if err := json.Unmarshal(data, &view); err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, "neither the text sealed:v1:… nor what the server showed of it", "seal it with pier registry add or update")
	}
	*s = Sealed{KeyID: view.KeyID, Hosts: view.Hosts}
	return nil
}

func sealedKeyID(text string) string {
	if parts := strings.Split(text, ":"); len(parts) == 4 {
		return parts[2]
	}
	return ""
}

// Projects says which projects may use a registry: the word "all", or a list of names.
type Projects pierhead.ProjectScope

// MarshalJSON writes "all" or the list.
func (p Projects) MarshalJSON() ([]byte, error) {
	if p.All {
		return []byte(`"all"`), nil
	}
	return json.Marshal(mapped(p.Names, func(name string) string { return name }))
}

// UnmarshalJSON reads "all" or a list of names.
func (p *Projects) UnmarshalJSON(data []byte) error {
	var word string
	if json.Unmarshal(data, &word) == nil && word == "all" {
		*p = Projects{All: true}
		return nil
	}
	*p = Projects{}
	if err := json.Unmarshal(data, &p.Names); err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, "neither the word all nor a list of project names", "write projects: all, or projects: [one, two]")
	}
	slices.Sort(p.Names)
	p.Names = slices.Compact(p.Names)
	return nil
}

// supportedTypes are the registry types of this version; laterTypes are those that DESIGN has and this version lacks.
var supportedTypes = []string{string(pierhead.RegistryGeneric), string(pierhead.RegistryHosted)}

// Noun converts to the noun and refuses what cannot be one: an unknown type, two credentials at once, a foreign kind.
// Patterns, names and references are the store's to check. OrganizationID stays empty.
func (r Registry) Noun() (pierhead.Registry, error) {
	noun := r.plainNoun()
	if r.Kind != "" && r.Kind != kindRegistry {
		return noun, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("kind is %q, not %s", r.Kind, kindRegistry), "leave kind out, or write kind: Registry")
	}
	if !slices.Contains(supportedTypes, string(noun.Type)) {
		return noun, unknownType(r.Type)
	}
	if r.Credential.Secret != "" && r.Credential.Sealed != nil {
		return noun, pierhead.NewProblem(pierhead.ErrBadInput, "credential has both secret and sealed", "keep one of them")
	}
	switch noun.WhenRefused {
	case pierhead.RefusedAnonymous, pierhead.RefusedFail:
	default:
		return noun, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("when_refused is %q", r.WhenRefused), "it is anonymous or fail")
	}
	return noun, nil
}

func unknownType(written string) error {
	switch written {
	case "ecr", "gcp", "acr", "dockerhub", "jfrog":
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("registries of type %s are not supported by this version", written),
			"use type generic with a user name and an access token")
	}
	hint := "the types are " + list(slices.Clone(supportedTypes))
	if near := suggest.Nearest(written, supportedTypes); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("unknown registry type %q", written), hint)
}

// plainNoun fills in the defaults and checks nothing: a node must understand its snapshot whatever is in it.
func (r Registry) plainNoun() pierhead.Registry {
	noun := pierhead.Registry{
		ID: r.ID, Name: r.Name, Type: pierhead.RegistryType(r.Type), Enabled: r.Enabled == nil || *r.Enabled, Match: r.Match,
		Credential: pierhead.RegistryCredential{Secret: r.Credential.Secret}, WhenRefused: pierhead.WhenRefused(r.WhenRefused),
		Projects: pierhead.ProjectScope{All: true}, PlainHTTP: r.PlainHTTP, CA: r.CA, Realms: r.Realms, PrivateNetworks: r.PrivateNetworks,
		CreatedAt: nounTime(r.CreatedAt), UpdatedAt: nounTime(r.UpdatedAt),
	}
	if noun.Type == "" {
		noun.Type = pierhead.RegistryGeneric
	}
	if noun.WhenRefused == "" {
		noun.WhenRefused = pierhead.RefusedAnonymous
	}
	if r.Projects != nil {
		noun.Projects = pierhead.ProjectScope(*r.Projects)
	}
	if r.Credential.Sealed != nil {
		noun.Credential.Sealed = pierhead.Sealed(r.Credential.Sealed.Text)
	}
	return noun
}

// RegistryOf converts the noun for people: of a sealed credential only the key and the hosts are shown.
func RegistryOf(r pierhead.Registry, organization string) Registry {
	enabled, projects := r.Enabled, Projects(r.Projects)
	wire := Registry{
		Kind: kindRegistry, ID: r.ID, Organization: organization, Name: r.Name, Type: string(r.Type), Enabled: &enabled,
		Match: r.Match, Credential: Credential{Secret: r.Credential.Secret}, WhenRefused: string(r.WhenRefused), Projects: &projects,
		PlainHTTP: r.PlainHTTP, CA: r.CA, Realms: r.Realms, PrivateNetworks: r.PrivateNetworks,
		CreatedAt: timeOf(r.CreatedAt), UpdatedAt: timeOf(r.UpdatedAt),
	}
	if r.Credential.Sealed != "" {
		hosts, _ := image.LiteralHosts(r.Match)
		wire.Credential.Sealed = &Sealed{KeyID: sealedKeyID(string(r.Credential.Sealed)), Hosts: hosts}
	}
	return wire
}

// A RegistryReach is what would lose access without a registry.
type RegistryReach struct {
	Registry   string     `json:"registry"`
	Match      []string   `json:"match" doc:"The patterns that nothing would cover any more, unless another registry does."`
	Projects   *Projects  `json:"projects" doc:"Who may use it: the word all, or a list of project names."`
	Days       int        `json:"days" doc:"How far back the rest looks."`
	Executions int        `json:"executions" doc:"How many executions used it in that time."`
	UsedBy     []string   `json:"used_by" doc:"Their projects."`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// RegistryReachOf converts a reach.
func RegistryReachOf(reach pierhead.RegistryReach, organization string) RegistryReach {
	shown := RegistryOf(reach.Registry, organization)
	return RegistryReach{
		Registry: shown.Name, Match: append([]string{}, shown.Match...), Projects: shown.Projects, Days: pierhead.ReachDays, Executions: reach.Executions,
		UsedBy: append([]string{}, reach.Projects...), LastUsedAt: timeOf(reach.LastUsed),
	}
}

// A RegistryList is the answer to GET /organizations/{organization}/registries.
type RegistryList struct {
	Registries []Registry `json:"registries"`
}

// RegistriesOf converts a list.
func RegistriesOf(list []pierhead.Registry, organization string) RegistryList {
	return RegistryList{mapped(list, func(r pierhead.Registry) Registry { return RegistryOf(r, organization) })}
}
