package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
	"pierhead.dev/pierhead/resolve"
)

// A Loan is a login lent to a runtime of the node, for pulling at one host.
type Loan struct {
	Login    credential.Credential
	Host     string        // canonical: the one host that it is for
	Reach    doors.Reach   // which images of that host it is right for
	CacheFor time.Duration // how long the runtime may keep it; 0: not at all
	Registry string        // whose login it is, as events have it
	Warning  string        // for whoever runs the runtime, or empty
}

// Lend answers a runtime that asks by a door which knows a part of an image: the host (image.OfHost), or host and
// repository (Reference.Named). It goes the way of Open, with the same decision and the same login, but what it does not
// know it does not assume, and what it hands out leaves the agent. A personal project's question is nobody's to ask here.
//
// Errors, each with a hint: pierhead.ErrNotFound when there is no login to lend and the runtime may try without,
// pierhead.ErrConflict when there may be one and what is not known would decide, pierhead.ErrPull when there is one and it
// cannot be had; the context's own error when whoever asked is gone, and pierhead.ErrUnreachable when its time is up.
func (b *Broker) Lend(ctx context.Context, caller pierhead.Caller, q Question) (Loan, error) {
	q.LoginSecret, q.ExecutionID, q.push = "", "", false
	l, err := b.lending(ctx, q)
	switch {
	case err == nil:
		b.tell(q, caller, "credential.lent", l.lent(), l.loan.Login.ID(), usedDetail(l.plan))
	case errors.Is(err, pierhead.ErrPull):
		b.tell(q, caller, "credential.refused", l.lent(), err.Error(), map[string]string{"error": err.Error()})
	}
	return l.loan, err
}

// A lending is how a loan comes about; Lend goes by it, and Explain tells it.
type lending struct {
	plan
	loan Loan
}

func (b *Broker) lending(ctx context.Context, q Question) (lending, error) {
	if q.Personal {
		return lending{}, pierhead.NewProblem(pierhead.ErrNotFound, "nothing is lent to personal projects", "pull the image in an execution of the project: pier run")
	}
	table, err := b.Registries.Table(ctx, q.OrganizationID)
	if err != nil {
		return lending{}, cannotLend(q, decision{}, err)
	}
	var l lending
	if l.decision, l.loan.Warning, err = b.lender(table, q); err == nil {
		err = l.mayLend(q)
	}
	if err != nil {
		return l, err
	}
	l.away = true
	l.login, err = b.credential(ctx, l.decision, q.Reference, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return l, &pierhead.Problem{Kind: pierhead.ErrPull, Cause: pierhead.ErrUnreachable, Text: l.decision.login() + " cannot be had in time: whoever keeps or issues it does not answer",
			Hint: "try again; if it stays so, the operator looks at the way from this node to where it comes from"}
	case l.step == stepIdentity && fromExchange(err):
		l.gaveUp = err // nobody asked for the node's identity, and what is public there must go on
		return l, &pierhead.Problem{Kind: pierhead.ErrNotFound, Cause: err, Text: givenUp(l.decision, err) + ": " + told(q, err), Hint: hint(q, l.decision, err)}
	case err != nil:
		return l, cannotLend(q, l.decision, err)
	case q.Reference.Repository() == "" && l.login.IsForPart() && l.lender.Helper != pierhead.HelperWholeHost:
		return l, pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("%s is for a part of %s, and only the host is known here", l.decision.login(), q.Reference.Host()), otherWays(q))
	}
	l.loan.Login, l.loan.Host, l.loan.Registry = l.login, q.Reference.Host(), l.lent()
	l.loan.Reach, l.loan.CacheFor = b.reach(table, q, l), b.cacheFor(l.login)
	return l, nil
}

// cannotLend is forPeople without the image: whoever asked knows which it was, and perhaps named a host only.
func cannotLend(q Question, d decision, err error) error {
	var told *pierhead.Problem
	if people := forPeople(q, d, err); errors.As(people, &told) {
		told.Text = strings.TrimPrefix(told.Text, q.Reference.String()+" cannot be pulled: ")
		return told
	}
	return err
}

