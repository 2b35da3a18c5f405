package agent

import (
	"context"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

// answerWithin is how long somebody waits for the answer to a question, and a little less.
const answerWithin = 4 * time.Second

// checkWithin is the same for a look at a credential, which asks secret store, issuer and registry; who waits gives up
// after api.MaxWait.
const checkWithin = api.MaxWait - 3*time.Second

// answer explains, by the broker's own path, which credential an image would get here, or looks at a registry's credential.
// Nobody waits long, so an answer that comes too late or cannot be delivered is dropped.
func (a *Agent) answer(ctx context.Context, q api.Question) {
	var answer api.Answer
	if q.Check != nil {
		answer.Check = a.check(ctx, q)
	} else {
		answer.Explanation = a.explanation(ctx, q)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := a.Server.Answer(ctx, q.ID, answer); err != nil && ctx.Err() == nil {
		a.Log.Warn("an answer was not taken", "error", err)
	}
}

func (a *Agent) check(ctx context.Context, q api.Question) *api.Check {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	found := a.Broker.Check(ctx, pierhead.Caller{Name: "node:" + a.Name}, q.Check.NounForNode(q.OrganizationID), q.Image)
	found.Node = a.Name
	return api.CheckOf(found)
}

func (a *Agent) explanation(ctx context.Context, q api.Question) *api.Explanation {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	explanation, err := a.explain(ctx, q)
	if err != nil {
		explanation = api.Explanation{Action: q.Action, Outcome: api.OutcomeFailed, Sentence: err.Error(), Hint: pierhead.HintOf(err),
			Image: api.ExplainedImage{Written: q.Image}, Steps: []api.ExplainedStep{}, Candidates: []api.ExplainedCandidate{}}
	}
	explanation.From, explanation.Organization, explanation.Personal, explanation.Door = "node:"+a.Name, q.Organization, q.Personal, q.Door
	if q.Project != "" {
		explanation.Project = q.Owner + "/" + q.Project
	}
	return &explanation
}

func (a *Agent) explain(ctx context.Context, q api.Question) (api.Explanation, error) {
	reference, err := image.Parse(q.Image)
	if err != nil {
		return api.Explanation{}, pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	if reference, err = api.KnownAt(q.Door, reference); err != nil {
		return api.Explanation{}, err
	}
	question := broker.Question{OrganizationID: q.OrganizationID, Project: q.Project, Personal: q.Personal, Reference: reference, Door: doors.Door(q.Door)}
	shown := q.OrganizationID
	if q.Personal {
		question.OrganizationID = "" // the organization only lends its registries to be told of
	}
	return a.Broker.Explain(ctx, pierhead.Caller{Name: "node:" + a.Name}, question, shown)
}
