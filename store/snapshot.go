package store

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
)

// Snapshot is all registries that the calling node needs to match references by itself: of its organization, or of all.
// Disabled ones are in it, so that it can say why they were passed over. Version grows with every change, and when the
// server's URL changed. It is cheap to ask again: callers share the answer and must not change it.
func (s *Store) Snapshot(ctx context.Context, c pierhead.Caller) (pierhead.Snapshot, error) {
	var snapshot pierhead.Snapshot
	var n node
	err := s.view(ctx, c, access.SnapshotShow, "snapshot for "+c.Name, func(k *call) (err error) {
		if n, err = k.callingNode(access.SnapshotShow); err != nil {
			return err
		}
		var version int64
		if err := k.row(`SELECT version FROM snapshot`, nil, &version); err != nil {
			return err
		}
		var known bool
		if snapshot, known = s.snapshots.get(n.organizationID, version); known {
			return nil
		}
		if snapshot, err = k.buildSnapshot(n, version); err != nil {
			return err
		}
		s.snapshots.put(n.organizationID, snapshot)
		return nil
	})
	if err != nil {
		return pierhead.Snapshot{}, err
	}
	s.noteSeen(ctx, c, n, s.stamp())
	return snapshot, nil
}

func (k *call) buildSnapshot(n node, version int64) (pierhead.Snapshot, error) {
	snapshot := pierhead.Snapshot{Version: version, URL: k.store.hosted.url}
	organizations, err := list(k, scanOwner, `SELECT `+ownerColumns+` FROM owners WHERE kind = 'organization' ORDER BY name`)
	if err != nil {
		return snapshot, err
	}
	for _, o := range slices.DeleteFunc(organizations, func(o owner) bool { return !n.serves(o.id) }) {
		registries, err := k.registries(o)
		if err != nil {
			return snapshot, fmt.Errorf("registries of %s: %w", o.name, err)
		}
		snapshot.Organizations = append(snapshot.Organizations, pierhead.OrganizationSnapshot{Organization: o.toOrganization(), Registries: registries})
	}
	return snapshot, nil
}

// snapshotChanged numbers a change of what snapshots are made of, in the change's own transaction.
func (k *call) snapshotChanged() error {
	_, err := k.exec(`UPDATE snapshot SET version = version + 1`)
	return err
}

// noteURL numbers the change of the server's URL, from which the hosted registry's host comes.
func (s *Store) noteURL(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, `UPDATE snapshot SET version = version + 1, url = ? WHERE url <> ?`, s.hosted.url, s.hosted.url)
	return err
}

// A snapshotCache has the last snapshot of each organization, and of all under "". Nodes ask at every change of
// anything, and few changes are of registries.
type snapshotCache struct {
	mu   sync.Mutex
	last map[string]pierhead.Snapshot
}

func (c *snapshotCache) get(organizationID string, version int64) (pierhead.Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	snapshot, known := c.last[organizationID]
	return snapshot, known && snapshot.Version == version
}

func (c *snapshotCache) put(organizationID string, snapshot pierhead.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[string]pierhead.Snapshot{}
	}
	if c.last[organizationID].Version < snapshot.Version {
		c.last[organizationID] = snapshot
	}
}
