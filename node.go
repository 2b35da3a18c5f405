package pierhead

import "time"

// A Node is a machine with an agent on it.
type Node struct {
	ID             string // "node_…"
	Name           string
	OrganizationID string // the one it belongs to; empty for the agent inside `pier up`, which serves all
	LastSeenAt     time.Time
	CreatedAt      time.Time
}

// A DataKey is the public half of a data-plane key: what credentials are sealed to.
type DataKey struct {
	ID        string // first 16 hex digits of Fingerprint
	PublicKey string // base64url of the uncompressed P-256 point
	NodeID    string // who published it
	CreatedAt time.Time
}

// A Snapshot is all that a node needs to match references without asking: its organizations' registries.
type Snapshot struct {
	Version       int64  // grows with every change
	URL           string // the server's name in references, "http://127.0.0.1:7070"
	Organizations []OrganizationSnapshot
}

// An OrganizationSnapshot is one organization's part.
type OrganizationSnapshot struct {
	Organization Organization
	Registries   []Registry
}
