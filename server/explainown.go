package server

import (
	"context"
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/resolve"
)

// note is what the server says of its own answers.
const note = "No agent answered in time, so this is what the registries alone tell: no secret was looked up, and no node's identity was considered."

// ownExplanation is the answer from the registries alone.
func (s *Server) ownExplanation(ctx context.Context, c pierhead.Caller, about subject) (api.Explanation, error) {
	registries, err := s.registriesFor(ctx, c, about)
	if err != nil {
		return api.Explanation{}, err
	}
	table, err := resolve.Compile(registries)
	if err != nil {
		return api.Explanation{}, fmt.Errorf("registries of %s: %w", about.organization.Name, err)
	}
	question := resolve.Ask(about.known)
	question.Personal, question.Project, question.Push = about.project.Personal(), about.project.Name, about.push
	answer := table.Match(question)
	explanation := outcomeOf(answer, about)
	explanation.From, explanation.Note = api.FromServer, note
	explanation.Steps = stepsOf(answer, about)
	explanation.Candidates = candidatesOf(table, question, answer)
	return explanation, nil
}

// registriesFor reads an organization's registries for whoever may ask about it. Members may not see the settings of
// registries, but may know which one serves an image and by which rule, so the question is put to the store with an
// admin's role in this one organization, read-only, and under a name that tells it apart in the audit log.
func (s *Server) registriesFor(ctx context.Context, c pierhead.Caller, about subject) ([]pierhead.Registry, error) {
	if about.organization.ID == "" {
		return nil, nil
	}
	if c.RoleIn(about.organization.ID) != pierhead.RoleAdmin {
		c.Name += " (explain)"
		c.ReadOnly = true
		c.Memberships = map[string]pierhead.Role{about.organization.ID: pierhead.RoleAdmin}
	}
	return s.config.Store.Registries(ctx, c, about.organization.Name)
}

// outcomeOf says which step applies, and what comes of it.
func outcomeOf(answer resolve.Answer, about subject) api.Explanation {
	switch {
	case answer.Outcome == resolve.Matched:
		return api.Explanation{
			Outcome: api.OutcomeRegistry, Credential: credentialOf(answer.Registry),
			Sentence: fmt.Sprintf("registry %s serves it by its pattern %s", answer.Registry.Name, answer.Pattern),
		}
	case answer.Outcome == resolve.Ambiguous:
		return api.Explanation{Outcome: api.OutcomeAmbiguous, Sentence: answer.Explain(), Hint: answer.Hint()}
	case about.push:
		return api.Explanation{Outcome: api.OutcomeFailed, Sentence: "no registry covers it, and nothing is pushed anonymously",
			Hint: "add a registry whose match covers " + about.image.Name()}
	}
	hint := "if the image is private, add a registry whose match covers " + about.image.Name()
	if about.project.Personal() {
		hint = "if the image is private, use a project of an organization: personal projects have no registries"
	}
	return api.Explanation{Outcome: api.OutcomeAnonymous, Sentence: "it is pulled anonymously, because " + answer.Explain(), Hint: hint}
}

// credentialOf names where a registry's credential is, never more.
func credentialOf(r *pierhead.Registry) *api.ExplainedCredential {
	hosts, _ := image.LiteralHosts(r.Match)
	credential := &api.ExplainedCredential{Hosts: hosts}
	wire := api.RegistryOf(*r, "").Credential
	switch {
	case wire.Secret != "":
		credential.Source = "secret " + wire.Secret
	case wire.Sealed != nil:
		credential.Source = "sealed to key " + wire.Sealed.KeyID
	case r.Type == pierhead.RegistryHosted:
		credential.Source = "the node's own token"
	default:
		return nil
	}
	return credential
}

// stepsOf tells the four steps of precedence, of which the server knows the second and the fourth.
func stepsOf(answer resolve.Answer, about subject) []api.ExplainedStep {
	registry := api.ExplainedStep{Number: api.StepRegistry, Taken: answer.Outcome != resolve.None, Why: answer.Explain()}
	last := api.ExplainedStep{Number: api.StepAnonymous, Taken: !registry.Taken && !about.push, Why: "no step before it applies"}
	switch {
	case about.push:
		last.Why = "nothing is pushed anonymously"
	case registry.Taken:
		last.Why = "a step before it applies"
	}
	if about.project.Personal() {
		registry.Why = "the project is personal, and personal projects have no organization's registries"
	}
	steps := []api.ExplainedStep{
		{Number: api.StepLoginSecret, Why: "the question is not of an execution that names a registry_login_secret"},
		registry,
		{Number: api.StepNodeIdentity, Why: "a node's identity is known to the node alone"},
		last,
	}
	for i := range steps {
		steps[i].Name = api.StepNames[steps[i].Number]
	}
	return steps
}

// candidatesOf lists the winner and every other pattern of the host with the rule that refused it.
func candidatesOf(table *resolve.Table, question resolve.Question, answer resolve.Answer) []api.ExplainedCandidate {
	candidates := []api.ExplainedCandidate{}
	if answer.Outcome == resolve.Matched {
		candidates = append(candidates, api.ExplainedCandidate{
			Registry: answer.Registry.Name, Pattern: answer.Pattern, Accepted: true, Rule: "most-specific", Sentence: "the most specific pattern that covers the image",
		})
	}
	for _, refusal := range table.Refusals(question) {
		candidates = append(candidates, api.ExplainedCandidate{
			Registry: refusal.Registry.Name, Pattern: refusal.Pattern, Rule: string(refusal.Rule), Sentence: refusal.Text,
		})
	}
	return candidates
}
