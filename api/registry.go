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
	Type            string     `json:"type,omitempty" enum:"ecr,gcp,acr,dockerhub,jfrog,generic,hosted" doc:"Absent: the vendor's whose hosts the patterns have, else generic."`
	Enabled         *bool      `json:"enabled,omitempty" doc:"Absent: true."`
	Match           []string   `json:"match,omitempty" doc:"Match patterns: host/path/*[:tag]."`
	Credential      Credential `json:"credential,omitzero" doc:"Absent, or exactly one of secret, sealed and identity."`
	WhenRefused     string     `json:"when_refused,omitempty" enum:"anonymous,fail" doc:"What a pull does when the registry refuses the credential; absent: anonymous."`
	Projects        *Projects  `json:"projects,omitempty" doc:"The word all, or a list of project names; absent: all; an empty list is nobody."`
	PlainHTTP       bool       `json:"plain_http,omitempty" doc:"Whether the registry speaks HTTP without TLS."`
	CA              string     `json:"ca,omitempty" doc:"PEM certificates, added to the system's roots."`
	Realms          []string   `json:"realms,omitempty" doc:"Hosts of token servers that may get the credential."`
	PrivateNetworks []string   `json:"private_networks,omitempty" doc:"CIDR prefixes that the registry's hosts may resolve to."`
	Proxy           string     `json:"proxy,omitempty" doc:"http://HOST:PORT or https://HOST:PORT, without a login: registry, token servers and storage are reached through it. The own APIs of clouds are asked as the environment of the node says (HTTPS_PROXY)."`
	Sample          string     `json:"sample,omitempty" doc:"An image that the check asks for: a whole reference, or REPOSITORY[:TAG] where match has one host."`
	// CreateRepositories is of use for ECR only, where a push to a repository that is not there fails.
	CreateRepositories bool       `json:"create_repositories,omitempty" doc:"Whether a push makes the repository first where it is not there (ecr)."`
	Helper             string     `json:"helper,omitempty" enum:"whole-host" doc:"whole-host: the Docker credential helper, which is asked for a host and never learns the repository, lends this login for all of the host. Absent: only where this registry covers the whole host, and no other has a part of it."`
	Check              *Check     `json:"check,omitempty" doc:"What the last check of the credential found; absent: no node has looked yet. Ignored in requests and files."`
	CreatedAt          *time.Time `json:"created_at,omitempty" doc:"Ignored in requests and files."`
	UpdatedAt          *time.Time `json:"updated_at,omitempty" doc:"Sent back in an update, it refuses the update when somebody else changed the registry since; ignored in files."`
}

func (*Registry) laterKeys() []string {
	return []string{"url", "image_prefix", "push", "default", "cache", "resources"}
}

// A Credential says where a registry's login is. It can be changed but never read back: an answer names the secret, or
// the key and the hosts that a sealed credential is for.
type Credential struct {
	Secret string  `json:"secret,omitempty" doc:"A secret reference: file:NAME, env:NAME, an ARN of Secrets Manager, gcpsm:projects/P/secrets/S, the URL of a Key Vault's secret, vault:MOUNT/PATH, k8s:NAME."`
	Sealed *Sealed `json:"sealed,omitempty" doc:"In a request the text sealed:v1:…; in an answer the key and hosts. That object, sent back, keeps what there is."`

	Identity    string `json:"identity,omitempty" enum:"node" doc:"node: the identity that the node has in its cloud (ecr, gcp, acr)."`
	AssumeRole  string `json:"assume_role,omitempty" doc:"ecr: ARN of the role that the identity, or the secret's keys, assume first."`
	ExternalID  string `json:"external_id,omitempty" doc:"ecr: sent with assume_role; absent: the organization's id."`
	Impersonate string `json:"impersonate,omitempty" doc:"gcp: e-mail of the service account to stand in for."`
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

// A Check is what a node found when it last looked at a registry's credential.
type Check struct {
	Result string    `json:"result" enum:"proved,unproved,refused,failed"`
	At     time.Time `json:"at"`
	Node   string    `json:"node" doc:"The node that looked."`
	Image  string    `json:"image,omitempty" doc:"What was asked for."`
	Reason string    `json:"reason" doc:"One sentence."`
	Hint   string    `json:"hint,omitempty"`
}

// A CheckRequest is the body of POST …/registries/{registry}/test.
type CheckRequest struct {
	Image string `json:"image,omitempty" doc:"What to ask for; absent: the sample, the image pulled last, or what a pattern names."`
}

// AllowedSecrets is the answer to GET /owners/{owner}/allowed-secrets.
type AllowedSecrets struct {
	Prefixes []string `json:"prefixes" doc:"Beginnings of secret references, up to the end of a segment."`
}

// An AllowedSecret is the body of POST /owners/{owner}/allowed-secrets.
type AllowedSecret struct {
	Prefix string `json:"prefix"`
}

// CheckOf converts the noun; nil where no node has looked.
func CheckOf(c pierhead.Check) *Check {
	if c.Result == pierhead.CheckNever {
		return nil
	}
	return &Check{string(c.Result), c.At, c.Node, c.Image, c.Reason, c.Hint}
}

// Noun converts to the noun; a nil Check is that of a registry that no node has looked at.
func (c *Check) Noun() pierhead.Check {
	if c == nil {
		return pierhead.Check{}
	}
	return pierhead.Check{Result: pierhead.CheckResult(c.Result), At: c.At, Node: c.Node, Image: c.Image, Reason: c.Reason, Hint: c.Hint}
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

// Noun converts to the noun and refuses what cannot be one: an unknown type, two credentials at once, a foreign kind.
// Patterns, names and references are the store's to check. OrganizationID stays empty.
func (r Registry) Noun() (pierhead.Registry, error) {
	noun := r.plainNoun()
	if r.Kind != "" && r.Kind != kindRegistry {
		return noun, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("kind is %q, not %s", r.Kind, kindRegistry), "leave kind out, or write kind: Registry")
	}
	if noun.Type != "" && !slices.Contains(pierhead.RegistryTypes(), noun.Type) {
		return noun, unknownType(r.Type)
	}
	if err := r.Credential.check(); err != nil {
		return noun, err
	}
	switch noun.WhenRefused {
	case pierhead.RefusedAnonymous, pierhead.RefusedFail:
	default:
		return noun, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("when_refused is %q", r.WhenRefused), "it is anonymous or fail")
	}
	if noun.Helper != "" && noun.Helper != pierhead.HelperWholeHost {
		return noun, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("helper is %q", r.Helper), "it is whole-host, or absent")
	}
	return noun, nil
}

