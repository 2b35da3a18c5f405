package broker

import (
	"context"
	"errors"
	"slices"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/resolve"
)

// A step is a step of precedence: which kind of login serves a pull.
type step int

const (
	stepSecret    step = 1 // the registry_login_secret of the execution
	stepRegistry  step = 2 // the most specific registry of the organization
	stepIdentity  step = 3 // the node's own identity, with nothing configured
	stepAnonymous step = 4
)

// A decision is which step applies to a question, before any secret is looked at.
type decision struct {
	step step
	// lender is whose login it is: in step 2 the organization's registry, in 1 and 3 one that is made up for the question,
	// which says where the login comes from and nothing else; zero in step 4.
	lender pierhead.Registry
	// way is the organization's registry that covers the image, whose rules say how its host is reached; zero where there
	// is none.
	way     pierhead.Registry
	pattern string
	push    bool // the login is for pushing
	away    bool // the login leaves the agent: it is the latest
	// passed is why step 3 was passed over though the image is at a cloud's registry, or "".
	passed string
}

// lent is the name of whose login it is, as executions and events have it.
func (d decision) lent() string {
	switch d.step {
	case stepSecret:
		return "registry_login_secret"
	case stepIdentity:
		return "node identity"
	}
	return d.lender.Name
}

// login is whose login it is, in the middle of a sentence.
func (d decision) login() string {
	switch d.step {
	case stepSecret:
		return "the login in the registry_login_secret " + d.lender.Credential.Secret
	case stepIdentity:
		return "the login made of this node's identity"
	}
	return "the login of registry " + d.lender.Name
}

// decide asks nobody. Error: pierhead.ErrConflict, with a hint, when the answer is ambiguous.
func (b *Broker) decide(table *resolve.Table, q Question) (decision, error) {
	if q.Personal {
		return secretOr(q, decision{step: stepAnonymous}), nil
	}
	answer := table.Match(q.match())
	switch answer.Outcome {
	case resolve.Matched:
		return secretOr(q, decision{step: stepRegistry, lender: *answer.Registry, way: *answer.Registry, pattern: answer.Pattern}), nil
	case resolve.Ambiguous:
		if q.LoginSecret != "" { // which registry is meant does not matter for the login
			return secretOr(q, decision{}), nil
		}
		return decision{}, pierhead.NewProblem(pierhead.ErrConflict, "no credential can be chosen: "+answer.Explain(), answer.Hint())
	}
	return secretOr(q, b.identityOr(q, decision{step: stepAnonymous})), nil
}

// secretOr puts the execution's own secret before everything else. The secret names its hosts, or is not used: no registry's
// match speaks for it.
func secretOr(q Question, d decision) decision {
	if q.LoginSecret == "" {
		return d
	}
	d.step, d.pattern = stepSecret, ""
	d.lender = pierhead.Registry{ID: "registry_login_secret " + q.LoginSecret, OrganizationID: q.OrganizationID, Type: pierhead.RegistryGeneric,
		Credential: pierhead.RegistryCredential{Secret: q.LoginSecret}}
	return d
}

// identityOr takes the node's identity for an image at a registry of a cloud, where the operator allows it.
func (b *Broker) identityOr(q Question, d decision) decision {
	vendor := image.VendorOf(q.Reference.Host())
	kind := pierhead.RegistryType(vendor)
	switch {
	case !vendor.Cloud() || b.Exchangers[kind] == nil:
		return d
	case b.IdentityFor != nil && !slices.ContainsFunc(b.IdentityFor, func(p image.Pattern) bool { return covers(p, q.Reference) }):
		d.passed = "the operator of this node does not lend its identity to this image"
		return d
	}
	return decision{step: stepIdentity, lender: pierhead.Registry{ID: "identity " + string(kind), OrganizationID: q.OrganizationID, Type: kind,
		Credential: pierhead.RegistryCredential{Identity: pierhead.IdentityNode}}}
}

// covers tells whether a pattern covers a reference whatever is unknown of it.
func covers(p image.Pattern, r image.Reference) bool {
	if r.Repository() == "" {
		return p.WholeHost() && p.MatchesHost(r.Host()) && p.MatchesTag("", false) == image.Yes
	}
	return p.Matches(r) == image.Yes
}

// A plan is how a pull begins: all that is settled before the image's registry is asked. Open goes by it, and Explain
// tells it.
type plan struct {
	decision
	login  credential.Credential // empty where none is sent
	gaveUp error                 // why the login is not used and an anonymous pull takes its place, or nil
	client *client.Client
}

// plan holds the decision also beside an error, if there was one. Errors are for people, as forPeople makes them.
func (b *Broker) plan(ctx context.Context, table *resolve.Table, q Question) (plan, error) {
	d, err := b.decide(table, q)
	p := plan{decision: d}
	if err == nil && d.step != stepAnonymous {
		p.login, err = b.credential(ctx, d, q.Reference, nil)
		switch {
		case d.step == stepIdentity && errors.Is(err, exchange.ErrNoIdentity):
			p.decision, err = decision{step: stepAnonymous, passed: "this node has no identity in that cloud"}, nil
		case d.fallsBack(err):
			p.gaveUp, err = err, nil
		}
	}
	if err == nil {
		p.client, err = b.client(q, p.decision, p.login)
	}
	return p, forPeople(q, d, err)
}

// fallsBack tells whether err is one of the refusals that one anonymous pull may follow: the login is not for this host,
// or whoever issues or takes it said no. What cannot be reached, a secret that is missing or malformed, a login that was
// withheld from a strange token server, an image that is not there: there the failure is the answer. Nobody asked for the
// node's identity, so whatever keeps it from making a login is no failure of the pull.
func (d decision) fallsBack(err error) bool {
	switch {
	case err == nil || ended(err):
		return false
	case d.step == stepIdentity && fromExchange(err):
		return true
	}
	refused := errors.Is(err, exchange.ErrHostMismatch) || errors.Is(err, exchange.ErrRefused) || client.Refused(err)
	return refused && d.lender.WhenRefused != pierhead.RefusedFail
}

// fromExchange tells whether an error came from making a login.
func fromExchange(err error) bool {
	for _, kind := range []error{exchange.ErrHostMismatch, exchange.ErrContent, exchange.ErrNoIdentity, exchange.ErrRefused, exchange.ErrUnreachable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
