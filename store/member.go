package store

import (
	"context"
	"database/sql"
	"errors"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// SetMember makes a person a member of an organization, or gives a member another role; it holds from the member's next
// request on. Errors: ErrBadInput for an unknown role, ErrConflict when the last admin would lose the role.
func (s *Store) SetMember(ctx context.Context, c pierhead.Caller, organization, person string, role pierhead.Role) (pierhead.Member, error) {
	var member pierhead.Member
	err := s.change(ctx, c, access.MemberSet, "member "+organization+"/"+person, func(k *call) error {
		o, err := k.organization(access.MemberSet, organization)
		if err != nil {
			return err
		}
		if role != pierhead.RoleAdmin && role != pierhead.RoleMember {
			return badInput("there is no role %q", "the roles are admin and member", cut(string(role)))
		}
		p, err := k.owner("person", person)
		if err != nil {
			return err
		}
		if role != pierhead.RoleAdmin {
			if err := k.keepAnAdmin(o, p); err != nil {
				return err
			}
		}
		k.note("role", string(role))
		if err := k.putMember(o.id, p.id, role); err != nil {
			return err
		}
		member, err = k.member(o, p)
		return err
	})
	return member, err
}

// Members lists an organization's members by name, for its members and for administrators.
func (s *Store) Members(ctx context.Context, c pierhead.Caller, organization string) ([]pierhead.Member, error) {
	var members []pierhead.Member
	err := s.view(ctx, c, access.MemberList, "members of "+organization, func(k *call) error {
		o, err := k.organization(access.MemberList, organization)
		if err != nil {
			return err
		}
		members, err = list(k, func(row scanner) (pierhead.Member, error) {
			m := pierhead.Member{Organization: o.name}
			var created int64
			err := row.Scan(&m.Person, &m.Role, &created)
			m.CreatedAt = fromMicros(created)
			return m, err
		}, `SELECT p.name, m.role, m.created_at FROM members m JOIN owners p ON p.id = m.person_id
			WHERE m.organization_id = ? ORDER BY p.name`, o.id)
		return err
	})
	return members, err
}

// DeleteMember ends a membership: an admin's act, or one's own. Errors: ErrConflict for the last admin.
func (s *Store) DeleteMember(ctx context.Context, c pierhead.Caller, organization, person string) error {
	return s.change(ctx, c, access.MemberDelete, "member "+organization+"/"+person, func(k *call) error {
		o, err := k.owner("organization", organization)
		if err != nil {
			return err
		}
		p, findErr := k.owner("person", person)
		target := access.Target{Kind: "organization", Name: o.name, OrganizationID: o.id}
		if findErr == nil && c.RoleIn(o.id) != "" && c.PersonID == p.id { // who is no member must not learn that there is the organization
			target.Kind, target.Name, target.PersonID = "member", o.name+"/"+p.name, p.id
		}
		if err := k.allow(access.MemberDelete, target); err != nil {
			return err
		}
		if findErr != nil {
			return findErr
		}
		if _, err := k.member(o, p); err != nil {
			return err
		}
		if err := k.keepAnAdmin(o, p); err != nil {
			return err
		}
		_, err = k.exec(`DELETE FROM members WHERE organization_id = ? AND person_id = ?`, o.id, p.id)
		return err
	})
}

func (k *call) putMember(organizationID, personID string, role pierhead.Role) error {
	_, err := k.exec(`INSERT INTO members (organization_id, person_id, role, created_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (organization_id, person_id) DO UPDATE SET role = excluded.role`, organizationID, personID, string(role), micros(k.at))
	return err
}

func (k *call) member(o, p owner) (pierhead.Member, error) {
	m := pierhead.Member{Organization: o.name, Person: p.name}
	var created int64
	err := k.row(`SELECT role, created_at FROM members WHERE organization_id = ? AND person_id = ?`, []any{o.id, p.id}, &m.Role, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return m, pierhead.NewProblem(pierhead.ErrNotFound, p.name+" is no member of "+o.name, "")
	}
	m.CreatedAt = fromMicros(created)
	return m, err
}

// keepAnAdmin refuses what would leave an organization with nobody to administer it.
func (k *call) keepAnAdmin(o, leaving owner) error {
	var isAdmin, others int
	err := k.row(`SELECT COUNT(CASE WHEN person_id = ? THEN 1 END), COUNT(CASE WHEN person_id <> ? THEN 1 END)
		FROM members WHERE organization_id = ? AND role = 'admin'`, []any{leaving.id, leaving.id, o.id}, &isAdmin, &others)
	if err != nil {
		return err
	}
	if isAdmin > 0 && others == 0 {
		return conflict("%s is the only admin of %s", "make another member admin first", leaving.name, o.name)
	}
	return nil
}
