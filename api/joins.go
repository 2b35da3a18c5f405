package api

import (
	"time"

	"pierhead.dev/pierhead"
)

// A Node is a machine with an agent on it.
type Node struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Organization string     `json:"organization,omitempty" doc:"The one it belongs to; absent for the agent inside pier up, which serves all."`
	Version      string     `json:"version,omitempty" doc:"Of its agent, as the agent says."`
	LastSeenAt   *time.Time `json:"last_seen_at,omitempty" doc:"To the minute; absent: never."`
	CreatedAt    time.Time  `json:"created_at"`
}

// NodeOf converts the noun.
func NodeOf(n pierhead.Node) Node {
	return Node{ID: n.ID, Name: n.Name, Organization: n.Organization, Version: n.Version, LastSeenAt: timeOf(n.LastSeenAt), CreatedAt: n.CreatedAt}
}

// A NodeList is the answer to GET /organizations/{organization}/nodes.
type NodeList struct {
	Nodes []Node `json:"nodes"`
}

// NodesOf converts a list.
func NodesOf(list []pierhead.Node) NodeList { return NodeList{mapped(list, NodeOf)} }

// A NewJoinToken is what a join token is made from.
type NewJoinToken struct {
	Name      string     `json:"name,omitempty" doc:"What the node will be called; absent: as its agent says."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Absent: an hour from now."`
}

// A Join is what an agent says of itself with a join token as its bearer token.
type Join struct {
	Name      string `json:"name,omitempty" doc:"What it shall be called; absent: as the token says."`
	Hostname  string `json:"hostname,omitempty" doc:"Its machine's, for a name where neither says one."`
	PublicKey string `json:"public_key" doc:"base64url of an Ed25519 key."`
	Proof     string `json:"proof" doc:"A node's token, signed with that key, whose audience is bound to the join token."`
	Version   string `json:"version,omitempty"`
}

// Noun converts back.
func (j Join) Noun() pierhead.Join { return pierhead.Join(j) }

// A Joined is the answer to POST /nodes: who the node is from now on.
type Joined struct {
	Node    Node   `json:"node"`
	URL     string `json:"url" doc:"The server's name in references: what the node's own tokens are for."`
	HasData bool   `json:"has_data_key" doc:"Its organization has a data key already, which this node does not get from here."`

	OrganizationID string `json:"organization_id"`
}

// JoinedOf converts the noun.
func JoinedOf(j pierhead.Joined) Joined {
	return Joined{Node: NodeOf(j.Node), URL: j.URL, HasData: j.HasData, OrganizationID: j.Node.OrganizationID}
}

// A Revocation is what the end of a node left behind.
type Revocation struct {
	Node       Node      `json:"node"`
	Executions []string  `json:"executions" doc:"Ids of those that it had; they count as failed."`
	LostKeys   []LostKey `json:"lost_data_keys" doc:"Data keys that no other node has."`
}

// A LostKey is a data key whose last holder is gone.
type LostKey struct {
	ID         string   `json:"id"`
	Registries []string `json:"registries" doc:"Those whose login is sealed to it, and has to be typed in again."`
}

// RevocationOf converts the noun.
func RevocationOf(r pierhead.Revocation) Revocation {
	return Revocation{Node: NodeOf(r.Node), Executions: mapped(r.Executions, func(id string) string { return id }),
		LostKeys: mapped(r.LostKeys, func(k pierhead.LostKey) LostKey {
			return LostKey{ID: k.ID, Registries: mapped(k.Registries, func(name string) string { return name })}
		})}
}

// A RegistryGrant is the answer to POST /node/registry-grant: what the node may pull from the hosted registry while the
// token service is away. It opens nothing by itself: the node signs tokens with it.
type RegistryGrant struct {
	Grant     string    `json:"grant"`
	Service   string    `json:"service" doc:"The registry's service name: the audience of the node's tokens."`
	ExpiresAt time.Time `json:"expires_at"`
}
