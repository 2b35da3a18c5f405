package broker

import (
	"context"
	"errors"
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/doors"
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
		return e, forPeople(q, decision{}, err)
	}
	if q.Door == doors.Docker || q.Door == doors.Kubelet {
		return b.explainLoan(ctx, e, table, q)
	}
	p, err := b.plan(ctx, table, q)
	if err != nil && ctx.Err() != nil {
		return e, ctx.Err()
	}
	e.Candidates = candidates(table, q, p.decision)
	switch {
	case errors.Is(err, pierhead.ErrConflict):
		e.Outcome, e.Sentence, e.Hint = api.OutcomeAmbiguous, err.Error()+".", pierhead.HintOf(err)
		e.Steps = steps(q, 0, [4]string{"", "which registry is meant cannot be told", "not reached", "not reached"})
	case p.step == stepAnonymous:
		explainAnonymous(&e, q, p, err)
	default:
		explainLogin(&e, q, p, err)
	}
	return e, nil
}

func explainAnonymous(e *api.Explanation, q Question, p plan, failed error) {
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
	third := "the image is not at a registry of a cloud"
	if p.passed != "" {
		third = p.passed
		e.Sentence = fmt.Sprintf("%s is pulled anonymously: %s, and %s.", q.Reference, why, p.passed)
	}
	if failed != nil {
		e.Outcome, e.Sentence, e.Hint = api.OutcomeFailed, failed.Error()+".", pierhead.HintOf(failed)
	}
	e.Steps = steps(q, stepAnonymous, [4]string{"", why, third, "no credential is sent"})
}

// explainLogin tells of a step that has a login to send, or had one.
func explainLogin(e *api.Explanation, q Question, p plan, failed error) {
	taken, why := p.step, applies(p.decision)
	after := "not reached: a step before applies"
	last := after
	switch {
	case failed != nil:
		e.Outcome, e.Sentence, e.Hint = api.OutcomeFailed, failed.Error()+".", pierhead.HintOf(failed)
		last = "not reached: the failure of a step before is the answer"
	case p.gaveUp != nil:
		because := told(q, p.gaveUp)
		e.Outcome, e.Hint = api.OutcomeAnonymous, hint(q, p.decision, p.gaveUp)
		e.Sentence = fmt.Sprintf("%s would get %s, but it is not used: %s. The pull is anonymous.", q.Reference, p.decision.login(), because)
		if p.step == stepRegistry {
			e.Sentence = fmt.Sprintf("%s belongs to registry %s, but its credential is not used: %s. The pull is anonymous.", q.Reference, p.lender.Name, because)
		}
		why, last, taken = why+", but "+because, "the one anonymous pull that follows", stepAnonymous
	case p.login.Empty():
		e.Outcome = api.OutcomeAnonymous
		e.Sentence = fmt.Sprintf("%s belongs to registry %s, which has no credential: it is read anonymously.", q.Reference, p.lender.Name)
	default:
		e.Outcome, e.Sentence = served(q, p)
		e.Credential = explainedCredential(p)
	}
	told := [4]string{"", "a step before applies", after, last}
	told[p.step-1] = why
	e.Steps = steps(q, taken, told)
}

// applies says why a step does.
func applies(d decision) string {
	switch d.step {
	case stepSecret:
		return "the execution names the secret " + d.lender.Credential.Secret
	case stepIdentity:
		return "no registry covers the image, and it is at a registry of type " + string(d.lender.Type) + ", where this node's identity counts"
	}
	return fmt.Sprintf("registry %s covers the image by its pattern %s", d.lender.Name, d.pattern)
}

// served is what is told of a login that is sent.
func served(q Question, p plan) (outcome, sentence string) {
	switch p.step {
	case stepSecret:
		return api.OutcomeSecret, fmt.Sprintf("%s is pulled with the login in the secret %s.", q.Reference, p.lender.Credential.Secret)
	case stepIdentity:
		return api.OutcomeIdentity, fmt.Sprintf("%s is pulled as %s, with nothing configured.", q.Reference, orElse(p.login.Principal(), "this node's identity"))
	}
	return api.OutcomeRegistry, fmt.Sprintf("%s is pulled with the credential of registry %s.", q.Reference, p.lender.Name)
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func explainedCredential(p plan) *api.ExplainedCredential {
	told := &api.ExplainedCredential{Hosts: p.login.Hosts(), Principal: p.login.Principal()}
	if expires := p.login.Expires(); !expires.IsZero() {
		told.ExpiresAt = &expires
	}
	switch c := p.lender.Credential; {
	case c.Secret != "":
		told.Source = "secret " + c.Secret
	case c.Sealed != "":
		id, _ := sealed.KeyID(string(c.Sealed)) // it was opened, so it has one
		told.Source = "typed in and sealed to key " + id
	case c.Identity != "":
		told.Source = "the node's identity"
	default:
		told.Source = "the node's own login"
	}
	return told
}

// steps are the four steps of precedence with the one that is taken, 0 for none, and what is told of each; "" stands for
// that the step does not apply.
func steps(q Question, taken step, why [4]string) []api.ExplainedStep {
	if why[0] == "" {
		why[0] = "the execution names no registry_login_secret"
	}
	if q.Personal && taken != stepSecret {
		why[2] = "personal projects do not get the node's identity"
	}
	var all []api.ExplainedStep
	for i, text := range why {
		number := i + 1
		all = append(all, api.ExplainedStep{Number: number, Name: api.StepNames[number], Taken: step(number) == taken, Why: text})
	}
	return all
}

// candidates tells of every registry with a pattern for the image's host: the one that won, and why the others did not.
func candidates(table *resolve.Table, q Question, d decision) []api.ExplainedCandidate {
	told := []api.ExplainedCandidate{} // a list on the wire, also when empty
	if d.step == stepRegistry {
		told = append(told, api.ExplainedCandidate{Registry: d.lender.Name, Pattern: d.pattern, Accepted: true, Rule: "most-specific",
			Sentence: "it covers the image, this project may use it, and no other such pattern is more specific"})
	}
	for _, refusal := range table.Refusals(q.match()) {
		told = append(told, api.ExplainedCandidate{Registry: refusal.Registry.Name, Pattern: refusal.Pattern, Rule: string(refusal.Rule), Sentence: refusal.Text})
	}
	return told
}
