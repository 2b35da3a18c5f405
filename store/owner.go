package store

import (
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// An owner is a person or an organization, as one row of the names that they share.
type owner struct {
	id, name string
	person   bool
	admin    bool
	created  int64
}

const ownerColumns = `id, name, kind = 'person', admin, created_at`

func scanOwner(row scanner) (owner, error) {
	var o owner
	return o, row.Scan(&o.id, &o.name, &o.person, &o.admin, &o.created)
}

// owner finds a person or organization by name. For kind "organization" or "person" only such; for "owner" either.
func (k *call) owner(kind, name string) (owner, error) {
	o, err := scanOwner(k.tx.QueryRowContext(k.ctx, `SELECT `+ownerColumns+` FROM owners WHERE name = ?`, name))
	if err != nil {
		return owner{}, missing(err, kind, name)
	}
	if kind == "person" && !o.person || kind == "organization" && o.person {
		return owner{}, access.NotFound(kind, name)
	}
	return o, nil
}

func (o owner) toPerson() pierhead.Person {
	return pierhead.Person{ID: o.id, Name: o.name, Admin: o.admin, CreatedAt: fromMicros(o.created)}
}

func (o owner) toOrganization() pierhead.Organization {
	return pierhead.Organization{ID: o.id, Name: o.name, CreatedAt: fromMicros(o.created)}
}

// target is the owner as what an action is done to: an organization is its members', a person its own.
func (o owner) target(kind string) access.Target {
	t := access.Target{Kind: kind, Name: o.name}
	if o.person {
		t.PersonID = o.id
	} else {
		t.OrganizationID = o.id
	}
	return t
}

// installation is what makes persons and organizations.
func installation() access.Target { return access.Target{Kind: "this installation"} }

// insertOwner gives a name to a new person or organization.
func (k *call) insertOwner(o owner, kind string) error {
	if err := checkName(kind, o.name); err != nil {
		return err
	}
	var retired int
	if err := k.row(`SELECT COUNT(*) FROM retired_names WHERE name = ?`, []any{o.name}, &retired); err != nil {
		return err
	}
	if retired > 0 {
		return conflict("the name %q belonged to a deleted person or organization", "choose another name: images of the old one may still lie under it", o.name)
	}
	_, err := k.exec(`INSERT INTO owners (id, name, kind, admin, created_at) VALUES (?, ?, ?, ?, ?)`, o.id, o.name, kind, o.admin, o.created)
	if isUnique(err) {
		return conflict("the name %q is taken", "persons and organizations share one set of names; choose another", o.name)
	}
	return err
}

// deleteOwner removes the row and keeps its name from being given out again.
func (k *call) deleteOwner(o owner) error {
	if _, err := k.exec(`INSERT INTO retired_names (name, retired_at) VALUES (?, ?)`, o.name, micros(k.at)); err != nil {
		return err
	}
	_, err := k.exec(`DELETE FROM owners WHERE id = ?`, o.id)
	return err
}

// CheckPersonName tells whether a person could have this name, with an ErrBadInput that says why not.
func CheckPersonName(name string) error { return checkName("person", name) }

// checkName accepts what is a name (pierhead.IsName). "system" is what the audit log calls the process.
func checkName(kind, name string) error {
	hint := "use lower-case letters, digits and single hyphens between them, at most 63 characters"
	switch {
	case name == "":
		return badInput("a name for the %s is missing", hint, kind)
	case len(name) > pierhead.MaxName:
		return badInput("the name of the %s is longer than %d characters", hint, kind, pierhead.MaxName)
	case name == "system":
		return badInput("%q is a reserved name", "choose another name", name)
	case !pierhead.IsName(name):
		return badInput("%q is not a valid %s name", hint, cut(name), kind)
	}
	return nil
}

// cut shortens what someone typed, for a message.
func cut(text string) string {
	if len(text) > 80 {
		return text[:77] + "..."
	}
	return text
}

// listed is the first few names, for a message that tells what is in the way.
func listed(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// allowedOwners leaves the owners that the caller may do a to, by name.
func allowedOwners(k *call, a access.Action, owners []owner) []owner {
	owners = slices.DeleteFunc(owners, func(o owner) bool { return !k.may(a, o.target("owner")) })
	slices.SortFunc(owners, func(x, y owner) int { return strings.Compare(x.name, y.name) })
	return owners
}
