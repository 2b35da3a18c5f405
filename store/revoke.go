package store

import (
	"context"
	"fmt"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// RevokeNode ends a node at once: its key counts for nothing any more, its open polls end, its executions count as failed,
// and its name is free. The answer says what was lost with it. Errors: ErrConflict for the node inside `pier up`.
func (s *Store) RevokeNode(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.Revocation, error) {
	var revocation pierhead.Revocation
	err := s.change(ctx, c, access.NodeRevoke, "node "+organization+"/"+name, func(k *call) error {
		o, n, err := k.organizationNode(access.NodeRevoke, organization, name)
		if err != nil {
			return err
		}
		if n.organizationID == "" {
			return conflict("the node %s is part of pier up and serves all organizations", "it ends with that process", n.shown())
		}
		revocation.Node = n.noun()
		if revocation.Executions, err = k.loseExecutions(n); err != nil {
			return err
		}
		if revocation.LostKeys, err = k.loseKeys(o, n); err != nil {
			return err
		}
		if _, err := k.exec(`UPDATE nodes SET revoked_at = ?, name = name || '/' || id WHERE id = ?`, micros(k.at), n.id); err != nil {
			return err
		}
		_, err = k.exec(`DELETE FROM tokens WHERE node_id = ?`, n.id)
		k.note("node", n.id)
		k.note("executions", strings.Join(revocation.Executions, " "))
		return err
	})
	if err != nil {
		return pierhead.Revocation{}, err
	}
	return revocation, nil
}

// loseExecutions ends those that the node has. Those that it was given and did not acknowledge are ended too: nobody knows
// whether they run.
func (k *call) loseExecutions(n node) ([]string, error) {
	rows, err := list(k, scanExecution, `SELECT `+executionColumns+` WHERE e.node_id = ? AND `+unfinished+` ORDER BY e.seq`, n.id)
	if err != nil {
		return nil, err
	}
	var lost []string
	for _, x := range rows {
		x.noun.Progress, err = advance(x.noun.Progress, pierhead.Progress{State: pierhead.ExecutionFailed,
			Reason: fmt.Sprintf("the node %s was revoked while it had this execution; what became of it there is not known", n.shown()), Hint: "run the step again"}, k.at)
		if err == nil {
			err = k.putProgress(x)
		}
		if err != nil {
			return nil, err
		}
		lost = append(lost, x.noun.ID)
	}
	return lost, nil
}

// loseKeys takes the node off the holders of its keys, and tells which have none left.
func (k *call) loseKeys(o owner, n node) ([]pierhead.LostKey, error) {
	held, err := list(k, scanName, `SELECT key_id FROM data_key_holders WHERE node_id = ? ORDER BY key_id`, n.id)
	if err != nil {
		return nil, err
	}
	if _, err := k.exec(`DELETE FROM data_key_holders WHERE node_id = ?`, n.id); err != nil {
		return nil, err
	}
	registries, err := k.registries(o)
	if err != nil {
		return nil, err
	}
	var lost []pierhead.LostKey
	for _, id := range held {
		var others int
		if err := k.row(`SELECT COUNT(*) FROM data_key_holders WHERE key_id = ?`, []any{id}, &others); err != nil {
			return nil, err
		}
		if others > 0 {
			continue
		}
		key := pierhead.LostKey{ID: id}
		for _, r := range registries {
			if sealedKeyID(r.Credential.Sealed) == id {
				key.Registries = append(key.Registries, r.Name)
			}
		}
		lost = append(lost, key)
		k.note("lost data key "+id, strings.Join(key.Registries, " "))
	}
	return lost, nil
}
