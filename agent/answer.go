package agent

import (
	"context"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/image"
)

// answerWithin is how long somebody waits for the answer to a question, and a little less.
const answerWithin = 4 * time.Second

// answer explains, by the broker's own path, which credential an image would get here. Nobody waits long, so an answer
// that comes too late or cannot be delivered is dropped.
func (a *Agent) answer(ctx context.Context, q api.Question) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	explanation, err := a.explain(ctx, q)
	if err != nil {
		explanation = api.Explanation{Action: q.Action, Outcome: api.OutcomeFailed, Sentence: err.Error(), Hint: pierhead.HintOf(err),
			Image: api.ExplainedImage{Written: q.Image}, Steps: []api.ExplainedStep{}, Candidates: []api.ExplainedCandidate{}}
	}
	explanation.From, explanation.Organization, explanation.Personal = "node:"+a.Name, q.Organization, q.Personal
	if q.Project != "" {
		explanation.Project = q.Owner + "/" + q.Project
	}
	if err := a.Server.Answer(ctx, q.ID, explanation); err != nil && ctx.Err() == nil {
		a.Log.Warn("an answer was not taken", "error", err)
	}
}

func (a *Agent) explain(ctx context.Context, q api.Question) (api.Explanation, error) {
	reference, err := image.Parse(q.Image)
	if err != nil {
		return api.Explanation{}, pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	question := broker.Question{OrganizationID: q.OrganizationID, Project: q.Project, Personal: q.Personal, Reference: reference}
	shown := q.OrganizationID
	if q.Personal {
		question.OrganizationID = "" // the organization only lends its registries to be told of
	}
	return a.Broker.Explain(ctx, pierhead.Caller{Name: "node:" + a.Name}, question, shown)
}
