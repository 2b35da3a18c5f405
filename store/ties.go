package store

import (
	"fmt"
	"slices"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/resolve"
)

// checkTies refuses a registry between which and another enabled one of the organization nothing would decide for some
// image. Ties among the others are not this registry's fault: a change of the server's URL can make one.
func (k *call) checkTies(o owner, r pierhead.Registry) error {
	if !r.Enabled {
		return nil // it is looked at when somebody enables it
	}
	all, err := k.registries(o)
	if err != nil {
		return err
	}
	all = append(slices.DeleteFunc(all, func(other pierhead.Registry) bool { return other.ID == r.ID }), r)
	conflicts, err := resolve.Conflicts(all)
	if err != nil {
		return fmt.Errorf("registries of %s: %w", o.name, err)
	}
	for _, c := range conflicts {
		if c.A.Registry.ID == r.ID || c.B.Registry.ID == r.ID {
			return conflict("match: %v", "make one of the patterns more specific, or limit the registries to different projects", c)
		}
	}
	return checkHelpers(o, r, all)
}

// checkHelpers refuses a second registry whose login would be lent for the whole of one host.
func checkHelpers(o owner, r pierhead.Registry, all []pierhead.Registry) error {
	if r.Helper == "" {
		return nil
	}
	table, err := resolve.Compile(slices.DeleteFunc(all, func(other pierhead.Registry) bool { return other.Helper == "" }))
	if err != nil {
		return fmt.Errorf("registries of %s: %w", o.name, err)
	}
	for _, host := range table.LiteralHosts() {
		opted := table.AtHost(resolve.Question{Host: host})
		if len(opted) < 2 || !slices.ContainsFunc(opted, func(c resolve.Candidate) bool { return c.Registry.ID == r.ID }) {
			continue
		}
		other := opted[0].Registry
		if other.ID == r.ID {
			other = opted[1].Registry
		}
		return conflict("helper: registry %s is the one whose login is lent for all of %s", "an organization admin takes it out there first: pier registry update "+other.Name+" --helper ''", other.Name, host)
	}
	return nil
}
