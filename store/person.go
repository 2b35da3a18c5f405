package store

import (
	"context"
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// CreatePerson makes a person; admin makes one an administrator of the installation. An administrator's first token for
// the person is made with CreateToken. Errors: ErrBadInput for a bad name, ErrConflict for a taken one.
func (s *Store) CreatePerson(ctx context.Context, c pierhead.Caller, name string, admin bool) (pierhead.Person, error) {
	var made owner
	err := s.change(ctx, c, access.PersonCreate, "person "+name, func(k *call) error {
		if err := k.allow(access.PersonCreate, installation()); err != nil {
			return err
		}
		made = owner{id: ids.New("person"), name: name, person: true, admin: admin, created: micros(k.at)}
		if admin {
			k.note("admin", "true")
		}
		return k.insertOwner(made, "person")
	})
	if err != nil {
		return pierhead.Person{}, err
	}
	return made.toPerson(), nil
}

// Persons lists, by name, the persons that the caller may know of: itself and the members of its organizations; all of
// them for an administrator.
func (s *Store) Persons(ctx context.Context, c pierhead.Caller) ([]pierhead.Person, error) {
	var persons []pierhead.Person
	err := s.view(ctx, c, access.PersonList, "persons", func(k *call) error {
		if err := k.allow(access.PersonList, installation()); err != nil {
			return err
		}
		all, err := list(k, scanOwner, `SELECT `+ownerColumns+` FROM owners WHERE kind = 'person' ORDER BY name`)
		if err != nil {
			return err
		}
		shared, err := k.sharedOrganizations()
		if err != nil {
			return err
		}
		for _, o := range all {
			if k.may(access.PersonShow, personTarget(o, shared)) {
				persons = append(persons, o.toPerson())
			}
		}
		return nil
	})
	return persons, err
}

// Person finds a person by name, under the rule of Persons.
func (s *Store) Person(ctx context.Context, c pierhead.Caller, name string) (pierhead.Person, error) {
	var found owner
	err := s.view(ctx, c, access.PersonShow, "person "+name, func(k *call) (err error) {
		if found, err = k.owner("person", name); err != nil {
			return err
		}
		shared, err := k.sharedOrganizations()
		if err != nil {
			return err
		}
		return k.allow(access.PersonShow, personTarget(found, shared))
	})
	if err != nil {
		return pierhead.Person{}, err
	}
	return found.toPerson(), nil
}

// DeletePerson deletes a person with its memberships and tokens, which stop working at once. Robots that the person
// made stay: they are the organization's. The name is not given out again. Errors: ErrConflict, naming what is in the
// way, when the person has projects or is the last admin of an organization or of the installation.
func (s *Store) DeletePerson(ctx context.Context, c pierhead.Caller, name string) error {
	return s.change(ctx, c, access.PersonDelete, "person "+name, func(k *call) error {
		o, err := k.owner("person", name)
		if err != nil {
			return err
		}
		shared, err := k.sharedOrganizations()
		if err != nil {
			return err
		}
		if err := k.allow(access.PersonDelete, personTarget(o, shared)); err != nil {
			return err
		}
		if err := k.personInTheWay(o); err != nil {
			return err
		}
		if _, err := k.exec(`DELETE FROM tokens WHERE person_id = ? AND kind = 'pat'`, o.id); err != nil {
			return err
		}
		if _, err := k.exec(`UPDATE tokens SET person_id = NULL WHERE person_id = ?`, o.id); err != nil {
			return err
		}
		return k.deleteOwner(o)
	})
}

// personInTheWay is what must go before the person can.
func (k *call) personInTheWay(o owner) error {
	projects, err := k.projectNames(o.id)
	if err != nil {
		return err
	}
	if len(projects) > 0 {
		return conflict("%s still has projects: %s", "delete them first: pier project delete "+o.name+"/"+projects[0], o.name, listed(projects))
	}
	organizations, err := list(k, scanName, `SELECT o.name FROM members m JOIN owners o ON o.id = m.organization_id
		WHERE m.person_id = ? AND m.role = 'admin' AND NOT EXISTS (SELECT 1 FROM members x
			WHERE x.organization_id = m.organization_id AND x.role = 'admin' AND x.person_id <> m.person_id)
		ORDER BY o.name`, o.id)
	if err != nil {
		return err
	}
	if len(organizations) > 0 {
		return conflict("%s is the only admin of %s", "make another member admin first", o.name, listed(organizations))
	}
	var others int
	if err := k.row(`SELECT COUNT(*) FROM owners WHERE kind = 'person' AND admin <> 0 AND id <> ?`, []any{o.id}, &others); err != nil {
		return err
	}
	if o.admin && others == 0 {
		return conflict("%s is the only administrator of the installation", "make another one first: pier person create NAME --admin", o.name)
	}
	return nil
}

// sharedOrganizations tells, for every person who is in an organization with the caller, one such organization.
func (k *call) sharedOrganizations() (map[string]string, error) {
	shared := map[string]string{}
	for organization := range k.caller.Memberships {
		persons, err := list(k, scanName, `SELECT person_id FROM members WHERE organization_id = ?`, organization)
		if err != nil {
			return nil, fmt.Errorf("members: %w", err)
		}
		for _, id := range persons {
			shared[id] = organization
		}
	}
	return shared, nil
}

// personTarget is a person as what an action is done to: its own, and known to those who share an organization.
func personTarget(o owner, shared map[string]string) access.Target {
	return access.Target{Kind: "person", Name: o.name, PersonID: o.id, OrganizationID: shared[o.id]}
}

// scanName reads one text.
func scanName(row scanner) (string, error) {
	var name string
	return name, row.Scan(&name)
}
