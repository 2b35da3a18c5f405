package store

import (
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// PutDataKey publishes the public half of the calling node's data-plane key, which credentials are sealed to. The same
// key again changes nothing. Another key of the same node is a rotation: it becomes the one to seal to, and what is
// sealed to the earlier one stays valid. Errors: ErrBadInput for a text that is no key; ErrConflict when another node of
// the organization published another key first: all of its nodes must have the same.
func (s *Store) PutDataKey(ctx context.Context, c pierhead.Caller, key pierhead.DataKey) error {
	return s.change(ctx, c, access.DataKeyPut, "data-plane key "+cut(key.ID), func(k *call) error {
		n, err := k.callingNode(access.DataKeyPut)
		if err != nil {
			return err
		}
		k.entry.OrganizationID = n.organizationID
		if !isDataKey(key) {
			return badInput("the data-plane key is no uncompressed point of P-256 in base64url, or its id is not that of the key", "")
		}
		known, err := k.dataKeys(n.organizationID)
		if err != nil {
			return err
		}
		return k.holdKey(n, known, key)
	})
}

// holdKey makes the node a holder of a key: of one that is known, or of a new one if there is none, or it holds one.
func (k *call) holdKey(n node, known []pierhead.DataKey, key pierhead.DataKey) error {
	held, err := list(k, scanName, `SELECT key_id FROM data_key_holders WHERE node_id = ?`, n.id)
	if err != nil {
		return err
	}
	mine := func(other pierhead.DataKey) bool { return slices.Contains(held, other.ID) }
	isKnown := slices.ContainsFunc(known, func(other pierhead.DataKey) bool { return other.ID == key.ID && other.PublicKey == key.PublicKey })
	switch {
	case isKnown && slices.Contains(held, key.ID):
		k.nothing, k.silent = true, true
		return nil
	case isKnown:
	case len(known) > 0 && !slices.ContainsFunc(known, mine):
		return conflict("another node published the data-plane key %s already", "give this node the same key: pier agent --data-key FILE", known[0].ID)
	default:
		if _, err := k.exec(`INSERT INTO data_keys (id, public_key, node_id, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (id) DO NOTHING`, key.ID, key.PublicKey, n.id, micros(k.at)); err != nil {
			return err
		}
	}
	_, err = k.exec(`INSERT INTO data_key_holders (key_id, node_id) VALUES (?, ?)`, key.ID, n.id)
	return err
}

// DataKey is the key to seal an organization's credentials to: the newest of its nodes', or of a node that serves all.
// Errors: ErrConflict while there is none.
func (s *Store) DataKey(ctx context.Context, c pierhead.Caller, organization string) (pierhead.DataKey, error) {
	var key pierhead.DataKey
	err := s.view(ctx, c, access.DataKeyShow, "data-plane key of "+organization, func(k *call) error {
		o, err := k.organization(access.DataKeyShow, organization)
		if err != nil {
			return err
		}
		keys, err := k.dataKeys(o.id)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return conflict("no agent of %s has published a data-plane key yet", "start an agent first, or keep the login in a secret and name it with --secret", o.name)
		}
		key = keys[0]
		return nil
	})
	return key, err
}

// dataKeys is the keys that nodes of an organization hold, or, when there is none, that those hold which serve all;
// newest first.
func (k *call) dataKeys(organizationID string) ([]pierhead.DataKey, error) {
	const query = `SELECT d.id, d.public_key, d.node_id, d.created_at FROM data_keys d WHERE d.id IN (
			SELECT h.key_id FROM data_key_holders h JOIN nodes n ON n.id = h.node_id WHERE COALESCE(n.organization_id, '') = ?)
		ORDER BY d.created_at DESC, d.id`
	scan := func(row scanner) (key pierhead.DataKey, err error) {
		var created int64
		err = row.Scan(&key.ID, &key.PublicKey, &key.NodeID, &created)
		key.CreatedAt = fromMicros(created)
		return key, err
	}
	keys, err := list(k, scan, query, organizationID)
	if err != nil || len(keys) > 0 || organizationID == "" {
		return keys, err
	}
	return list(k, scan, query, "")
}

// isDataKey tells whether the text is a point of the curve, and the id the first 16 hex digits of its SHA-256.
func isDataKey(key pierhead.DataKey) bool {
	point, err := base64.RawURLEncoding.DecodeString(key.PublicKey)
	if err != nil {
		return false
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return false
	}
	sum := sha256.Sum256(point)
	return key.ID == hex.EncodeToString(sum[:8])
}

func isKeyID(text string) bool {
	return len(text) == 16 && strings.Trim(text, "0123456789abcdef") == ""
}
