package pierhead

import "time"

// An Event is something that happened on a node and that people look for later. Nodes spool events on disk
// and deliver each once; the ID is theirs.
type Event struct {
	ID             string // unique; a second delivery is ignored
	At             time.Time
	OrganizationID string // empty in a personal project
	Kind           string // "credential.used", "pull.anonymous", "pull.failed", …
	ExecutionID    string
	Image          string
	Registry       string            // name
	Detail         map[string]string // never secret
}
