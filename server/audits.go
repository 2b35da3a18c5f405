package server

import (
	"context"
	"net/http"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
	"pierhead.dev/pierhead/audit"
)

// AuditLog is what the route of the audit log needs.
type AuditLog interface {
	// Audit lists entries, newest first. Errors: pierhead.ErrNotFound, ErrNotAllowed, ErrBadInput.
	Audit(ctx context.Context, c pierhead.Caller, f audit.Filter) ([]audit.Entry, error)
	// Record writes an entry about a caller that no other method of the store writes.
	Record(ctx context.Context, c pierhead.Caller, e audit.Entry) error
}

type listAudit struct {
	Organization string    `query:"organization" doc:"Only this organization's entries; absent: all that the caller may see."`
	Caller       string    `query:"caller"`
	Action       string    `query:"action" doc:"Exact, or a noun with its dot: registry."`
	Object       string    `query:"object"`
	Outcome      string    `query:"outcome" doc:"ok, refused or failed."`
	Since        time.Time `query:"since" doc:"Inclusive."`
	Until        time.Time `query:"until" doc:"Exclusive."`
	Before       string    `query:"before" doc:"An entry's id: only those older than it."`
	Limit        int       `query:"limit" doc:"At most so many; 0 is 100, and 1000 is the most."`
}

func (s *Server) auditRoutes() {
	handle(s, operation{id: "list-audit", method: http.MethodGet, path: "/audit", tag: "audit", summary: "Read the audit log, newest first"},
		func(ctx context.Context, c pierhead.Caller, in listAudit) (api.AuditList, error) {
			entries, err := s.config.Store.Audit(ctx, c, audit.Filter{
				Organization: in.Organization, Caller: in.Caller, Action: in.Action, Object: in.Object, Outcome: audit.Outcome(in.Outcome),
				Since: in.Since, Until: in.Until, Before: in.Before, Limit: in.Limit,
			})
			list := api.AuditList{Entries: make([]api.AuditEntry, 0, len(entries))}
			for _, e := range entries {
				list.Entries = append(list.Entries, auditEntry(e))
			}
			return list, err
		})
}

func auditEntry(e audit.Entry) api.AuditEntry {
	return api.AuditEntry{
		ID: e.ID, At: e.At, Caller: e.Caller, TokenID: e.TokenID, Action: e.Action, Object: e.Object,
		OrganizationID: e.OrganizationID, Outcome: string(e.Outcome), Detail: e.Detail,
	}
}
