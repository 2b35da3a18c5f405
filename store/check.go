package store

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/image"
)

// CheckEvery is how often a registry's credential is looked at, within a tenth of it: the looks of many registries spread.
const CheckEvery = 15 * time.Minute

// A CheckSubject is a registry whose credential a node may look at.
type CheckSubject struct {
	Organization pierhead.Organization
	Registry     pierhead.Registry // with its last check, if it is saved
	Newest       string            // the image pulled last that its patterns cover, or ""
}

// DraftRegistry is the registry that CreateRegistry, or UpdateRegistry where it exists, would save, and saves nothing: a new
// credential is proved before it takes the place of the old one. Errors: as for those two.
func (s *Store) DraftRegistry(ctx context.Context, c pierhead.Caller, organization string, r pierhead.Registry, update bool) (CheckSubject, error) {
	var subject CheckSubject
	err := s.view(ctx, c, access.RegistryTest, "registry "+organization+"/"+r.Name, func(k *call) error {
		o, err := k.organization(access.RegistryTest, organization)
		if err != nil {
			return err
		}
		var draft pierhead.Registry
		if update {
			draft, err = k.draftUpdate(o, r)
		} else {
			r.OrganizationID, r.CreatedAt, r.UpdatedAt = o.id, k.at, k.at
			draft, err = k.checkedRegistry(o, named(r))
		}
		if err != nil {
			return err
		}
		subject, err = k.checkSubject(o, draft)
		return err
	})
	return subject, err
}

func (k *call) draftUpdate(o owner, r pierhead.Registry) (pierhead.Registry, error) {
	old, err := k.registry(o, r.Name)
	if err != nil {
		return r, err
	}
	return k.checkedUpdate(o, old, r)
}

// SavedRegistry is a saved registry as the subject of a check. Errors: as for Registry.
func (s *Store) SavedRegistry(ctx context.Context, c pierhead.Caller, organization, name string) (CheckSubject, error) {
	var subject CheckSubject
	err := s.view(ctx, c, access.RegistryTest, "registry "+organization+"/"+name, func(k *call) error {
		o, err := k.organization(access.RegistryTest, organization)
		if err != nil {
			return err
		}
		r, err := k.registry(o, name)
		if err != nil {
			return err
		}
		subject, err = k.checkSubject(o, r)
		return err
	})
	return subject, err
}

func (k *call) checkSubject(o owner, r pierhead.Registry) (CheckSubject, error) {
	newest, err := k.newestImage(o, r)
	return CheckSubject{Organization: o.toOrganization(), Registry: r, Newest: newest}, err
}

// lookBack is how many executions are searched for an image that a registry covers.
const lookBack = 500

// newestImage is the last one that was found in a registry and that r's patterns cover, or "".
func (k *call) newestImage(o owner, r pierhead.Registry) (string, error) {
	specs, err := list(k, scanName, `SELECT spec FROM executions WHERE owner_id = ? AND digest <> '' ORDER BY seq DESC LIMIT ?`, o.id, lookBack)
	if err != nil {
		return "", err
	}
	for _, text := range specs {
		var spec struct {
			Image string `json:"image"`
		}
		if json.Unmarshal([]byte(text), &spec) != nil {
			continue
		}
		if reference, err := image.Parse(spec.Image); err == nil && covers(r, reference) {
			return spec.Image, nil
		}
	}
	return "", nil
}

func covers(r pierhead.Registry, reference image.Reference) bool {
	return slices.ContainsFunc(r.Match, func(text string) bool {
		pattern, err := image.ParsePattern(text)
		return err == nil && pattern.Matches(reference) == image.Yes
	})
}

