package store

import (
	"context"
	"database/sql"
	"errors"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// bootstrapToken is the name of the token that Bootstrap makes.
const bootstrapToken = "first start"

// Bootstrap makes the first person, an administrator of that name, and a token for it. created tells whether tokenText
// is a fresh token that the caller has to put where the person finds it. On later starts it is false and the
// administrator who was there first is returned, unless that first token was never used: then the text may have been
// lost in a crash before it was put anywhere, and a fresh one replaces it. Errors: ErrBadInput for a bad name.
func (s *Store) Bootstrap(ctx context.Context, adminName string) (p pierhead.Person, tokenText string, created bool, err error) {
	first, waiting, err := s.firstAdministrator(ctx)
	if err != nil {
		return p, "", false, mapError(err)
	}
	if first.id != "" && !waiting {
		return first.toPerson(), "", false, nil
	}
	err = s.change(ctx, pierhead.System(), access.PersonCreate, "first administrator", func(k *call) error {
		if err := k.allow(access.PersonCreate, installation()); err != nil {
			return err
		}
		if first.id == "" {
			first = owner{id: ids.New("person"), name: adminName, person: true, admin: true, created: micros(k.at)}
			if err := k.insertOwner(first, "person"); err != nil {
				return err
			}
		}
		k.entry.Object = "person " + first.name
		k.note("admin", "true")
		if _, err := k.exec(`DELETE FROM tokens WHERE person_id = ? AND name = ?`, first.id, bootstrapToken); err != nil {
			return err
		}
		tokenText, err = k.insertToken(pierhead.Token{ID: ids.New("tok"), Kind: pierhead.TokenPerson, Name: bootstrapToken, PersonID: first.id, CreatedAt: k.at})
		return err
	})
	if err != nil {
		return p, "", false, err
	}
	return first.toPerson(), tokenText, true, nil
}

// firstAdministrator finds the oldest administrator, and whether the token of the first start still waits for its first
// use. An installation whose persons were all deleted cannot be: the last administrator stays.
func (s *Store) firstAdministrator(ctx context.Context) (first owner, waiting bool, err error) {
	first, err = scanOwner(s.read.QueryRowContext(ctx, `SELECT `+ownerColumns+` FROM owners WHERE kind = 'person' AND admin <> 0 ORDER BY created_at, id LIMIT 1`))
	if errors.Is(err, sql.ErrNoRows) {
		return owner{}, false, nil
	} else if err != nil {
		return owner{}, false, err
	}
	var unused int
	err = s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM tokens WHERE person_id = ? AND kind = 'pat' AND name = ? AND last_used_at = 0`,
		first.id, bootstrapToken).Scan(&unused)
	return first, unused > 0, err
}
