package broker

import (
	"context"
	"errors"
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/resolve"
	"pierhead.dev/pierhead/secret/sealed"
)

// Explain tells which credential a pull would get, and why. It goes the way of Open: the same decision, the same
// secret, the same exchange; only the registry is not asked. Of a credential it says where it comes from and whom it
// is for. shown is the organization whose refusals are told to somebody who asks for a personal project; elsewhere it
// is the question's own.
func (b *Broker) Explain(ctx context.Context, caller pierhead.Caller, q Question, shown string) (api.Explanation, error) {
	b.record(q, caller, "explain", "", map[string]string{})
	e := api.Explanation{
		Image: api.ExplainedImage{Written: q.Reference.Written(), Canonical: q.Reference.String(), Host: q.Reference.Host(),
			Repository: q.Reference.Repository(), Tag: q.Reference.Tag(), Digest: q.Reference.Digest()},
		Action: "pull", Personal: q.Personal,
	}
	table, err := b.Registries.Table(ctx, shown)
	if err != nil {
		return e, forPeople(q, pierhead.Registry{}, err)
	}
	p, err := b.plan(ctx, table, q)
	if err != nil && ctx.Err() != nil {
		return e, ctx.Err()
	}
	e.Candidates = candidates(table, q, p.decision)
	switch {
	case errors.Is(err, pierhead.ErrConflict):
		e.Outcome, e.Sentence, e.Hint = api.OutcomeAmbiguous, err.Error()+".", pierhead.HintOf(err)
		e.Steps = steps(q, 0, "which registry is meant cannot be told", "not reached")
	case p.step == stepAnonymous:
		explainAnonymous(&e, q, err)
	default:
		explainRegistry(&e, q, p, err)
	}
	return e, nil
}

func explainAnonymous(e *api.Explanation, q Question, failed error) {
	e.Outcome = api.OutcomeAnonymous
	why := "no registry of the organization that this project may use covers the image"
	if q.Personal {
		why = "personal projects do not see organizations' registries"
		e.Hint = "run it in a project of the organization whose registry covers the image"
	} else if len(e.Candidates) > 0 {
		e.Hint = "look at the candidates: each says why it was refused"
	} else {
		e.Hint = "an organization admin adds a registry for this host: pier registry add NAME --match '" + q.Reference.Host() + "/*' ..."
	}
	e.Sentence = fmt.Sprintf("%s is pulled anonymously: %s.", q.Reference, why)
	if failed != nil {
		e.Outcome, e.Sentence, e.Hint = api.OutcomeFailed, failed.Error()+".", pierhead.HintOf(failed)
	}
	e.Steps = steps(q, stepAnonymous, why, "no credential is sent")
}

func explainRegistry(e *api.Explanation, q Question, p plan, failed error) {
	name := p.registry.Name
	second, last, taken := fmt.Sprintf("registry %s covers the image by its pattern %s", name, p.pattern), "not reached: the step before applies", stepRegistry
	switch {
	case failed != nil:
		e.Outcome, e.Sentence, e.Hint = api.OutcomeFailed, failed.Error()+".", pierhead.HintOf(failed)
		last = "not reached: the failure of the step before is the answer"
	case p.gaveUp != nil:
		why := told(q, p.gaveUp)
		e.Outcome, e.Hint = api.OutcomeAnonymous, hint(q, p.registry, p.gaveUp)
		e.Sentence = fmt.Sprintf("%s belongs to registry %s, but its credential is not used: %s. The pull is anonymous.", q.Reference, name, why)
		second, last, taken = second+", but "+why, "the one anonymous pull that follows", stepAnonymous
	case p.login.Empty():
		e.Outcome = api.OutcomeAnonymous
		e.Sentence = fmt.Sprintf("%s belongs to registry %s, which has no credential: it is read anonymously.", q.Reference, name)
	default:
		e.Outcome = api.OutcomeRegistry
		e.Sentence = fmt.Sprintf("%s is pulled with the credential of registry %s.", q.Reference, name)
		e.Credential = explainedCredential(p.registry, p.login)
	}
	e.Steps = steps(q, taken, second, last)
}

func explainedCredential(registry pierhead.Registry, c credential.Credential) *api.ExplainedCredential {
	told := &api.ExplainedCredential{Hosts: c.Hosts()}
	if expires := c.Expires(); !expires.IsZero() {
		told.ExpiresAt = &expires
	}
	switch {
	case registry.Credential.Secret != "":
		told.Source = "secret " + registry.Credential.Secret
	case registry.Credential.Sealed != "":
		id, _ := sealed.KeyID(string(registry.Credential.Sealed)) // it was opened, so it has one
		told.Source = "typed in and sealed to key " + id
	default:
		told.Source = "the node's own login"
	}
	return told
}

// steps are the four steps of precedence with the one that is taken; 0 for none.
func steps(q Question, taken step, second, last string) []api.ExplainedStep {
	why := [...]string{"", "the execution names no environment with a registry_login_secret", second,
		"this version has no node identities", last}
	if q.Personal {
		why[3] = "personal projects do not get the node's identity"
	}
	var all []api.ExplainedStep
	for number := 1; number < len(why); number++ {
		all = append(all, api.ExplainedStep{Number: number, Name: api.StepNames[number], Taken: step(number) == taken, Why: why[number]})
	}
	return all
}

// candidates tells of every registry with a pattern for the image's host: the one that won, and why the others did not.
func candidates(table *resolve.Table, q Question, d decision) []api.ExplainedCandidate {
	told := []api.ExplainedCandidate{} // a list on the wire, also when empty
	if d.step == stepRegistry {
		told = append(told, api.ExplainedCandidate{Registry: d.registry.Name, Pattern: d.pattern, Accepted: true, Rule: "most-specific",
			Sentence: "it covers the image, this project may use it, and no other such pattern is more specific"})
	}
	for _, refusal := range table.Refusals(q.match()) {
		told = append(told, api.ExplainedCandidate{Registry: refusal.Registry.Name, Pattern: refusal.Pattern, Rule: string(refusal.Rule), Sentence: refusal.Text})
	}
	return told
}
