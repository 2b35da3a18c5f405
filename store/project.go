package store

import (
	"context"
	"fmt"
	"strconv"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// CreateProject makes a project of an organization, for its members, or a personal one, for the person itself. Errors:
// ErrBadInput for a bad name, ErrConflict for a taken one.
func (s *Store) CreateProject(ctx context.Context, c pierhead.Caller, ownerName, name string) (pierhead.Project, error) {
	var p project
	err := s.change(ctx, c, access.ProjectCreate, "project "+ownerName+"/"+name, func(k *call) error {
		o, err := k.owner("owner", ownerName)
		if err != nil {
			return err
		}
		if err := k.allow(access.ProjectCreate, o.target("owner")); err != nil {
			return err
		}
		if err := checkName("project", name); err != nil {
			return err
		}
		p = project{id: ids.New("prj"), name: name, owner: o, created: micros(k.at)}
		_, err = k.exec(`INSERT INTO projects (id, owner_id, name, created_at) VALUES (?, ?, ?, ?)`, p.id, o.id, name, p.created)
		if isUnique(err) {
			return conflict("%s has a project %q already", "choose another name", o.name, name)
		}
		return err
	})
	if err != nil {
		return pierhead.Project{}, err
	}
	return p.noun(), nil
}

// Projects lists the projects of one owner, or, for "", all that the caller may see, by owner and name.
func (s *Store) Projects(ctx context.Context, c pierhead.Caller, ownerName string) ([]pierhead.Project, error) {
	var projects []pierhead.Project
	err := s.view(ctx, c, access.ProjectList, "projects of "+ownerName, func(k *call) error {
		owners, err := k.visibleOwners(access.ProjectList, ownerName)
		if err != nil {
			return err
		}
		for _, o := range owners {
			more, err := list(k, scanProject, `SELECT `+projectColumns+` WHERE p.owner_id = ? ORDER BY p.name`, o.id)
			if err != nil {
				return err
			}
			for _, p := range more {
				projects = append(projects, p.noun())
			}
		}
		return nil
	})
	return projects, err
}

// Project finds a project by its owner's name and its own.
func (s *Store) Project(ctx context.Context, c pierhead.Caller, ownerName, name string) (pierhead.Project, error) {
	var p project
	err := s.view(ctx, c, access.ProjectShow, "project "+ownerName+"/"+name, func(k *call) (err error) {
		p, err = k.project(access.ProjectShow, ownerName, name)
		return err
	})
	if err != nil {
		return pierhead.Project{}, err
	}
	return p.noun(), nil
}

// DeleteProject deletes a project with its finished executions and their logs. Errors: ErrConflict, naming what is in
// the way, while executions are under way or a registry lists the project.
func (s *Store) DeleteProject(ctx context.Context, c pierhead.Caller, ownerName, name string) error {
	return s.change(ctx, c, access.ProjectDelete, "project "+ownerName+"/"+name, func(k *call) error {
		p, err := k.project(access.ProjectDelete, ownerName, name)
		if err != nil {
			return err
		}
		if err := k.projectInTheWay(p); err != nil {
			return err
		}
		if _, err := k.exec(`DELETE FROM events WHERE execution_id IN (SELECT id FROM executions WHERE project_id = ?)`, p.id); err != nil {
			return err
		}
		executions, err := k.exec(`DELETE FROM executions WHERE project_id = ?`, p.id)
		if err != nil {
			return err
		}
		k.note("executions", strconv.FormatInt(executions, 10))
		_, err = k.exec(`DELETE FROM projects WHERE id = ?`, p.id)
		return err
	})
}

// projectInTheWay is what must go before the project can.
func (k *call) projectInTheWay(p project) error {
	executions, err := list(k, scanName, `SELECT id FROM executions WHERE project_id = ? AND state IN ('queued', 'pulling', 'running') ORDER BY seq LIMIT 6`, p.id)
	if err != nil {
		return err
	}
	if len(executions) > 0 {
		return conflict("%s has executions under way: %s", "wait for them, or stop them: pier execution stop "+executions[0], p.noun().FullName(), listed(executions))
	}
	registries, err := list(k, scanName, `SELECT r.name FROM registry_projects rp JOIN registries r ON r.id = rp.registry_id WHERE rp.project_id = ? ORDER BY r.name LIMIT 6`, p.id)
	if err != nil {
		return err
	}
	if len(registries) > 0 {
		return conflict("registries list the project %s: %s", "take it off their projects first", p.noun().FullName(), listed(registries))
	}
	return nil
}

// A project is a row of projects with its owner's.
type project struct {
	id, name string
	owner    owner
	created  int64
}

const projectColumns = `p.id, p.name, p.created_at, o.id, o.name, o.kind = 'person' FROM projects p JOIN owners o ON o.id = p.owner_id`

func scanProject(row scanner) (project, error) {
	var p project
	return p, row.Scan(&p.id, &p.name, &p.created, &p.owner.id, &p.owner.name, &p.owner.person)
}

func (p project) noun() pierhead.Project {
	noun := pierhead.Project{ID: p.id, Name: p.name, Owner: p.owner.name, CreatedAt: fromMicros(p.created)}
	if p.owner.person {
		noun.PersonID = p.owner.id
	} else {
		noun.OrganizationID = p.owner.id
	}
	return noun
}

// project finds one, and asks whether the caller may do a to it.
func (k *call) project(a access.Action, ownerName, name string) (project, error) {
	full := ownerName + "/" + name
	p, err := scanProject(k.tx.QueryRowContext(k.ctx, `SELECT `+projectColumns+` WHERE o.name = ? AND p.name = ?`, ownerName, name))
	if err != nil {
		return project{}, missing(err, "project", full)
	}
	target := p.owner.target("project")
	target.Name = full
	return p, k.allow(a, target)
}

func (k *call) projectNames(ownerID string) ([]string, error) {
	return list(k, scanName, `SELECT name FROM projects WHERE owner_id = ? ORDER BY name LIMIT 6`, ownerID)
}

// visibleOwners is the one owner of that name, when the caller may do a (a list) to it, or, for "", the caller itself
// and its organizations, by name.
func (k *call) visibleOwners(a access.Action, name string) ([]owner, error) {
	if name != "" {
		o, err := k.owner("owner", name)
		if err != nil {
			return nil, err
		}
		return []owner{o}, k.allow(a, o.target("owner"))
	}
	mine, err := list(k, scanOwner, `SELECT `+ownerColumns+` FROM owners WHERE id = ?`, k.caller.PersonID)
	if err != nil {
		return nil, err
	}
	for id := range k.caller.Memberships {
		more, err := list(k, scanOwner, `SELECT `+ownerColumns+` FROM owners WHERE id = ?`, id)
		if err != nil {
			return nil, fmt.Errorf("organizations of %s: %w", k.caller.Name, err)
		}
		mine = append(mine, more...)
	}
	return allowedOwners(k, a, mine), nil
}
