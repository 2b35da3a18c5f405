package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/audit"
)

// Bounds of events.
const (
	maxEvents    = 1000 // of one delivery
	maxEventText = 4096 // bytes of one field
)

// DeliverEvents takes events from the calling node. One that was delivered before is passed over, so a repeated
// delivery is harmless; so is one of an execution or organization that is no longer there. Errors: ErrBadInput for
// events without ID, kind or time and for more than 1000 at once; ErrNotFound for another node's execution or an
// organization that the node does not serve. Then none is taken.
func (s *Store) DeliverEvents(ctx context.Context, c pierhead.Caller, events []pierhead.Event) error {
	return s.change(ctx, c, access.EventDeliver, nodeObject(c), func(k *call) error {
		k.silent = true // events are a log of their own
		n, err := k.callingNode(access.EventDeliver)
		if err != nil {
			return err
		}
		if len(events) > maxEvents {
			return badInput("more than %d events at once", "", maxEvents)
		}
		taken := int64(0)
		for _, e := range events {
			inserted, err := k.insertEvent(n, e)
			if err != nil {
				return err
			}
			taken += inserted
		}
		k.nothing = taken == 0
		return nil
	})
}

func (k *call) insertEvent(n node, e pierhead.Event) (int64, error) {
	if e.ID == "" || len(e.ID) > 100 || e.Kind == "" || len(e.Kind) > 100 || e.At.IsZero() {
		return 0, badInput("an event has no id, kind or time, or a long one", "")
	}
	organization, gone, err := k.eventOrganization(n, e)
	if err != nil || gone {
		return 0, err
	}
	detail, err := json.Marshal(audit.Clean(e.Detail))
	if err != nil {
		return 0, err
	}
	if len(detail) > maxSpec {
		return 0, badInput("the detail of an event is longer than %d KiB", "", maxSpec>>10)
	}
	return k.exec(`INSERT INTO events (id, node_id, at, organization_id, kind, execution_id, image, registry, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`, e.ID, n.id, micros(e.At), nullable(organization), e.Kind, e.ExecutionID,
		cutBytes(e.Image, maxEventText), cutBytes(e.Registry, maxEventText), string(detail))
}

// eventOrganization is whose event it is: an execution's owner, whatever the node says, else what the node says and
// serves.
func (k *call) eventOrganization(n node, e pierhead.Event) (organization string, gone bool, err error) {
	if e.ExecutionID != "" {
		x, err := k.execution(e.ExecutionID)
		if errors.Is(err, pierhead.ErrNotFound) {
			return "", true, nil
		} else if err != nil {
			return "", false, err
		}
		return x.noun.OrganizationID, false, k.allow(access.ExecutionReport, x.target())
	}
	if !n.serves(e.OrganizationID) {
		return "", false, access.NotFound("organization", e.OrganizationID)
	}
	if e.OrganizationID == "" {
		return "", false, nil
	}
	var there int
	err = k.row(`SELECT COUNT(*) FROM owners WHERE id = ? AND kind = 'organization'`, []any{e.OrganizationID}, &there)
	return e.OrganizationID, there == 0, err
}

// An EventFilter chooses events, newest first. One of Organization and ExecutionID is needed.
type EventFilter struct {
	Organization string // name; for its admins
	ExecutionID  string // for whoever may see the execution
	Kind         string // exact
	Registry     string // exact
	Limit        int    // 0 means DefaultLimit; more than MaxLimit means MaxLimit
	Before       string // an event's ID: those older than it, for the next page
}

// Events lists events. Errors: ErrBadInput when neither an organization nor an execution is named.
func (s *Store) Events(ctx context.Context, c pierhead.Caller, f EventFilter) ([]pierhead.Event, error) {
	var events []pierhead.Event
	err := s.view(ctx, c, access.EventList, "events of "+f.Organization+f.ExecutionID, func(k *call) error {
		where, argument, err := k.eventRange(f)
		if err != nil {
			return err
		}
		query, arguments := `SELECT id, at, COALESCE(organization_id, ''), kind, execution_id, image, registry, detail FROM events WHERE `+where, []any{argument}
		if f.Before != "" {
			seq, err := k.seqOf("events", "event", f.Before, where, argument)
			if err != nil {
				return err
			}
			query, arguments = query+` AND seq < ?`, append(arguments, seq)
		}
		for _, exact := range []struct{ column, value string }{{"kind", f.Kind}, {"registry", f.Registry}} {
			if exact.value != "" {
				query, arguments = query+` AND `+exact.column+` = ?`, append(arguments, exact.value)
			}
		}
		events, err = list(k, scanEvent, query+` ORDER BY seq DESC LIMIT ?`, append(arguments, limit(f.Limit, DefaultLimit, MaxLimit))...)
		return err
	})
	return events, err
}

func (k *call) eventRange(f EventFilter) (where, argument string, err error) {
	switch {
	case f.ExecutionID != "":
		x, err := k.allowedExecution(access.ExecutionShow, f.ExecutionID)
		return `execution_id = ?`, x.noun.ID, err
	case f.Organization != "":
		o, err := k.organization(access.EventList, f.Organization)
		return `organization_id = ?`, o.id, err
	}
	return "", "", badInput("events are listed of an organization or an execution", "name one")
}

// seqOf is the place of the row that the last page ended with, among those that the caller sees.
func (k *call) seqOf(table, kind, id, where string, arguments ...any) (int64, error) {
	var seq int64
	err := k.row(`SELECT seq FROM `+table+` WHERE id = ? AND (`+where+`)`, slices.Concat([]any{id}, arguments), &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, access.NotFound(kind, cut(id))
	}
	return seq, err
}

func scanEvent(row scanner) (pierhead.Event, error) {
	var e pierhead.Event
	var at int64
	var detail string
	if err := row.Scan(&e.ID, &at, &e.OrganizationID, &e.Kind, &e.ExecutionID, &e.Image, &e.Registry, &detail); err != nil {
		return e, err
	}
	e.At = fromMicros(at)
	if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
		return e, fmt.Errorf("detail of event %s: %w", e.ID, err)
	}
	return e, nil
}
