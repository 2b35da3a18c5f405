package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/resolve"
)

// home is the organization that the node's doors answer for, socket and mirror, with its registries as they are now: the one
// of that name, or where that is empty the first by name. Errors: pierhead.ErrUnreachable before the node ever heard of any,
// and pierhead.ErrNotFound, both with a hint.
func (s *Snapshot) home(ctx context.Context, name string) (pierhead.Organization, *resolve.Table, error) {
	home, table, err := s.wholeHome(ctx, name)
	return home.Organization, table, err
}

// wholeHome is home with all that the snapshot has of the organization.
func (s *Snapshot) wholeHome(ctx context.Context, name string) (home pierhead.OrganizationSnapshot, table *resolve.Table, err error) {
	select {
	case <-s.loaded:
	case <-ctx.Done():
		return home, nil, pierhead.NewProblem(pierhead.ErrUnreachable, "this node has not heard from the control plane yet",
			"the node's operator looks at the way from this node to the control plane")
	}
	current := s.current.Load()
	known := current.snapshot.Organizations
	if len(known) == 0 {
		return home, nil, pierhead.NewProblem(pierhead.ErrNotFound, "this node serves no organization yet", "an administrator makes one: pier org create NAME")
	}
	home = slices.MinFunc(known, func(a, b pierhead.OrganizationSnapshot) int {
		return cmp.Compare(a.Organization.Name, b.Organization.Name)
	})
	if name != "" && name != home.Organization.Name {
		i := slices.IndexFunc(known, func(o pierhead.OrganizationSnapshot) bool { return o.Organization.Name == name })
		if i < 0 {
			return pierhead.OrganizationSnapshot{}, nil, pierhead.NewProblem(pierhead.ErrNotFound, fmt.Sprintf("this node does not serve the organization %s, which its doors are to answer for", name),
				"the node's operator corrects --node-organization")
		}
		home = known[i]
	}
	return home, current.tables[home.Organization.ID], nil
}

// noteHome says in the log for which organization the doors answer, at the start and when that changes.
func (a *Agent) noteHome() {
	if a.Snapshot.current.Load() == nil {
		return
	}
	organization, _, err := a.Snapshot.home(context.Background(), a.Organization)
	name := organization.Name
	if err != nil {
		name = "none: " + err.Error()
	}
	if a.doorsFor == name {
		return
	}
	if a.doorsFor == "" {
		a.Log.Info("the doors of this node answer for one organization", "organization", name)
	} else {
		a.Log.Warn("the doors of this node answer for another organization now", "organization", name, "before", a.doorsFor)
	}
	a.doorsFor = name
}
