package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/audit"
	"pierhead.dev/pierhead/internal/ids"
)

// A call is one use of one method of the store: who asks for what, and the transaction that it happens in. It is the
// one door: access is asked and the audit log written here.
type call struct {
	ctx     context.Context
	tx      *sql.Tx
	store   *Store
	caller  pierhead.Caller
	action  access.Action
	at      time.Time
	entry   audit.Entry // what the log will say; Object and Detail are the method's to fill in; OrganizationID may be a person's here
	silent  bool        // success is not worth an entry
	nothing bool        // nothing changed that a long poll waits for
}

func (s *Store) newCall(ctx context.Context, c pierhead.Caller, a access.Action, object string) *call {
	return &call{
		ctx: ctx, store: s, caller: c, action: a, at: s.stamp(), silent: !access.Audited(a),
		entry: audit.Entry{Action: string(a), Object: object},
	}
}

// change runs f in a writing transaction, together with the audit entry of its success. The first thing f does with
// what it looked up is call.allow. When f fails nothing is changed, and the refusal or failure is logged.
func (s *Store) change(ctx context.Context, c pierhead.Caller, a access.Action, object string, f func(*call) error) error {
	k := s.newCall(ctx, c, a, object)
	err := inTx(ctx, s.write, nil, k, func() error {
		if err := f(k); err != nil || k.silent {
			return err
		}
		return k.log(audit.OK)
	})
	if err != nil {
		return s.fail(k, err)
	}
	if !k.nothing {
		s.changes.send()
	}
	return nil
}

// view runs f in a reading transaction: all that it reads is of one moment. A read that is worth an audit entry gets it
// before the answer goes out.
func (s *Store) view(ctx context.Context, c pierhead.Caller, a access.Action, object string, f func(*call) error) error {
	k := s.newCall(ctx, c, a, object)
	if err := inTx(ctx, s.read, readOnly(), k, func() error { return f(k) }); err != nil {
		return s.fail(k, err)
	}
	if k.silent {
		return nil
	}
	err := inTx(ctx, s.write, nil, k, func() error { return k.log(audit.OK) })
	return wrapAction(k, mapError(err))
}

// fail logs a refusal, or the failure of what would have been logged, and returns the error as callers shall see it. The log's own failure is not told
// instead: nothing was done and nothing was read.
func (s *Store) fail(k *call, err error) error {
	err = mapError(err)
	outcome := audit.Failed
	if k.entry.Outcome == audit.Refused {
		outcome = audit.Refused
	} else if kind := kindOf(err); kind != "" { // never the text: it may repeat what was typed into the wrong field
		k.note("why", kind)
	}
	quiet := outcome == audit.Failed && (!access.Audited(k.action) || errors.Is(err, context.Canceled))
	if !quiet && !errors.Is(err, ErrDiskFull) && !errors.Is(err, ErrDamaged) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), 5*time.Second)
		defer cancel()
		k.ctx = ctx
		_ = inTx(ctx, s.write, nil, k, func() error { return k.log(outcome) })
	}
	return wrapAction(k, err)
}

// wrapAction says what was being done when something went wrong that is not for people.
func wrapAction(k *call, err error) error {
	var problem *pierhead.Problem
	if err == nil || errors.As(err, &problem) {
		return err
	}
	return fmt.Errorf("%s of %s: %w", k.action, k.entry.Object, err)
}

func kindOf(err error) string {
	var problem *pierhead.Problem
	if errors.As(err, &problem) {
		return problem.Kind.Error()
	}
	return "internal error"
}

// inTx runs f with k.tx set, and commits when f returns nil.
func inTx(ctx context.Context, db *sql.DB, o *sql.TxOptions, k *call, f func() error) error {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	k.tx = tx
	if err := f(); err != nil {
		return err
	}
	return tx.Commit()
}

func readOnly() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

// allow asks package access, and remembers a refusal for the log.
func (k *call) allow(a access.Action, t access.Target) error {
	k.entry.OrganizationID = logOf(t)
	err := access.Check(k.caller, a, t)
	if err != nil {
		k.entry.Outcome = audit.Refused
		k.entry.Detail = nil
	}
	return err
}

// logOf is whose part of the audit log an action on t belongs to: the organization's; the person's, for what is in
// personal projects; the installation's (""), for persons themselves and their tokens.
func logOf(t access.Target) string {
	switch {
	case t.Kind == "person":
		return ""
	case t.OrganizationID != "":
		return t.OrganizationID
	case t.Kind == "token":
		return ""
	}
	return t.PersonID
}

// may tells whether allow would, without a trace.
func (k *call) may(a access.Action, t access.Target) bool {
	return access.Check(k.caller, a, t) == nil
}

// note adds to the entry's detail.
func (k *call) note(key, value string) {
	if k.entry.Detail == nil {
		k.entry.Detail = map[string]string{}
	}
	k.entry.Detail[key] = value
}

// log writes the entry.
func (k *call) log(outcome audit.Outcome) error {
	e := k.entry
	e.ID, e.At, e.Caller, e.TokenID, e.Outcome = ids.New("aud"), k.at, k.caller.Name, k.caller.TokenID, outcome
	detail, err := json.Marshal(audit.Clean(e.Detail))
	if err != nil {
		return err
	}
	_, err = k.exec(`INSERT INTO audit (id, at, caller, token_id, action, object, owner_id, outcome, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.ID, micros(e.At), e.Caller, e.TokenID, e.Action, audit.CleanText(e.Object), e.OrganizationID, string(e.Outcome), string(detail))
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// exec runs a statement and returns how many rows it changed.
func (k *call) exec(query string, arguments ...any) (int64, error) {
	result, err := k.tx.ExecContext(k.ctx, query, arguments...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads one row; the error is sql.ErrNoRows when there is none.
func (k *call) row(query string, arguments []any, into ...any) error {
	return k.tx.QueryRowContext(k.ctx, query, arguments...).Scan(into...)
}

// A scanner is *sql.Row or *sql.Rows.
type scanner interface{ Scan(into ...any) error }

// list reads all rows.
func list[T any](k *call, scan func(scanner) (T, error), query string, arguments ...any) ([]T, error) {
	rows, err := k.tx.QueryContext(k.ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// missing turns "no row" into the problem that a hidden thing has too.
func missing(err error, kind, name string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return access.NotFound(kind, audit.CleanText(cut(name))) // people paste tokens where ids belong
	}
	return err
}

func badInput(text, hint string, arguments ...any) error {
	return pierhead.NewProblem(pierhead.ErrBadInput, fmt.Sprintf(text, arguments...), hint)
}

func conflict(text, hint string, arguments ...any) error {
	return pierhead.NewProblem(pierhead.ErrConflict, fmt.Sprintf(text, arguments...), hint)
}
