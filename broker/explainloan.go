package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/internal/doors"
	"pierhead.dev/pierhead/resolve"
)

// explainLoan tells what Lend would answer at a door, by the same path.
func (b *Broker) explainLoan(ctx context.Context, e api.Explanation, table *resolve.Table, q Question) (api.Explanation, error) {
	l, err := b.lending(ctx, q)
	if err != nil && ctx.Err() != nil {
		return e, ctx.Err()
	}
	e.Candidates = candidates(table, q, l.decision)
	who := map[doors.Door]string{doors.Docker: "the Docker helper", doors.Kubelet: "the kubelet's plugin"}[q.Door]
	known := "the image without its tag"
	if q.Door == doors.Docker {
		known = "the host " + q.Reference.Host()
	}
	e.Note = fmt.Sprintf("Asked as by %s, which knows %s and no project.", who, known)
	if q.Project != "" {
		e.Note = fmt.Sprintf("Asked as by %s, which knows %s.", who, known)
	}
	e.Hint = pierhead.HintOf(err)
	step, why := l.step, [4]string{"", "no registry covers what is known of the image", "the image is not at a registry of a cloud", "no credential is lent"}
	switch {
	case err == nil:
		explainLent(&e, q, l)
		why[1] = applies(l.decision)
		why[l.step-1], why[3] = applies(l.decision), "not reached: a step before applies"
	case errors.Is(err, pierhead.ErrPull):
		e.Outcome, e.Sentence = api.OutcomeFailed, fmt.Sprintf("%s gets no credential for %s, and is told why: %v.", who, q.Reference, err)
		why[l.step-1], why[3] = applies(l.decision), "not reached: the failure of a step before is the answer"
	case errors.Is(err, pierhead.ErrConflict):
		e.Outcome, e.Sentence = api.OutcomeAmbiguous, fmt.Sprintf("%s gets no credential for %s: %v.", who, q.Reference, err)
		step, why = 0, [4]string{"", err.Error(), "not reached", "not reached"}
	default:
		e.Outcome, e.Sentence = api.OutcomeAnonymous, fmt.Sprintf("%s gets no credential for %s, and the runtime pulls anonymously: %v.", who, q.Reference, err)
		if l.step != stepAnonymous && l.step != 0 {
			why[l.step-1] = err.Error()
		}
		step = stepAnonymous
	}
	e.Sentence = strings.ToUpper(e.Sentence[:1]) + e.Sentence[1:]
	e.Steps = steps(q, step, why)
	return e, nil
}

// explainLent tells of a loan.
func explainLent(e *api.Explanation, q Question, l lending) {
	e.Outcome, _ = served(q, l.plan)
	e.Credential = explainedCredential(l.plan)
	e.Sentence = fmt.Sprintf("%s is lent for pulling, for every image of %s", l.decision.login(), q.Reference.Host())
	if l.loan.Reach == doors.ReachRepository {
		e.Sentence = fmt.Sprintf("%s is lent for pulling, for %s alone", l.decision.login(), q.Reference.Name())
	}
	switch {
	case q.Door == doors.Docker: // Docker's clients keep nothing
	case l.loan.CacheFor == 0:
		e.Sentence += ", and is not to be kept"
	default:
		e.Sentence += fmt.Sprintf(", and may be kept for %s", l.loan.CacheFor.Round(time.Second))
	}
	e.Sentence += "."
	if l.loan.Warning != "" {
		e.Note += " Warning: " + l.loan.Warning + "."
	}
}
