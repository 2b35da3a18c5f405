package pierhead

// A Caller is who asks: made once where a request comes in, and handed to every entry of store and broker.
type Caller struct {
	Name        string          // "alice", "robot:ci", "node:local"; what the audit log says
	PersonID    string          // empty for nodes and robots
	Person      string          // the person's name, likewise
	NodeID      string          // set for a node
	TokenID     string          // the token that proved all this
	Admin       bool            // of the installation
	ReadOnly    bool            // the token may change nothing
	Memberships map[string]Role // by organization id; a robot has its one organization
}

// RoleIn returns the caller's role in an organization, or "" when it is no member.
func (c Caller) RoleIn(organizationID string) Role { return c.Memberships[organizationID] }

// System is the process itself, at its first start and in its housekeeping.
func System() Caller { return Caller{Name: "system", Admin: true} }
