package store

import (
	"context"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// GrantedNode is the calling node, for a grant to pull from the hosted registry what its organization has there. Errors:
// ErrConflict for the node inside `pier up`, which has no key that a grant could be made to, and needs none.
func (s *Store) GrantedNode(ctx context.Context, c pierhead.Caller) (pierhead.Node, error) {
	var found node
	err := s.view(ctx, c, access.GrantTake, nodeObject(c), func(k *call) (err error) {
		if found, err = k.callingNode(access.GrantTake); err == nil && found.publicKey == "" {
			err = conflict("the node %s has no key of its own", "it logs in to the hosted registry with its token", found.shown())
		}
		return err
	})
	if err != nil {
		return pierhead.Node{}, err
	}
	return found.noun(), nil
}

// NodeRevoked tells whether a node is none any more, for those who see what it signed and nothing else; one that never was
// counts as revoked. Only the process itself may ask.
func (s *Store) NodeRevoked(ctx context.Context, c pierhead.Caller, id string) (bool, error) {
	var live int
	err := s.view(ctx, c, access.NodeEnsure, "node "+cut(id), func(k *call) error {
		k.silent = true
		if err := k.allow(access.NodeEnsure, installation()); err != nil {
			return err
		}
		return k.row(`SELECT COUNT(*) FROM nodes WHERE id = ? AND revoked_at = 0`, []any{id}, &live)
	})
	return live == 0, err
}
