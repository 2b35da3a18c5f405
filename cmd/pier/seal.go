package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret/sealed"
)

// maxPassword bounds what --password-stdin reads, in bytes.
const maxPassword = 64 << 10

// seal reads the password and puts the login, sealed, into the registry. It leaves this machine only so.
func (p *program) seal(ctx context.Context, client *api.Client, f *registryFlags, r *api.Registry) error {
	hosts, err := literalHosts(r.Match)
	if err != nil {
		return err
	}
	password, err := p.readPassword()
	if err != nil {
		return err
	}
	organization, err := client.Organization(ctx, r.Organization)
	if err != nil {
		return err
	}
	public, err := p.dataKey(ctx, client, r.Organization, f.trustDataKey)
	if err != nil {
		return err
	}
	if r.Type == "" {
		r.Type = string(pierhead.TypeOfMatch(r.Match))
		p.note("The type is %s, inferred from the hosts of its patterns.", r.Type)
	}
	binding := sealed.Binding{OrganizationID: organization.ID, RegistryID: r.ID, Type: r.Type, Hosts: hosts}
	text, err := sealed.Seal(public, binding, f.username, password)
	if err != nil {
		return pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	r.Credential.Secret, r.Credential.Identity, r.Credential.Sealed = "", "", &api.Sealed{Text: text}
	return nil
}

// literalHosts are the hosts that a sealed login is bound to, or why there are none.
func literalHosts(match []string) ([]string, error) {
	for _, text := range match {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "a pattern is host/path/*[:tag]")
		}
		if pattern.HostHasGlob() {
			return nil, pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf("a login can be typed in only for hosts that are written out, and %s has a glob in its host", text),
				"write one pattern for each host")
		}
	}
	hosts, _ := image.LiteralHosts(match)
	return hosts, nil
}

// bindingChanged tells whether a sealed login of the first would not open for the second.
func bindingChanged(before, after api.Registry) bool {
	a, errA := literalHosts(before.Match)
	b, errB := literalHosts(after.Match)
	return errA != nil || errB != nil || !slices.Equal(a, b) || before.Type != after.Type
}

func (p *program) readPassword() (string, error) {
	text, err := io.ReadAll(io.LimitReader(p.in, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case password == "":
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "standard input has no password", "for example: pier registry add ... --password-stdin < FILE")
	case len(text) > maxPassword:
		return "", pierhead.NewProblem(pierhead.ErrBadInput, "standard input is longer than any password", "")
	}
	return password, nil
}

// dataKey fetches the key that the organization's nodes open, and holds it against the fingerprint that was kept at
// first use: another key may be right, or somebody's who wants to read along.
func (p *program) dataKey(ctx context.Context, client *api.Client, organization, trusted string) (sealed.Public, error) {
	key, err := client.DataKey(ctx, organization)
	if err != nil {
		return sealed.Public{}, err
	}
	public, err := sealed.ParsePublic(key.PublicKey)
	if err != nil {
		return sealed.Public{}, fmt.Errorf("the data key of %s: %w", organization, err)
	}
	return public, p.pin(organization, public.Fingerprint(), trusted)
}

func (p *program) pin(organization, fingerprint, trusted string) error {
	name, _, err := p.connection()
	if err != nil {
		return err
	}
	if trusted != "" && trusted != fingerprint {
		return pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("the nodes' data key has the fingerprint %s, not the one of --trust-data-key", fingerprint), "")
	}
	if name == "" { // PIER_SERVER and PIER_TOKEN: there is no place to keep it
		p.note("Sealing to the data key %s.", fingerprint)
		return nil
	}
	file, err := p.readContexts()
	if err != nil {
		return err
	}
	c := file.Contexts[name]
	switch pinned := c.DataKeys[organization]; {
	case pinned == fingerprint:
		return nil
	case pinned != "" && trusted == "":
		return pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf("the data key of %s has changed: it was %s and is %s", organization, pinned, fingerprint),
			"ask the operator whether that is right, and then say --trust-data-key "+fingerprint)
	}
	if c.DataKeys == nil {
		c.DataKeys = map[string]string{}
	}
	c.DataKeys[organization] = fingerprint
	file.Contexts[name] = c
	p.note("Sealing to the data key %s; it is remembered for %s.", fingerprint, organization)
	return p.writeContexts(file)
}
