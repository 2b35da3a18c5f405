// Package broker answers one question for every door of a node: which credential is for this image, and why.
//
// A reference goes in with what the door knows of its caller; out comes an Access, which reads the image's registry with
// the right login, renews it, and falls back to an anonymous pull in the cases where that is the rule. Explain walks the
// same path and tells it. The broker runs on nodes only: the control plane links none of it.
package broker

import (
	"context"
	"errors"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci/client"
	"pierhead.dev/pierhead/resolve"
	"pierhead.dev/pierhead/secret"
)

// Registries knows the registries of organizations, compiled.
type Registries interface {
	// Table returns an organization's table; an unknown organization and the empty id of a personal project have an
	// empty one. Errors: pierhead.ErrUnreachable before the node ever heard of any.
	Table(ctx context.Context, organizationID string) (*resolve.Table, error)
}

// Unsealer opens sealed credentials with the keys of the node.
type Unsealer interface {
	// Unseal opens the registry's sealed credential, which is bound to the organization, the registry and its literal
	// hosts. Errors: pierhead.ErrPull, with a hint.
	Unseal(registry pierhead.Registry, hosts []string) (secret.Value, error)
}

// Recorder keeps what happened for the audit log of the control plane.
type Recorder interface {
	Record(event pierhead.Event)
}

// Config is what a broker is made of; every interface must be set.
type Config struct {
	Registries Registries
	Secrets    secret.Source
	Sealed     Unsealer
	Exchangers map[pierhead.RegistryType]exchange.Exchanger
	Events     Recorder
	// PrivateNetworks are address ranges of the operator's that every registry may be in.
	PrivateNetworks []string
	// ServerCA is the PEM of the control plane's own CA, trusted for the hosted registry beside the system's; or empty.
	ServerCA string
	Now      func() time.Time // time.Now where nil
}

// A Broker hands out accesses. It is safe for concurrent use.
type Broker struct {
	Config
	logins logins
}

// New makes a broker.
func New(config Config) *Broker {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Broker{Config: config, logins: logins{now: config.Now, entries: make(map[loginKey]*login)}}
}

// A Question is one pull as a door knows it.
type Question struct {
	OrganizationID string // empty for a personal project
	Project        string // name within the organization; empty when the door does not know it
	Personal       bool
	Reference      image.Reference
	ExecutionID    string // of the execution that pulls, or empty
}

func (q Question) match() resolve.Question {
	question := resolve.Ask(q.Reference)
	question.Personal, question.Project = q.Personal, q.Project
	return question
}

// A step is a step of precedence: which kind of login serves a pull.
type step int

const (
	stepRegistry  step = 2 // the most specific registry of the organization
	stepAnonymous step = 4
)

// A decision is which step applies to a question, before any secret is looked at.
type decision struct {
	step     step
	registry pierhead.Registry
	pattern  string
}

// decide is pure. Error: pierhead.ErrConflict, with a hint, when the answer is ambiguous.
func decide(table *resolve.Table, q Question) (decision, error) {
	if q.Personal {
		return decision{step: stepAnonymous}, nil
	}
	answer := table.Match(q.match())
	switch answer.Outcome {
	case resolve.Matched:
		return decision{step: stepRegistry, registry: *answer.Registry, pattern: answer.Pattern}, nil
	case resolve.Ambiguous:
		return decision{}, pierhead.NewProblem(pierhead.ErrConflict, "no credential can be chosen: "+answer.Explain(), answer.Hint())
	default:
		return decision{step: stepAnonymous}, nil
	}
}

// A plan is how a pull begins: all that is settled before the image's registry is asked. Open goes by it, and Explain
// tells it.
type plan struct {
	decision
	login  credential.Credential // empty where none is sent
	gaveUp error                 // why the registry's login is not used and an anonymous pull takes its place, or nil
	client *client.Client
}

// plan holds the decision also beside an error, if there was one. Errors are for people, as forPeople makes them.
func (b *Broker) plan(ctx context.Context, table *resolve.Table, q Question) (plan, error) {
	d, err := decide(table, q)
	p := plan{decision: d}
	if err == nil && d.step == stepRegistry {
		p.login, err = b.credential(ctx, d.registry, q.Reference, nil)
		if fallsBack(d.registry, err) {
			p.gaveUp, err = err, nil
		}
	}
	if err == nil {
		p.client, err = b.client(q, d.registry, p.login)
	}
	return p, forPeople(q, d.registry, err)
}

// client makes the client for the question's host under the registry's rules, with a login or, where that is empty,
// without.
func (b *Broker) client(q Question, registry pierhead.Registry, login credential.Credential) (*client.Client, error) {
	config := client.Config{Rules: b.rules(registry, q.Reference)}
	if !login.Empty() {
		config.Credentials = source{broker: b, registry: registry, reference: q.Reference}
	}
	return client.New(config)
}

// fallsBack tells whether err is one of the refusals that one anonymous pull may follow: the login is not for this host,
// or whoever issues or takes it said no. What cannot be reached, a secret that is missing or malformed, a login that was
// withheld from a strange token server, an image that is not there: there the failure is the answer.
func fallsBack(registry pierhead.Registry, err error) bool {
	refused := errors.Is(err, exchange.ErrHostMismatch) || errors.Is(err, exchange.ErrRefused) || client.Refused(err)
	return refused && registry.WhenRefused != pierhead.RefusedFail
}

// literalHosts are the hosts that a registry's patterns write out; none when a pattern has a glob in its host, because
// then a login without hosts of its own would go to hosts that nobody named.
func literalHosts(registry pierhead.Registry) []string {
	hosts, all := image.LiteralHosts(registry.Match)
	if !all {
		return nil
	}
	return hosts
}
