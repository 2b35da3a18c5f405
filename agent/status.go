package agent

import (
	"context"
	"os"
	"sync"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

// maxHosts bounds what `docker-credential-pier list` is told.
const maxHosts = 10_000

// hosts lists the hosts for which the Docker door would lend a credential, without asking anybody for one.
func (a *Agent) hosts(ctx context.Context, _ doors.Ask) (doors.Hosts, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, doors.DockerWithin)
	defer cancel()
	organization, table, err := a.Snapshot.home(ctx, a.Organization)
	if err != nil {
		return doors.Hosts{}, refused(err)
	}
	list := doors.Hosts{Hosts: map[string]string{}}
	for _, host := range table.LiteralHosts() {
		if len(list.Hosts) == maxHosts {
			break
		}
		reference, err := image.OfHost(host)
		if err == nil && a.Broker.MayLend(table, broker.Question{OrganizationID: organization.ID, Reference: reference, Door: doors.Docker}) {
			list.Hosts[host] = ""
		}
	}
	return list, nil
}

// status tells how the node is.
func (a *Agent) status(ctx context.Context, _ doors.Ask) (doors.Status, *refusal) {
	s := doors.Status{Node: a.Name, Version: a.Version, Server: a.Snapshot.URL(), SnapshotAge: -1, Mirror: a.mirror.Address(), Waiting: a.events.waiting(), Troubles: a.troubles.newest()}
	if a.Snapshot.current.Load() != nil {
		organization, _, err := a.Snapshot.home(ctx, a.Organization)
		if s.Organization = organization.Name; err != nil {
			s.Troubles = append([]doors.Trouble{{At: a.now(), Reason: err.Error(), Hint: pierhead.HintOf(err)}}, s.Troubles...)
		}
	}
	s.LastContactAt, s.SnapshotAge = a.contact()
	return s, nil
}

// heard is when the control plane was last heard of.
type heard struct {
	mu                 sync.Mutex
	last, confirmation time.Time // of anything; of the snapshot
}

// kept begins with when the snapshot on disk was written.
func (h *heard) kept(s *Snapshot) {
	if s.current.Load() == nil {
		return
	}
	if info, err := os.Stat(s.path); err == nil {
		h.confirmation = info.ModTime()
	}
}

func (h *heard) contact(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = at
}

// hearing is ask, with a note of when it was answered: a snapshot is confirmed also by the answer that there is no newer
// one.
func (a *Agent) hearing(ask askSnapshot) askSnapshot {
	return func(ctx context.Context, after int64, wait time.Duration) (pierhead.Snapshot, bool, error) {
		snapshot, ok, err := ask(ctx, after, wait)
		if err == nil {
			a.heard.mu.Lock()
			defer a.heard.mu.Unlock()
			a.heard.last = a.now()
			a.heard.confirmation = a.heard.last
		}
		return snapshot, ok, err
	}
}

type askSnapshot = func(ctx context.Context, after int64, wait time.Duration) (snapshot pierhead.Snapshot, ok bool, err error)

// contact is when the control plane was last heard of, and how many seconds ago it confirmed the snapshot; -1 without one.
func (a *Agent) contact() (last time.Time, age int64) {
	a.heard.mu.Lock()
	defer a.heard.mu.Unlock()
	if a.Snapshot.current.Load() == nil || a.heard.confirmation.IsZero() {
		return a.heard.last, -1
	}
	return a.heard.last, int64(max(a.now().Sub(a.heard.confirmation), 0).Seconds())
}

// waiting is how many events are not delivered yet.
func (s *Spool) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names)
}