// PutCheck keeps what a node found about a registry as it was then: when it has been changed since, or is gone, the finding
// is dropped. Errors: ErrNotAllowed for everyone but the process itself.
func (s *Store) PutCheck(ctx context.Context, c pierhead.Caller, r pierhead.Registry, check pierhead.Check) error {
	return s.change(ctx, c, access.CheckPut, "registry "+r.Name, func(k *call) error {
		k.nothing = true
		if err := k.allow(access.CheckPut, installation()); err != nil {
			return err
		}
		due := check.At.Add(CheckEvery + time.Duration((rand.Float64()-0.5)/5*float64(CheckEvery)))
		_, err := k.exec(`UPDATE registry_checks SET result = ?, at = ?, node = ?, image = ?, reason = ?, hint = ?, due_at = ?
			WHERE registry_id = (SELECT id FROM registries WHERE id = ? AND updated_at = ?)`,
			string(check.Result), micros(check.At), cutBytes(check.Node, pierhead.MaxName), cutBytes(check.Image, 1024), cutBytes(check.Reason, 2000), cutBytes(check.Hint, 2000),
			micros(due), r.ID, micros(r.UpdatedAt))
		return err
	})
}

// PostponeCheck moves a look that no node could have. Errors: as for PutCheck.
func (s *Store) PostponeCheck(ctx context.Context, c pierhead.Caller, registryID string, until time.Time) error {
	return s.change(ctx, c, access.CheckPut, "registry "+registryID, func(k *call) error {
		k.nothing = true
		if err := k.allow(access.CheckPut, installation()); err != nil {
			return err
		}
		_, err := k.exec(`UPDATE registry_checks SET due_at = ? WHERE registry_id = ?`, micros(until), registryID)
		return err
	})
}

// DueChecks are up to max registries whose next look is due, the longest waiting first; disabled ones wait. Errors: as for
// PutCheck.
func (s *Store) DueChecks(ctx context.Context, c pierhead.Caller, max int) ([]CheckSubject, error) {
	var due []CheckSubject
	err := s.view(ctx, c, access.CheckList, "due checks", func(k *call) error {
		if err := k.allow(access.CheckList, installation()); err != nil {
			return err
		}
		type place struct{ owner, name string }
		places, err := list(k, func(row scanner) (p place, err error) { return p, row.Scan(&p.owner, &p.name) },
			`SELECT o.name, r.name FROM registry_checks c JOIN registries r ON r.id = c.registry_id JOIN owners o ON o.id = r.organization_id
			WHERE c.due_at <= ? AND r.enabled ORDER BY c.due_at LIMIT ?`, micros(k.at), max)
		if err != nil {
			return err
		}
		for _, p := range places {
			o, err := k.owner("organization", p.owner)
			var r pierhead.Registry
			if err == nil {
				r, err = k.registry(o, p.name)
			}
			if err == nil {
				var subject CheckSubject
				subject, err = k.checkSubject(o, r)
				due = append(due, subject)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return due, err
}

// resetCheck forgets what was found about an earlier form of the registry and has the new one looked at; one without a
// credential has nothing to look at.
func (k *call) resetCheck(r pierhead.Registry) error {
	if _, err := k.exec(`DELETE FROM registry_checks WHERE registry_id = ?`, r.ID); err != nil || !r.HasCredential() || r.Type == pierhead.RegistryHosted {
		return err
	}
	_, err := k.exec(`INSERT INTO registry_checks (registry_id, due_at) VALUES (?, ?)`, r.ID, micros(k.at))
	return err
}

// checks reads what was found about an organization's registries, by id.
func (k *call) checks(o owner) (map[string]pierhead.Check, error) {
	type row struct {
		id    string
		check pierhead.Check
	}
	rows, err := list(k, func(from scanner) (r row, err error) {
		var at int64
		err = from.Scan(&r.id, &r.check.Result, &at, &r.check.Node, &r.check.Image, &r.check.Reason, &r.check.Hint)
		r.check.At = fromMicros(at)
		return r, err
	}, `SELECT c.registry_id, c.result, c.at, c.node, c.image, c.reason, c.hint FROM registry_checks c JOIN registries r ON r.id = c.registry_id
		WHERE r.organization_id = ? AND c.result <> ''`, o.id)
	found := make(map[string]pierhead.Check, len(rows))
	for _, r := range rows {
		found[r.id] = r.check
	}
	return found, err
}