// check refuses two credentials at once, and an identity that is nobody's.
func (c Credential) check() error {
	var given []string
	for _, one := range []struct {
		name string
		is   bool
	}{{"secret", c.Secret != ""}, {"sealed", c.Sealed != nil}, {"identity", c.Identity != ""}} {
		if one.is {
			given = append(given, one.name)
		}
	}
	if len(given) > 1 {
		return pierhead.NewProblem(pierhead.ErrBadInput, "credential has "+strings.Join(given, " and ")+" at once", "keep one of them")
	}
	if c.Identity != "" && c.Identity != string(pierhead.IdentityNode) {
		return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("credential.identity is %q", c.Identity), "it is node, or absent")
	}
	return nil
}

func unknownType(written string) error {
	var known []string
	for _, t := range pierhead.RegistryTypes() {
		known = append(known, string(t))
	}
	near := suggest.Nearest(written, known)
	hint := "the types are " + list(known)
	if near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("unknown registry type %q", written), hint)
}

// plainNoun fills in the defaults and checks nothing: a node must understand its snapshot whatever is in it.
func (r Registry) plainNoun() pierhead.Registry {
	noun := pierhead.Registry{
		ID: r.ID, Name: r.Name, Type: pierhead.RegistryType(r.Type), Enabled: r.Enabled == nil || *r.Enabled, Match: r.Match,
		Credential: pierhead.RegistryCredential{Secret: r.Credential.Secret, Identity: pierhead.Identity(r.Credential.Identity),
			AssumeRole: r.Credential.AssumeRole, ExternalID: r.Credential.ExternalID, Impersonate: r.Credential.Impersonate},
		WhenRefused: pierhead.WhenRefused(r.WhenRefused),
		Projects:    pierhead.ProjectScope{All: true}, PlainHTTP: r.PlainHTTP, CA: r.CA, Realms: r.Realms, PrivateNetworks: r.PrivateNetworks,
		Proxy: r.Proxy, Sample: r.Sample, CreateRepositories: r.CreateRepositories, Helper: pierhead.HelperScope(r.Helper), Check: r.Check.Noun(),
		CreatedAt: nounTime(r.CreatedAt), UpdatedAt: nounTime(r.UpdatedAt),
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
		Match: r.Match, WhenRefused: string(r.WhenRefused), Projects: &projects,
		Credential: Credential{Secret: r.Credential.Secret, Identity: string(r.Credential.Identity), AssumeRole: r.Credential.AssumeRole,
			ExternalID: r.Credential.ExternalID, Impersonate: r.Credential.Impersonate},
		PlainHTTP: r.PlainHTTP, CA: r.CA, Realms: r.Realms, PrivateNetworks: r.PrivateNetworks,
		Proxy: r.Proxy, Sample: r.Sample, CreateRepositories: r.CreateRepositories, Helper: string(r.Helper), Check: CheckOf(r.Check),
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
