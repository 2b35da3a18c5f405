package api

import (
	"fmt"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

// An ExplainRequest asks which credential an image would get, and why.
type ExplainRequest struct {
	Image        string `json:"image" doc:"The reference as written."`
	Project      string `json:"project,omitempty" doc:"<owner>/<name>; absent: a question that names no project."`
	Organization string `json:"organization,omitempty" doc:"Whose registries; absent: the project's."`
	Action       string `json:"action,omitempty" enum:"pull,push" doc:"Absent: pull."`
	Door         string `json:"door,omitempty" enum:"docker,kubelet,mirror" doc:"By which a runtime of a node asks, and so how much of the image is known; absent: an execution pulls."`
}

// A Question is what a node is asked beside its work: to explain, or with Check to look at a registry's credential. Names are
// resolved.
type Question struct {
	ID             string `json:"id"`
	Image          string `json:"image"`
	Project        string `json:"project,omitempty" doc:"The project's name without its owner, as the registries' scopes have it; empty: not known."`
	Owner          string `json:"owner,omitempty" doc:"The project's owner."`
	Personal       bool   `json:"personal,omitempty" doc:"Whether the project is a person's."`
	Organization   string `json:"organization,omitempty" doc:"Whose registries to look at; empty: none."`
	OrganizationID string `json:"organization_id,omitempty"`
	Action         string `json:"action"`
	Door           string `json:"door,omitempty" doc:"docker, kubelet or mirror; empty: an execution's pull."`
	// Check is a registry as it is, or would be, saved, with the text of a sealed credential; Image is what to ask it for, or
	// empty where no image is known.
	Check *Registry `json:"check,omitempty" doc:"The registry whose credential is to be looked at; absent: explain."`
}

// An Answer is a node's answer to a Question: one of the two.
type Answer struct {
	Explanation *Explanation `json:"explanation,omitempty"`
	Check       *Check       `json:"check,omitempty"`
}

// KnownAt is what of an image is known to a door: the Docker helper is told a host, the kubelet's plugin and the mirror
// host and repository. Errors: pierhead.ErrBadInput for a door that there is none of.
func KnownAt(door string, r image.Reference) (image.Reference, error) {
	switch doors.Door(door) {
	case "":
		return r, nil
	case doors.Docker:
		return image.OfHost(r.Host())
	case doors.Kubelet, doors.Mirror:
		return r.Named(), nil
	}
	return r, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("there is no door %.20q", door), "the doors of a node are docker, kubelet and mirror")
}

// RegistryForNode converts the noun with the text of its sealed credential, which is for nodes only.
func RegistryForNode(r pierhead.Registry, organization string) Registry {
	wire := RegistryOf(r, organization)
	wire.Check = nil
	if wire.Credential.Sealed != nil {
		wire.Credential.Sealed.Text = string(r.Credential.Sealed)
	}
	return wire
}

// NounForNode converts back without checks: a node must understand what a newer server says.
func (r Registry) NounForNode(organizationID string) pierhead.Registry {
	noun := r.plainNoun()
	noun.OrganizationID = organizationID
	return noun
}

// The places of an answer, and the sources of it.
const (
	FromServer = "server" // Match's own answer: neither secrets nor the node's identity were looked at

	OutcomeRegistry  = "registry"  // a registry's credential
	OutcomeSecret    = "secret"    // the execution's registry_login_secret
	OutcomeIdentity  = "identity"  // the node's identity, with nothing configured
	OutcomeAnonymous = "anonymous" // no credential
	OutcomeAmbiguous = "ambiguous" // what is not known would change the answer
	OutcomeFailed    = "failed"    // the step that applies failed
)

// The numbers of the four steps of precedence.
const (
	StepLoginSecret  = 1 // the registry_login_secret of the execution
	StepRegistry     = 2 // the most specific registry of the organization
	StepNodeIdentity = 3 // the node's own identity
	StepAnonymous    = 4
)

// StepNames are the names of the steps, from 1 on; [0] is unused.
var StepNames = [...]string{"", "registry_login_secret", "organization registry", "node identity", "anonymous"}

// An Explanation is which credential an image gets, and why: the same code path as a pull, told.
type Explanation struct {
	Image        ExplainedImage       `json:"image"`
	Action       string               `json:"action" doc:"pull or push."`
	Door         string               `json:"door,omitempty" doc:"docker, kubelet or mirror; empty: an execution's pull."`
	Project      string               `json:"project,omitempty" doc:"<owner>/<name>; empty: the question names none."`
	Personal     bool                 `json:"personal,omitempty"`
	Organization string               `json:"organization,omitempty"`
	From         string               `json:"from" doc:"Who answered: server, or node:<name>."`
	Note         string               `json:"note,omitempty" doc:"What was not looked at."`
	Steps        []ExplainedStep      `json:"steps" doc:"In order of precedence."`
	Candidates   []ExplainedCandidate `json:"candidates" doc:"Every registry with a pattern for the host."`
	Credential   *ExplainedCredential `json:"credential,omitempty" doc:"What would be used, never its value; absent: none."`
	Outcome      string               `json:"outcome" enum:"secret,registry,identity,anonymous,ambiguous,failed"`
	Sentence     string               `json:"sentence" doc:"The outcome in words."`
	Hint         string               `json:"hint,omitempty" doc:"What to do about it."`
}

// An ExplainedImage is a reference, taken apart.
type ExplainedImage struct {
	Written    string `json:"written"`
	Canonical  string `json:"canonical"`
	Host       string `json:"host"`
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest,omitempty"`
}

// An ExplainedStep is one step of precedence.
type ExplainedStep struct {
	Number int    `json:"number" doc:"1 to 4."`
	Name   string `json:"name"`
	Taken  bool   `json:"taken"`
	Why    string `json:"why"`
}

// An ExplainedCandidate is one pattern of one registry, and the rule that accepted or refused it.
type ExplainedCandidate struct {
	Registry string `json:"registry"`
	Pattern  string `json:"pattern"`
	Accepted bool   `json:"accepted"`
	Rule     string `json:"rule" doc:"A stable code; personal-project, disabled, …"`
	Sentence string `json:"sentence"`
}

// An ExplainedCredential says where a credential comes from and whom it is for.
type ExplainedCredential struct {
	Source    string     `json:"source" doc:"secret file:NAME, typed in and sealed to key <id>, the node's identity."`
	Hosts     []string   `json:"hosts" doc:"The hosts that it may go to."`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Principal string     `json:"principal,omitempty" doc:"Whom it stands for at its issuer: an ARN, an e-mail."`
}
