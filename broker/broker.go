// Package broker answers one question for every door of a node: which credential is for this image, and why.
//
// A reference goes in with what the door knows of its caller; out comes an Access, which reads the image's registry with
// the right login, renews it, and falls back to an anonymous pull in the cases where that is the rule. Explain walks the
// same path and tells it. The broker runs on nodes only: the control plane links none of it.
package broker

import (
	"context"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
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
	// IdentityFor are match patterns of images that the node's identity may pull with nothing configured; nil is every one
	// at the registries of its cloud, and an empty list none.
	IdentityFor []image.Pattern
	// Network is how registries are reached; the zero value is this machine's own.
	Network egress.Network
	// ServerCA is the PEM of the control plane's own CA, trusted for the hosted registry beside the system's; or empty.
	ServerCA string
	Now      func() time.Time // time.Now where nil
}

// A Broker hands out accesses. It is safe for concurrent use.
type Broker struct {
	Config
	logins logins
	loans  loans
}

// New makes a broker.
func New(config Config) *Broker {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Broker{Config: config, logins: logins{now: config.Now, entries: make(map[loginKey]*login)}, loans: loans{told: make(map[string]time.Time)}}
}

// A Question is one pull as a door knows it.
type Question struct {
	OrganizationID string // empty for a personal project
	Project        string // name within the organization; empty when the door does not know it
	Personal       bool
	Reference      image.Reference
	LoginSecret    string     // reference of the execution's registry_login_secret, or empty
	ExecutionID    string     // of the execution that pulls, or empty
	Door           doors.Door // by which a runtime of the node asks; empty: it is the agent's own pull
	push           bool
}

func (q Question) match() resolve.Question {
	question := resolve.Ask(q.Reference)
	question.Personal, question.Project, question.Push = q.Personal, q.Project, q.push
	return question
}

// client makes the client for the question's host, under the rules of the decision, with a login or, where that is empty,
// without.
func (b *Broker) client(q Question, d decision, login credential.Credential) (*client.Client, error) {
	config := client.Config{Rules: b.rules(d.way, q.Reference), Network: b.Network}
	if !login.Empty() {
		config.Credentials = source{broker: b, decision: d, reference: q.Reference}
	}
	return client.New(config)
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
