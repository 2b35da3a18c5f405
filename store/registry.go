package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// CreateRegistry adds a registry to an organization. An empty Type becomes generic, an empty WhenRefused anonymous;
// what comes back is what was saved. The caller may propose r.ID ("reg_" and 16 random characters), since a credential
// is sealed together with it; otherwise one is drawn. Errors: ErrBadInput, saying which field is wrong; ErrConflict for
// a taken name or id, and for patterns that would tie with another registry's.
func (s *Store) CreateRegistry(ctx context.Context, c pierhead.Caller, organization string, r pierhead.Registry) (pierhead.Registry, error) {
	var made pierhead.Registry
	err := s.change(ctx, c, access.RegistryCreate, "registry "+organization+"/"+r.Name, func(k *call) error {
		o, err := k.organization(access.RegistryCreate, organization)
		if err != nil {
			return err
		}
		r.OrganizationID, r.CreatedAt, r.UpdatedAt = o.id, k.at, k.at
		if made, err = k.checkedRegistry(o, named(r)); err != nil {
			return err
		}
		k.noteRegistry(made)
		if err := k.insertRegistry(made); err != nil {
			return err
		}
		if err := k.resetCheck(made); err != nil {
			return err
		}
		return k.snapshotChanged()
	})
	if err != nil {
		return pierhead.Registry{}, err
	}
	return made, nil
}

// named gives a new registry an id, unless the caller proposes one.
func named(r pierhead.Registry) pierhead.Registry {
	if r.ID == "" {
		r.ID = ids.New("reg")
	}
	return r
}

// UpdateRegistry replaces the settings of the registry of r's name. With r.UpdatedAt set, as it was read, it fails with
// ErrConflict when somebody else changed the registry since; with the zero time it overwrites. Of the predefined
// registry only Enabled, WhenRefused and Projects can be changed. Errors: as for CreateRegistry; ErrConflict also when
// the hosts of a sealed credential change, since it was sealed for those it has.
func (s *Store) UpdateRegistry(ctx context.Context, c pierhead.Caller, organization string, r pierhead.Registry) (pierhead.Registry, error) {
	var saved pierhead.Registry
	err := s.change(ctx, c, access.RegistryUpdate, "registry "+organization+"/"+r.Name, func(k *call) error {
		o, err := k.organization(access.RegistryUpdate, organization)
		if err != nil {
			return err
		}
		old, err := k.registry(o, r.Name)
		if err != nil {
			return err
		}
		if saved, err = k.checkedUpdate(o, old, r); err != nil {
			return err
		}
		k.noteRegistry(saved)
		if err := k.updateRegistry(saved); err != nil {
			return err
		}
		if err := k.resetCheck(saved); err != nil {
			return err
		}
		return k.snapshotChanged()
	})
	if err != nil {
		return pierhead.Registry{}, err
	}
	return saved, nil
}

// checkedUpdate is r as it replaces old.
func (k *call) checkedUpdate(o owner, old, r pierhead.Registry) (pierhead.Registry, error) {
	if r.ID != "" && r.ID != old.ID || !r.UpdatedAt.IsZero() && micros(r.UpdatedAt) != micros(old.UpdatedAt) {
		return r, conflict("registry %s/%s was changed by somebody else meanwhile", "read it again, and make your change to what you find", o.name, old.Name)
	}
	r.ID, r.OrganizationID, r.CreatedAt, r.UpdatedAt = old.ID, o.id, old.CreatedAt, k.at
	if !r.UpdatedAt.After(old.UpdatedAt) { // two changes in one tick of the clock are still two
		r.UpdatedAt = old.UpdatedAt.Add(time.Microsecond)
	}
	checked, err := k.checkedRegistry(o, r)
	if err != nil {
		return r, err
	}
	if checked.Credential.Sealed != "" && checked.Credential.Sealed == old.Credential.Sealed && hostsOf(checked) != hostsOf(old) {
		return r, conflict("the sealed credential of %s/%s is for %s only", "type it in again together with the new match: pier registry update --username U --password-stdin", o.name, old.Name, hostsOf(old))
	}
	return checked, nil
}

