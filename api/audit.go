package api

import "time"

// An AuditEntry is one action of one caller.
type AuditEntry struct {
	ID             string            `json:"id"`
	At             time.Time         `json:"at"`
	Caller         string            `json:"caller" doc:"alice, robot:ci, node:local or system."`
	TokenID        string            `json:"token_id,omitempty" doc:"The token that the caller used."`
	Action         string            `json:"action" doc:"<noun>.<verb>."`
	Object         string            `json:"object"`
	OrganizationID string            `json:"organization_id,omitempty" doc:"Whose log it belongs to; empty for the installation and personal projects."`
	Outcome        string            `json:"outcome" doc:"ok, refused or failed."`
	Detail         map[string]string `json:"detail,omitempty"`
}

// An AuditList is the answer to GET /audit, newest first.
type AuditList struct {
	Entries []AuditEntry `json:"entries"`
}
