package store

import (
	"encoding/json"
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// storedSettings is the column "settings" of registries. Rows of every earlier version are read with it: fields may be
// added, and never change their name or meaning.
type storedSettings struct {
	Match           []string `json:"match,omitempty"`
	Secret          string   `json:"secret,omitempty"`
	Sealed          string   `json:"sealed,omitempty"`
	WhenRefused     string   `json:"when_refused"`
	PlainHTTP       bool     `json:"plain_http,omitempty"`
	CA              string   `json:"ca,omitempty"`
	Realms          []string `json:"realms,omitempty"`
	PrivateNetworks []string `json:"private_networks,omitempty"`

	Identity           string `json:"identity,omitempty"`
	AssumeRole         string `json:"assume_role,omitempty"`
	ExternalID         string `json:"external_id,omitempty"`
	Impersonate        string `json:"impersonate,omitempty"`
	Proxy              string `json:"proxy,omitempty"`
	Sample             string `json:"sample,omitempty"`
	CreateRepositories bool   `json:"create_repositories,omitempty"`
	Helper             string `json:"helper,omitempty"`
}

func settingsOf(r pierhead.Registry) (string, error) {
	stored := storedSettings{WhenRefused: string(r.WhenRefused)}
	if r.Type != pierhead.RegistryHosted { // where the hosted registry is follows from the server's URL
		stored.Match, stored.Secret, stored.Sealed = r.Match, r.Credential.Secret, string(r.Credential.Sealed)
		stored.PlainHTTP, stored.CA, stored.Realms, stored.PrivateNetworks = r.PlainHTTP, r.CA, r.Realms, r.PrivateNetworks
		stored.Identity, stored.AssumeRole, stored.ExternalID = string(r.Credential.Identity), r.Credential.AssumeRole, r.Credential.ExternalID
		stored.Impersonate, stored.Proxy, stored.Sample, stored.CreateRepositories = r.Credential.Impersonate, r.Proxy, r.Sample, r.CreateRepositories
		stored.Helper = string(r.Helper)
	}
	text, err := json.Marshal(stored)
	return string(text), err
}

const registryColumns = `id, organization_id, name, type, enabled, all_projects, settings, created_at, updated_at`

func scanRegistry(row scanner) (pierhead.Registry, error) {
	var r pierhead.Registry
	var settings string
	var created, updated int64
	if err := row.Scan(&r.ID, &r.OrganizationID, &r.Name, &r.Type, &r.Enabled, &r.Projects.All, &settings, &created, &updated); err != nil {
		return r, err
	}
	var stored storedSettings
	if err := json.Unmarshal([]byte(settings), &stored); err != nil {
		return r, fmt.Errorf("settings of registry %s: %w", r.ID, err)
	}
	r.CreatedAt, r.UpdatedAt = fromMicros(created), fromMicros(updated)
	r.Match, r.WhenRefused = stored.Match, pierhead.WhenRefused(stored.WhenRefused)
	r.Credential = pierhead.RegistryCredential{Secret: stored.Secret, Sealed: pierhead.Sealed(stored.Sealed), Identity: pierhead.Identity(stored.Identity),
		AssumeRole: stored.AssumeRole, ExternalID: stored.ExternalID, Impersonate: stored.Impersonate}
	r.Proxy, r.Sample, r.CreateRepositories, r.Helper = stored.Proxy, stored.Sample, stored.CreateRepositories, pierhead.HelperScope(stored.Helper)
	r.PlainHTTP, r.CA, r.Realms, r.PrivateNetworks = stored.PlainHTTP, stored.CA, stored.Realms, stored.PrivateNetworks
	return r, nil
}

// placed fills in where the hosted registry of an organization is, from the server's URL of now.
func (h hosted) placed(r pierhead.Registry, organization string) pierhead.Registry {
	if r.Type == pierhead.RegistryHosted {
		r.Match = []string{h.host + "/" + organization + "/*"}
		r.PlainHTTP = h.plain
	}
	return r
}

func (k *call) registry(o owner, name string) (pierhead.Registry, error) {
	r, err := scanRegistry(k.tx.QueryRowContext(k.ctx, `SELECT `+registryColumns+` FROM registries WHERE organization_id = ? AND name = ?`, o.id, name))
	if err != nil {
		return r, missing(err, "registry", o.name+"/"+name)
	}
	checks, err := k.checks(o)
	if err != nil {
		return r, err
	}
	r.Check = checks[r.ID]
	r.Projects.Names, err = list(k, scanName, `SELECT p.name FROM registry_projects rp JOIN projects p ON p.id = rp.project_id
		WHERE rp.registry_id = ? ORDER BY p.name`, r.ID)
	return k.store.hosted.placed(r, o.name), err
}

// registries reads all of an organization's with two queries, however many there are.
func (k *call) registries(o owner) ([]pierhead.Registry, error) {
	registries, err := list(k, scanRegistry, `SELECT `+registryColumns+` FROM registries WHERE organization_id = ? ORDER BY name`, o.id)
	if err != nil {
		return nil, err
	}
	type scope struct{ registry, project string }
	scopes, err := list(k, func(row scanner) (s scope, err error) { return s, row.Scan(&s.registry, &s.project) },
		`SELECT rp.registry_id, p.name FROM projects p JOIN registry_projects rp ON rp.project_id = p.id WHERE p.owner_id = ? ORDER BY p.name`, o.id)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, s := range scopes {
		names[s.registry] = append(names[s.registry], s.project)
	}
	for i, r := range registries {
		r.Projects.Names = names[r.ID]
		registries[i] = k.store.hosted.placed(r, o.name)
	}
	return registries, nil
}

func (k *call) insertHostedRegistry(o owner) error {
	if err := k.insertRegistry(pierhead.Registry{
		ID: ids.New("reg"), OrganizationID: o.id, Name: pierhead.HostedRegistryName, Type: pierhead.RegistryHosted, Enabled: true,
		WhenRefused: pierhead.RefusedFail, Projects: pierhead.ProjectScope{All: true}, CreatedAt: k.at, UpdatedAt: k.at,
	}); err != nil {
		return err
	}
	return k.snapshotChanged()
}

func (k *call) insertRegistry(r pierhead.Registry) error {
	settings, err := settingsOf(r)
	if err != nil {
		return err
	}
	_, err = k.exec(`INSERT INTO registries (`+registryColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.OrganizationID, r.Name, string(r.Type), r.Enabled, r.Projects.All, settings, micros(r.CreatedAt), micros(r.UpdatedAt))
	if isUnique(err) {
		return k.registryTaken(r)
	}
	if err != nil {
		return err
	}
	return k.putScope(r)
}

// registryTaken says which of name and proposed id is taken.
func (k *call) registryTaken(r pierhead.Registry) error {
	var n int
	if err := k.row(`SELECT COUNT(*) FROM registries WHERE organization_id = ? AND name = ?`, []any{r.OrganizationID, r.Name}, &n); err != nil {
		return err
	}
	if n == 0 {
		return conflict("the proposed id of registry %q is taken", "draw another one, and seal the credential again", r.Name)
	}
	return conflict("there is a registry %q already", "choose another name, or change it: pier registry update "+r.Name, r.Name)
}

func (k *call) updateRegistry(r pierhead.Registry) error {
	settings, err := settingsOf(r)
	if err != nil {
		return err
	}
	if _, err := k.exec(`UPDATE registries SET type = ?, enabled = ?, all_projects = ?, settings = ?, updated_at = ? WHERE id = ?`,
		string(r.Type), r.Enabled, r.Projects.All, settings, micros(r.UpdatedAt), r.ID); err != nil {
		return err
	}
	if _, err := k.exec(`DELETE FROM registry_projects WHERE registry_id = ?`, r.ID); err != nil {
		return err
	}
	return k.putScope(r)
}

// putScope writes which projects may use the registry. By id: a project of the same name, made later, does not inherit.
func (k *call) putScope(r pierhead.Registry) error {
	for _, name := range r.Projects.Names {
		n, err := k.exec(`INSERT INTO registry_projects (registry_id, project_id) SELECT ?, id FROM projects WHERE owner_id = ? AND name = ?`,
			r.ID, r.OrganizationID, name)
		if err != nil {
			return err
		}
		if n == 0 {
			return access.NotFound("project", name)
		}
	}
	return nil
}