// Registries lists an organization's registries by name, for its admins.
func (s *Store) Registries(ctx context.Context, c pierhead.Caller, organization string) ([]pierhead.Registry, error) {
	var registries []pierhead.Registry
	err := s.view(ctx, c, access.RegistryList, "registries of "+organization, func(k *call) error {
		o, err := k.organization(access.RegistryList, organization)
		if err != nil {
			return err
		}
		if registries, err = k.registries(o); err != nil {
			return err
		}
		checks, err := k.checks(o)
		for i := range registries {
			registries[i].Check = checks[registries[i].ID]
		}
		return err
	})
	return registries, err
}

// Registry finds a registry of an organization by name, for its admins.
func (s *Store) Registry(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.Registry, error) {
	var r pierhead.Registry
	err := s.view(ctx, c, access.RegistryShow, "registry "+organization+"/"+name, func(k *call) error {
		o, err := k.organization(access.RegistryShow, organization)
		if err != nil {
			return err
		}
		r, err = k.registry(o, name)
		return err
	})
	if err != nil {
		return pierhead.Registry{}, err
	}
	return r, nil
}

// RegistryReach tells what would lose access without a registry, for the organization's admins.
func (s *Store) RegistryReach(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.RegistryReach, error) {
	var reach pierhead.RegistryReach
	err := s.view(ctx, c, access.RegistryShow, "registry "+organization+"/"+name, func(k *call) error {
		o, err := k.organization(access.RegistryShow, organization)
		if err != nil {
			return err
		}
		r, err := k.registry(o, name)
		if err != nil {
			return err
		}
		reach, err = k.reach(o, r)
		return err
	})
	if err != nil {
		return pierhead.RegistryReach{}, err
	}
	return reach, nil
}

func (k *call) reach(o owner, r pierhead.Registry) (pierhead.RegistryReach, error) {
	reach := pierhead.RegistryReach{Registry: r}
	type used struct {
		project     string
		times, last int64
	}
	rows, err := list(k, func(row scanner) (u used, err error) { return u, row.Scan(&u.project, &u.times, &u.last) },
		`SELECT p.name, COUNT(*), MAX(e.created_at) FROM executions e JOIN projects p ON p.id = e.project_id
		WHERE e.owner_id = ? AND e.registry = ? AND e.created_at >= ? GROUP BY p.name ORDER BY p.name`,
		o.id, r.Name, micros(k.at.AddDate(0, 0, -pierhead.ReachDays)))
	for _, u := range rows {
		reach.Projects = append(reach.Projects, u.project)
		reach.Executions += int(u.times)
		if last := fromMicros(u.last); last.After(reach.LastUsed) {
			reach.LastUsed = last
		}
	}
	return reach, err
}

// DeleteRegistry deletes a registry. What loses access by it is told in the audit entry: patterns, projects, and how
// many executions used it in the last 30 days. Errors: ErrConflict for the predefined registry, which can be disabled.
func (s *Store) DeleteRegistry(ctx context.Context, c pierhead.Caller, organization, name string) error {
	return s.change(ctx, c, access.RegistryDelete, "registry "+organization+"/"+name, func(k *call) error {
		o, err := k.organization(access.RegistryDelete, organization)
		if err != nil {
			return err
		}
		r, err := k.registry(o, name)
		if err != nil {
			return err
		}
		if r.Type == pierhead.RegistryHosted {
			return conflict("%s is the predefined registry of %s and stays", "disable it: pier registry update "+name+" --disable", name, o.name)
		}
		k.noteRegistry(r)
		reach, err := k.reach(o, r)
		if err != nil {
			return err
		}
		k.note("executions in "+strconv.Itoa(pierhead.ReachDays)+" days", strconv.Itoa(reach.Executions))
		if _, err := k.exec(`DELETE FROM registries WHERE id = ?`, r.ID); err != nil {
			return err
		}
		return k.snapshotChanged()
	})
}

// noteRegistry writes to the audit entry what the registry covers and where its credential is, never the credential.
func (k *call) noteRegistry(r pierhead.Registry) {
	k.note("match", strings.Join(r.Match, " "))
	k.note("enabled", strconv.FormatBool(r.Enabled))
	switch {
	case r.Projects.All:
		k.note("projects", "all")
	default:
		k.note("projects", strings.Join(r.Projects.Names, " "))
	}
	if r.Helper != "" {
		k.note("helper", string(r.Helper))
	}
	switch {
	case r.Credential.Secret != "":
		k.note("credential", r.Credential.Secret)
	case r.Credential.Sealed != "":
		k.note("credential", "sealed to key "+sealedKeyID(r.Credential.Sealed))
	}
}
