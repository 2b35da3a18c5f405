package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Untested returns a client that saves registries without having a node prove their credentials first.
func (c *Client) Untested() *Client {
	untested := *c
	untested.noTest = true
	return &untested
}

// saving are the parameters of a save: that nothing is proved, or how long a node may take to.
func (c *Client) saving() url.Values {
	if c.noTest {
		return values("no_test", "true")
	}
	return values("wait", MaxWait.String())
}

// CreateRegistry adds a registry to an organization, once a node has proved its credential. Without a node it is saved, and
// its Check is nil. Errors: ErrPull, when the credential was refused or could not be tried.
func (c *Client) CreateRegistry(ctx context.Context, organization string, r Registry) (Registry, error) {
	made, _, err := call[Registry](ctx, c, http.MethodPost, path("organizations", organization, "registries"), c.saving(), r)
	return made, err
}

// TestRegistry has a node look at a saved registry's credential, by asking for image or, where that is empty, for what the
// registry's own settings and past pulls suggest. Errors: ErrUnreachable when no node answers.
func (c *Client) TestRegistry(ctx context.Context, organization, name, image string) (Check, error) {
	check, _, err := call[Check](ctx, c, http.MethodPost, path("organizations", organization, "registries", name, "test"), values("wait", MaxWait.String()), CheckRequest{Image: image})
	return check, err
}

// AllowedSecrets lists the beginnings of secret references that an organization's members, or a person in personal
// projects, may name.
func (c *Client) AllowedSecrets(ctx context.Context, owner string) ([]string, error) {
	list, err := get[AllowedSecrets](ctx, c, path("owners", owner, "allowed-secrets"), nil)
	return list.Prefixes, err
}

// AllowSecret adds one; DisallowSecret takes one away. Errors of the latter: ErrNotFound.
func (c *Client) AllowSecret(ctx context.Context, owner, prefix string) error {
	_, _, err := call[struct{}](ctx, c, http.MethodPost, path("owners", owner, "allowed-secrets"), nil, AllowedSecret{Prefix: prefix})
	return err
}

// DisallowSecret takes back what AllowSecret gave.
func (c *Client) DisallowSecret(ctx context.Context, owner, prefix string) error {
	_, _, err := call[struct{}](ctx, c, http.MethodDelete, path("owners", owner, "allowed-secrets"), values("prefix", prefix), nil)
	return err
}

// Registries lists an organization's registries, by name.
func (c *Client) Registries(ctx context.Context, organization string) ([]Registry, error) {
	list, err := get[RegistryList](ctx, c, path("organizations", organization, "registries"), nil)
	return list.Registries, err
}

// Registry returns one registry; its credential is named, never shown.
func (c *Client) Registry(ctx context.Context, organization, name string) (Registry, error) {
	return get[Registry](ctx, c, path("organizations", organization, "registries", name), nil)
}

// RegistryReach tells what would lose access without a registry.
func (c *Client) RegistryReach(ctx context.Context, organization, name string) (RegistryReach, error) {
	return get[RegistryReach](ctx, c, path("organizations", organization, "registries", name, "reach"), nil)
}

// UpdateRegistry replaces all fields of the registry with r's name, once a node has proved the new credential: until then
// the old one stays. Errors: as for CreateRegistry. What Registry returned may be sent back: a sealed
// credential without its text is kept.
func (c *Client) UpdateRegistry(ctx context.Context, organization string, r Registry) (Registry, error) {
	saved, _, err := call[Registry](ctx, c, http.MethodPut, path("organizations", organization, "registries", r.Name), c.saving(), r)
	return saved, err
}

// DeleteRegistry deletes a registry.
func (c *Client) DeleteRegistry(ctx context.Context, organization, name string) error {
	return remove(ctx, c, path("organizations", organization, "registries", name))
}

// DataKey returns the public key that an organization's credentials are sealed to. Errors: ErrNotFound when no node
// published one yet.
func (c *Client) DataKey(ctx context.Context, organization string) (DataKey, error) {
	return get[DataKey](ctx, c, path("organizations", organization, "data-key"), nil)
}

// Explain asks which credential an image would get, and why.
func (c *Client) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	return post[Explanation](ctx, c, path("explain"), r)
}

// An EventFilter chooses events; zero fields choose all.
type EventFilter struct {
	ExecutionID string // of one execution, for whoever may see it
	Kind        string // exact
	Registry    string // exact
	Before      string // an event's id: those older than it
	Limit       int
}

// Events lists an organization's events, newest first; with an execution in the filter, organization may be empty.
func (c *Client) Events(ctx context.Context, organization string, f EventFilter) ([]Event, error) {
	query := values("organization", organization, "execution", f.ExecutionID, "kind", f.Kind, "registry", f.Registry,
		"before", f.Before, "limit", number(f.Limit))
	list, err := get[EventList](ctx, c, path("events"), query)
	return list.Events, err
}

// An AuditFilter chooses entries of the audit log; zero fields choose all.
type AuditFilter struct {
	Organization string // name; empty: all that the caller may see
	Caller       string
	Action       string // exact, or a noun with its dot: "registry."
	Object       string
	Outcome      string // ok, refused or failed
	Since, Until time.Time
	Before       string // an entry's id: those older than it
	Limit        int
}

// Audit lists the audit log, newest first.
func (c *Client) Audit(ctx context.Context, f AuditFilter) ([]AuditEntry, error) {
	query := values("organization", f.Organization, "caller", f.Caller, "action", f.Action, "object", f.Object, "outcome", f.Outcome,
		"since", stamp(f.Since), "until", stamp(f.Until), "before", f.Before, "limit", number(f.Limit))
	list, err := get[AuditList](ctx, c, path("audit"), query)
	return list.Entries, err
}

// CollectGarbage deletes what the hosted registry no longer needs, or says what that would be.
func (c *Client) CollectGarbage(ctx context.Context, in Collection) (CollectionReport, error) {
	return post[CollectionReport](ctx, c, path("garbage-collections"), in)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
