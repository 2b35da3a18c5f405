package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/audit"
)

var _ audit.Log = (*Store)(nil)

// Record writes an entry about a caller that no other method of the store writes: a login that was refused, a push to
// the hosted registry. It is audit.Log. Errors: ErrBadInput for an entry without action or with an unknown outcome.
func (s *Store) Record(ctx context.Context, c pierhead.Caller, e audit.Entry) error {
	return s.change(ctx, c, access.AuditRecord, "audit log", func(k *call) error {
		k.nothing = true
		if err := k.allow(access.AuditRecord, access.Target{Kind: "the audit log"}); err != nil {
			return err
		}
		if e.Action == "" || e.Outcome != audit.OK && e.Outcome != audit.Refused && e.Outcome != audit.Failed {
			return badInput("an audit entry has no action or an unknown outcome", "")
		}
		k.entry = e
		return k.log(e.Outcome)
	})
}

// Audit reads the audit log, newest first. For an organization its admins may. Without one, everybody gets what they may
// see: their own acts and what was tried in their personal projects, the entries of the organizations that they are admin
// of, and for an administrator those of the installation: persons, their tokens, nodes. Errors: ErrBadInput for an unknown outcome.
func (s *Store) Audit(ctx context.Context, c pierhead.Caller, f audit.Filter) ([]audit.Entry, error) {
	var entries []audit.Entry
	err := s.view(ctx, c, access.AuditList, "audit log", func(k *call) error {
		ranges, err := k.auditRanges(f)
		if err != nil {
			return err
		}
		entries, err = k.newestEntries(ranges, f)
		return err
	})
	return entries, err
}

// auditRanges is the parts of the log that the caller may see, each with an index of its own.
func (k *call) auditRanges(f audit.Filter) ([]keyRange, error) {
	switch f.Outcome {
	case "", audit.OK, audit.Refused, audit.Failed:
	default:
		return nil, badInput("there is no outcome %q", "the outcomes are ok, refused and failed", cut(string(f.Outcome)))
	}
	if f.Organization != "" {
		o, err := k.organization(access.AuditList, f.Organization)
		return []keyRange{{"owner_id", o.id}}, err
	}
	if err := k.allow(access.AuditOwn, installation()); err != nil {
		return nil, err
	}
	var ranges []keyRange
	if k.caller.Memberships == nil || k.caller.PersonID != "" { // robots of two organizations may share a name
		ranges = append(ranges, keyRange{"caller", k.caller.Name})
	}
	if k.caller.PersonID != "" {
		ranges = append(ranges, keyRange{"owner_id", k.caller.PersonID})
	}
	if k.may(access.AuditInstallation, installation()) {
		ranges = append(ranges, keyRange{"owner_id", ""})
	}
	for id := range k.caller.Memberships {
		if k.may(access.AuditList, access.Target{Kind: "organization", OrganizationID: id}) {
			ranges = append(ranges, keyRange{"owner_id", id})
		}
	}
	return ranges, nil
}

// newestEntries reads a page of each range by its index, and merges them.
func (k *call) newestEntries(ranges []keyRange, f audit.Filter) ([]audit.Entry, error) {
	conditions, arguments, err := k.auditConditions(ranges, f)
	if err != nil {
		return nil, err
	}
	n := limit(f.Limit, audit.DefaultLimit, audit.MaxLimit)
	seen := map[int64]bool{} // an own act in an own organization is in two ranges
	var rows []auditRow
	for _, r := range ranges {
		more, err := list(k, scanAudit, `SELECT seq, id, at, caller, token_id, action, object, owner_id, outcome, detail FROM audit WHERE `+
			r.column+` = ?`+conditions+` ORDER BY seq DESC LIMIT ?`, slices.Concat([]any{r.value}, arguments, []any{n})...)
		if err != nil {
			return nil, err
		}
		for _, row := range more {
			if !seen[row.seq] {
				seen[row.seq] = true
				rows = append(rows, row)
			}
		}
	}
	slices.SortFunc(rows, func(x, y auditRow) int { return int(y.seq - x.seq) })
	var entries []audit.Entry
	for _, row := range rows[:min(n, len(rows))] {
		entries = append(entries, row.entry)
	}
	return entries, nil
}

func (k *call) auditConditions(ranges []keyRange, f audit.Filter) (conditions string, arguments []any, err error) {
	add := func(condition string, argument any) {
		conditions, arguments = conditions+` AND `+condition, append(arguments, argument)
	}
	for _, exact := range []struct{ column, value string }{{"caller", f.Caller}, {"object", f.Object}, {"outcome", string(f.Outcome)}} {
		if exact.value != "" {
			add(exact.column+` = ?`, exact.value)
		}
	}
	switch {
	case strings.HasSuffix(f.Action, "."):
		add(`action LIKE ? ESCAPE '\'`, likePrefix(f.Action))
	case f.Action != "":
		add(`action = ?`, f.Action)
	}
	if !f.Since.IsZero() {
		add(`at >= ?`, micros(f.Since))
	}
	if !f.Until.IsZero() {
		add(`at < ?`, micros(f.Until))
	}
	if f.Before != "" {
		var or []string
		var values []any
		for _, r := range ranges {
			or, values = append(or, r.column+` = ?`), append(values, r.value)
		}
		seq, err := k.seqOf("audit", "audit entry", f.Before, strings.Join(or, ` OR `), values...)
		if err != nil {
			return "", nil, err
		}
		add(`seq < ?`, seq)
	}
	return conditions, arguments, nil
}

type auditRow struct {
	seq   int64
	entry audit.Entry
}

func scanAudit(row scanner) (auditRow, error) {
	var r auditRow
	var at int64
	var detail string
	e := &r.entry
	if err := row.Scan(&r.seq, &e.ID, &at, &e.Caller, &e.TokenID, &e.Action, &e.Object, &e.OrganizationID, &e.Outcome, &detail); err != nil {
		return r, err
	}
	if e.At = fromMicros(at); strings.HasPrefix(e.OrganizationID, "person_") {
		e.OrganizationID = ""
	}
	if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
		return r, fmt.Errorf("detail of audit entry %s: %w", e.ID, err)
	}
	return r, nil
}
