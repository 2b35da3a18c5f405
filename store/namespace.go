package store

import (
	"context"
	"errors"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// NamespaceActions tells the token service of the hosted registry which of "pull", "push" and "delete" the caller may
// do in the repositories "<namespace>/…", where namespace is an organization's or a person's name. A namespace that is
// not there and one that the caller may not see give the same: nothing, and no error. The zero Caller has nothing
// anywhere. Nothing is audited: it is asked before every pull; what a granted push did is the registry's to log.
func (s *Store) NamespaceActions(ctx context.Context, c pierhead.Caller, namespace string) ([]string, error) {
	if c.Name == "" {
		return nil, nil
	}
	var actions []string
	k := s.newCall(ctx, c, access.RepositoryPull, "namespace "+cut(namespace))
	err := inTx(ctx, s.read, readOnly(), k, func() error {
		o, err := k.owner("namespace", namespace)
		if err != nil {
			return err
		}
		target, err := k.servedTarget(o, "namespace")
		if err != nil {
			return err
		}
		for _, right := range []struct {
			name   string
			action access.Action
		}{{"pull", access.RepositoryPull}, {"push", access.RepositoryPush}, {"delete", access.RepositoryDelete}} {
			if k.may(right.action, target) {
				actions = append(actions, right.name)
			}
		}
		return nil
	})
	if errors.Is(err, pierhead.ErrNotFound) {
		return nil, nil
	}
	return actions, wrapAction(k, mapError(err))
}
