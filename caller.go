package pierhead

// A Caller is who asks: made once where a request comes in, and handed to every entry of store and broker.
type Caller struct {
	Name        string          // "alice", "robot:ci", "node:local"; what the audit log says
	PersonID    string          // empty for nodes and robots
	Person      string          // the person's name, likewise
	NodeID      string          // set for a node
	NodeOf      string          // id of the organization that the node belongs to; empty for one that serves all
	NodeVersion string          // of its agent, where that says so
	JoinOf      string          // set for the bearer of a join token, who may do nothing but join this organization
	TokenID     string          // the token that proved all this, or the node's key
	Admin       bool            // of the installation
	ReadOnly    bool            // the token may change nothing
	Memberships map[string]Role // by organization id; a robot has its one organization
}

// RoleIn returns the caller's role in an organization, or "" when it is no member.
func (c Caller) RoleIn(organizationID string) Role { return c.Memberships[organizationID] }

// System is the process itself, at its first start and in its housekeeping.
func System() Caller { return Caller{Name: "system", Admin: true} }
