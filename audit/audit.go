// Package audit is the append-only log of who did what. The store writes it, in the same transaction as what was done;
// nothing changes or deletes an entry.
package audit

import (
	"context"
	"time"

	"pierhead.dev/pierhead"
)

// An Outcome says how an action ended.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // the caller may not do it, or may not know of what it was to be done to
	Failed  Outcome = "failed"  // allowed, but it could not be done; nothing changed
)

// An Entry is one action of one caller.
type Entry struct {
	ID             string // "aud_…"
	At             time.Time
	Caller         string            // the caller's name: "alice", "robot:ci", "node:local", "system"
	TokenID        string            // the token that the caller used; empty for the process itself
	Action         string            // "registry.create": the words of package access
	Object         string            // "registry acme/azure-ml"
	OrganizationID string            // whose log it belongs to; empty for the installation and personal projects
	Outcome        Outcome           // how it ended
	Detail         map[string]string // what else is worth knowing; never a secret, see Clean
}

// A Filter chooses entries; zero fields choose all. Entries come newest first.
type Filter struct {
	Organization string // name: that organization's entries only; empty: all that the caller may see
	Caller       string // exact
	Action       string // exact, or a noun with its dot: "registry."
	Object       string // exact
	Outcome      Outcome
	Since, Until time.Time // Since inclusive, Until exclusive
	Before       string    // an entry's ID: those older than it, for the next page
	Limit        int       // 0 means DefaultLimit; more than MaxLimit means MaxLimit
}

// Limits of one page of entries.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// A Log takes entries about a caller. ID, At, Caller and TokenID are filled in from c and the clock; Detail is cleaned.
// Errors: only those of the place where the log is kept; then what was to be logged must not be done.
type Log interface {
	Record(ctx context.Context, c pierhead.Caller, e Entry) error
}
