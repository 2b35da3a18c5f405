// Package broker answers one question for every door of a node: which credential is for this image, and why.
//
// A reference goes in with what the door knows of its caller; out comes an Access, which reads the image's registry with
// the right login, renews it, and falls back to an anonymous pull in the cases where that is the rule. Explain walks the
// same path and tells it. The broker runs on nodes only: the control plane links none of it.
package broker

import (
	"context"
	"fmt"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
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

// A decision is which step applies to a question, before any secret is looked at. It is pure: the same for a pull and
// for its explanation.
type decision struct {
	step     step
	registry pierhead.Registry
	pattern  string
}

func (b *Broker) decide(ctx context.Context, q Question) (decision, error) {
	if q.Personal {
		return decision{step: stepAnonymous}, nil
	}
	table, err := b.Registries.Table(ctx, q.OrganizationID)
	if err != nil {
		return decision{}, err
	}
	answer := table.Match(q.match())
	switch answer.Outcome {
	case resolve.Matched:
		return decision{step: stepRegistry, registry: *answer.Registry, pattern: answer.Pattern}, nil
	case resolve.Ambiguous:
		return decision{}, pierhead.NewProblem(pierhead.ErrConflict,
			fmt.Sprintf("no credential can be chosen for %s: %s", q.Reference, answer.Explain()), answer.Hint())
	default:
		return decision{step: stepAnonymous}, nil
	}
}

// literalHosts are the canonical hosts that a registry's patterns write out; none when a pattern has a glob in its host,
// because then a login without hosts of its own would go to hosts that nobody named.
func literalHosts(registry pierhead.Registry) []string {
	var hosts []string
	for _, text := range registry.Match {
		pattern, err := image.ParsePattern(text)
		if err != nil || pattern.HostHasGlob() {
			return nil
		}
		hosts = append(hosts, pattern.Host())
	}
	return sortedUnique(hosts)
}
