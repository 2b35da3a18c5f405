package store

import (
	"context"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/secret"
)

// maxAllowed is how many prefixes one owner may have.
const maxAllowed = 1000

// AllowSecret lets an organization's members, or a person in personal projects, name secrets under a prefix. To allow what
// is allowed is no error. For organizations it takes their admin, for persons an administrator of the installation.
func (s *Store) AllowSecret(ctx context.Context, c pierhead.Caller, ownerName, prefix string) error {
	return s.change(ctx, c, access.SecretAllow, "allowed secrets of "+ownerName, func(k *call) error {
		o, err := k.secretOwner(access.SecretAllow, ownerName)
		if err != nil {
			return err
		}
		if prefix, err = checkPrefix(prefix); err != nil {
			return err
		}
		var n int
		if err := k.row(`SELECT COUNT(*) FROM allowed_secrets WHERE owner_id = ?`, []any{o.id}, &n); err != nil {
			return err
		}
		if n >= maxAllowed {
			return conflict("%s has %d allowed prefixes, which is the most", "take some away, or allow a shorter one", o.name, n)
		}
		k.note("prefix", prefix)
		_, err = k.exec(`INSERT INTO allowed_secrets (owner_id, prefix, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, o.id, prefix, micros(k.at))
		return err
	})
}

// DisallowSecret takes a prefix away. Errors: ErrNotFound when it is not allowed.
func (s *Store) DisallowSecret(ctx context.Context, c pierhead.Caller, ownerName, prefix string) error {
	return s.change(ctx, c, access.SecretAllow, "allowed secrets of "+ownerName, func(k *call) error {
		o, err := k.secretOwner(access.SecretAllow, ownerName)
		if err != nil {
			return err
		}
		n, err := k.exec(`DELETE FROM allowed_secrets WHERE owner_id = ? AND prefix = ?`, o.id, strings.TrimRight(prefix, "/:"))
		if err == nil && n == 0 {
			return pierhead.NewProblem(pierhead.ErrNotFound, "that prefix is not among the allowed ones of "+o.name, "see them: pier secret list")
		}
		return err
	})
}

// AllowedSecrets lists the prefixes, sorted, for whoever they are for.
func (s *Store) AllowedSecrets(ctx context.Context, c pierhead.Caller, ownerName string) ([]string, error) {
	var prefixes []string
	err := s.view(ctx, c, access.SecretList, "allowed secrets of "+ownerName, func(k *call) error {
		o, err := k.secretOwner(access.SecretList, ownerName)
		if err != nil {
			return err
		}
		prefixes, err = k.allowedSecrets(o)
		return err
	})
	return prefixes, err
}

func (k *call) secretOwner(a access.Action, name string) (owner, error) {
	o, err := k.owner("owner", name)
	if err != nil {
		return o, err
	}
	return o, k.allow(a, o.target("owner"))
}

func (k *call) allowedSecrets(o owner) ([]string, error) {
	return list(k, scanName, `SELECT prefix FROM allowed_secrets WHERE owner_id = ? ORDER BY prefix`, o.id)
}

// checkPrefix wants the beginning of a reference, without a separator at its end. The message does not repeat it.
func checkPrefix(text string) (string, error) {
	const hint = "write the beginning of a secret reference, up to the end of a segment: arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-a, or vault:secret/team-a"
	trimmed := strings.TrimRight(text, "/:")
	scheme, _, _ := strings.Cut(trimmed, ":")
	if len(text) > secret.MaxRef || !knownScheme(scheme) {
		return "", badInput("that is no beginning of a secret reference", hint)
	}
	if _, err := secret.Parse(scheme + ":" + strings.TrimPrefix(strings.TrimPrefix(trimmed, scheme), ":") + "/x"); err != nil || access.NameOfSecret(trimmed) == nil {
		return "", badInput("that is no beginning of a secret reference", hint)
	}
	return trimmed, nil
}

// checkLoginSecret sees that an execution's registry_login_secret is a reference that whoever runs it may name: an admin of
// the organization any, everybody else what an admin allowed.
func (k *call) checkLoginSecret(p project, text string) error {
	if text == "" {
		return nil
	}
	if err := checkSecret(text); err != nil {
		return err
	}
	if !p.owner.person && k.caller.RoleIn(p.owner.id) == pierhead.RoleAdmin {
		return nil
	}
	prefixes, err := k.allowedSecrets(p.owner)
	if err != nil {
		return err
	}
	return access.MayName(k.caller, text, prefixes, p.owner.name, p.owner.person)
}