// mayLend refuses decisions without a login that could leave the agent.
func (l *lending) mayLend(q Question) error {
	switch {
	case l.step == stepAnonymous:
		text := "no registry of the organization that is open to all its projects covers " + q.Reference.Name()
		if q.Project != "" {
			text = "no registry that project " + q.Project + " may use covers " + q.Reference.Name()
		}
		if l.passed != "" {
			text += ", and " + l.passed
		}
		return pierhead.NewProblem(pierhead.ErrNotFound, text, "if it is private, an organization admin adds a registry: "+addRegistry(q, " ..."))
	case l.lender.Type == pierhead.RegistryHosted:
		return pierhead.NewProblem(pierhead.ErrNotFound, "the login at the hosted registry is this node's own, and is not lent", "pull it through the node's mirror, or log in with a token: pier token create NAME --read-only")
	case !l.lender.HasCredential() && l.step == stepRegistry:
		return pierhead.NewProblem(pierhead.ErrNotFound, "registry "+l.lender.Name+" has no login: what it covers is read anonymously",
			"if it is private, an organization admin gives it one: pier registry update "+l.lender.Name+" --username NAME --password-stdin")
	}
	return nil
}

// lender decides whose login is lent. A door that knows the host only gets the registry that has all of it; failing that,
// the one that was opted in, with a warning.
func (b *Broker) lender(table *resolve.Table, q Question) (d decision, warning string, err error) {
	d, err = b.decide(table, q)
	if q.Reference.Repository() != "" || err == nil && d.step == stepRegistry {
		return d, "", err
	}
	var opted []resolve.Candidate
	for _, candidate := range table.AtHost(q.match()) {
		if candidate.Registry.Helper == pierhead.HelperWholeHost {
			opted = append(opted, candidate)
		}
	}
	host := q.Reference.Host()
	switch {
	case len(opted) == 1:
		registry := *opted[0].Registry
		warning = fmt.Sprintf("the login of registry %s is lent for all of %s (helper: whole-host), though its own part is %s", registry.Name, host, opted[0].Pattern)
		return decision{step: stepRegistry, lender: registry, way: registry, pattern: opted[0].Pattern}, warning, nil
	case len(opted) > 1:
		return decision{}, "", pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("registries %s and %s both say helper: whole-host for %s, and nothing decides between them", opted[0].Registry.Name, opted[1].Registry.Name, host),
			"an organization admin takes it out of one of them: pier registry update "+opted[1].Registry.Name+" --helper ''")
	case err != nil:
		return d, "", pierhead.NewProblem(pierhead.ErrConflict, strings.TrimPrefix(err.Error(), "no credential can be chosen: "), otherWays(q))
	}
	return d, "", nil
}

// otherWays says by which doors more is known than by the one that was asked.
func otherWays(q Question) string {
	host := q.Reference.Host()
	return "pull through the node's mirror, by an execution (pier run) or by the kubelet plugin, which know the image in full; or let one registry cover all of " + host +
		", or say helper: whole-host in one of them; pier explain --door docker " + host + "/REPOSITORY tells more"
}

// reach tells whether every image of the host would get the same login.
func (b *Broker) reach(table *resolve.Table, q Question, l lending) doors.Reach {
	if q.Reference.Repository() == "" {
		return doors.ReachHost
	}
	whole := q
	var err error
	if whole.Reference, err = image.OfHost(q.Reference.Host()); err != nil || l.login.IsForPart() {
		return doors.ReachRepository
	}
	if d, err := b.decide(table, whole); err == nil && d.step == l.step && d.lender.ID == l.lender.ID {
		return doors.ReachHost
	}
	return doors.ReachRepository
}

// cacheFor is half of what is left of a login that ends by itself. One that does not may be changed at any time, and then
// the next pull uses the new one.
func (b *Broker) cacheFor(login credential.Credential) time.Duration {
	if login.Expires().IsZero() {
		return 0
	}
	return max(login.Expires().Sub(b.Now())/2, 0).Truncate(time.Second)
}

// MayLend tells whether Lend would try to get a login for the question. Nobody is asked for it.
func (b *Broker) MayLend(table *resolve.Table, q Question) bool {
	d, _, err := b.lender(table, q)
	l := lending{plan: plan{decision: d}}
	return err == nil && l.mayLend(q) == nil
}
