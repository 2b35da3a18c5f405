package pierhead

import "time"

// A Node is a machine with an agent on it.
type Node struct {
	ID             string // "node_…"
	Name           string // an organization's nodes have names of their own
	OrganizationID string // the one it belongs to; empty for the agent inside `pier up`, which serves all
	Organization   string // its name
	PublicKey      string // base64url of the Ed25519 key that its tokens are signed with; empty for the agent inside `pier up`
	Version        string // of its agent, as the agent says; empty where it never did
	LastSeenAt     time.Time
	CreatedAt      time.Time
}

// A Join is what an agent says of itself with a join token, to become a node.
type Join struct {
	Name      string // what it shall be called; empty: as the token says
	Hostname  string // its machine's, for a name where neither says one
	PublicKey string // base64url of an Ed25519 key
	Proof     string // a token signed with that key, bound to the join token
	Version   string
}

// A Joined is the answer: who the node is from now on.
type Joined struct {
	Node    Node
	URL     string // the server's name in references, which the node's own tokens are for
	HasData bool   // its organization has a data key already, which this node does not get from here
}

// A Revocation is what the end of a node left behind.
type Revocation struct {
	Node       Node
	Executions []string  // ids of those that it had, which count as lost now
	LostKeys   []LostKey // data keys that nobody else has
}

// A LostKey is a data key whose last holder is gone: what is sealed to it has to be typed in again.
type LostKey struct {
	ID         string
	Registries []string // names of those with a login sealed to it
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
