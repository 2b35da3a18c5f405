package store

import (
	"context"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// CreateOrganization makes an organization with its predefined registry. The person who makes it is its first admin.
// Errors: ErrBadInput for a bad name, ErrConflict for a taken one.
func (s *Store) CreateOrganization(ctx context.Context, c pierhead.Caller, name string) (pierhead.Organization, error) {
	var made owner
	err := s.change(ctx, c, access.OrganizationCreate, "organization "+name, func(k *call) error {
		if err := k.allow(access.OrganizationCreate, installation()); err != nil {
			return err
		}
		made = owner{id: ids.New("org"), name: name, created: micros(k.at)}
		if err := k.insertOwner(made, "organization"); err != nil {
			return err
		}
		k.entry.OrganizationID = made.id
		if c.PersonID != "" {
			if err := k.putMember(made.id, c.PersonID, pierhead.RoleAdmin); err != nil {
				return err
			}
			k.note("admin", c.Person)
		}
		return k.insertHostedRegistry(made)
	})
	if err != nil {
		return pierhead.Organization{}, err
	}
	return made.toOrganization(), nil
}

// Organizations lists, by name, the organizations that the caller is a member of; all of them for an administrator.
func (s *Store) Organizations(ctx context.Context, c pierhead.Caller) ([]pierhead.Organization, error) {
	var organizations []pierhead.Organization
	err := s.view(ctx, c, access.OrganizationList, "organizations", func(k *call) error {
		if err := k.allow(access.OrganizationList, installation()); err != nil {
			return err
		}
		all, err := list(k, scanOwner, `SELECT `+ownerColumns+` FROM owners WHERE kind = 'organization' ORDER BY name`)
		if err != nil {
			return err
		}
		for _, o := range all {
			target, err := k.servedTarget(o, "organization")
			if err != nil {
				return err
			}
			if k.may(access.OrganizationShow, target) {
				organizations = append(organizations, o.toOrganization())
			}
		}
		return nil
	})
	return organizations, err
}

// Organization finds an organization by name, under the rule of Organizations.
func (s *Store) Organization(ctx context.Context, c pierhead.Caller, name string) (pierhead.Organization, error) {
	var found owner
	err := s.view(ctx, c, access.OrganizationShow, "organization "+name, func(k *call) (err error) {
		found, err = k.organization(access.OrganizationShow, name)
		return err
	})
	if err != nil {
		return pierhead.Organization{}, err
	}
	return found.toOrganization(), nil
}

// DeleteOrganization deletes an organization with its members, robots, predefined registry and events; its audit log
// stays. The name is not given out again. Errors: ErrConflict, naming what is in the way, while it has projects,
// registries or nodes.
func (s *Store) DeleteOrganization(ctx context.Context, c pierhead.Caller, name string) error {
	return s.change(ctx, c, access.OrganizationDelete, "organization "+name, func(k *call) error {
		o, err := k.organization(access.OrganizationDelete, name)
		if err != nil {
			return err
		}
		if err := k.organizationInTheWay(o); err != nil {
			return err
		}
		if err := k.forgetRevokedNodes(o); err != nil {
			return err
		}
		if err := k.deleteOwner(o); err != nil {
			return err
		}
		return k.snapshotChanged()
	})
}

// forgetRevokedNodes deletes the rows that were kept for what refers to them.
func (k *call) forgetRevokedNodes(o owner) error {
	for _, statement := range []string{
		`DELETE FROM events WHERE organization_id = ?`,
		`DELETE FROM data_keys WHERE node_id IN (SELECT id FROM nodes WHERE organization_id = ?)`,
		`DELETE FROM nodes WHERE organization_id = ?`,
	} {
		if _, err := k.exec(statement, o.id); err != nil {
			return err
		}
	}
	return nil
}

// organizationInTheWay is what must go before the organization can.
func (k *call) organizationInTheWay(o owner) error {
	for _, thing := range []struct{ noun, query string }{
		{"projects", `SELECT name FROM projects WHERE owner_id = ? ORDER BY name LIMIT 6`},
		{"registries", `SELECT name FROM registries WHERE organization_id = ? AND type <> 'hosted' ORDER BY name LIMIT 6`},
		{"nodes", `SELECT SUBSTR(name, LENGTH(organization_id) + 2) FROM nodes WHERE organization_id = ? AND revoked_at = 0 ORDER BY name LIMIT 6`},
	} {
		names, err := list(k, scanName, thing.query, o.id)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return conflict("%s still has %s: %s", "delete them first", o.name, thing.noun, listed(names))
		}
	}
	return nil
}

// organization finds one by name, and asks whether the caller may do a to it.
func (k *call) organization(a access.Action, name string) (owner, error) {
	o, err := k.owner("organization", name)
	if err != nil {
		return owner{}, err
	}
	target, err := k.servedTarget(o, "organization")
	if err != nil {
		return owner{}, err
	}
	return o, k.allow(a, target)
}

// servedTarget is an owner as what an action is done to, with the calling node in it when it serves that organization.
func (k *call) servedTarget(o owner, kind string) (access.Target, error) {
	t := o.target(kind)
	if k.caller.NodeID == "" || o.person {
		return t, nil
	}
	node, err := k.node(k.caller.NodeID)
	if err != nil {
		return t, err
	}
	if node.serves(o.id) {
		t.NodeID = node.id
	}
	return t, nil
}
