package api

import (
	"time"

	"pierhead.dev/pierhead"
)

// A DataKey is the public half of a data-plane key: what credentials are sealed to.
type DataKey struct {
	ID        string     `json:"id" doc:"The first 16 hexadecimal digits of the key's fingerprint."`
	PublicKey string     `json:"public_key" doc:"base64url of the uncompressed P-256 point."`
	NodeID    string     `json:"node_id,omitempty" doc:"Who published it."`
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

// DataKeyOf converts the noun.
func DataKeyOf(k pierhead.DataKey) DataKey {
	return DataKey{ID: k.ID, PublicKey: k.PublicKey, NodeID: k.NodeID, CreatedAt: timeOf(k.CreatedAt)}
}

// Noun converts back.
func (k DataKey) Noun() pierhead.DataKey {
	return pierhead.DataKey{ID: k.ID, PublicKey: k.PublicKey, NodeID: k.NodeID, CreatedAt: nounTime(k.CreatedAt)}
}

// A Snapshot is the answer to GET /node/snapshot: all that a node needs to match references without asking. Its
// registries have their sealed credentials' text, which is for nodes only.
type Snapshot struct {
	Version       int64                  `json:"version" doc:"Grows with every change."`
	URL           string                 `json:"url" doc:"The server's name in references."`
	Organizations []OrganizationSnapshot `json:"organizations"`
}

// An OrganizationSnapshot is one organization's part.
type OrganizationSnapshot struct {
	Organization Organization `json:"organization"`
	Registries   []Registry   `json:"registries"`
}

// SnapshotOf converts the noun.
func SnapshotOf(s pierhead.Snapshot) Snapshot {
	return Snapshot{Version: s.Version, URL: s.URL, Organizations: mapped(s.Organizations, func(o pierhead.OrganizationSnapshot) OrganizationSnapshot {
		return OrganizationSnapshot{OrganizationOf(o.Organization), mapped(o.Registries, func(r pierhead.Registry) Registry {
			return RegistryForNode(r, o.Organization.Name)
		})}
	})}
}

// Noun converts back, without checks: a node must go on whatever a newer server says.
func (s Snapshot) Noun() pierhead.Snapshot {
	return pierhead.Snapshot{Version: s.Version, URL: s.URL, Organizations: mapped(s.Organizations, func(o OrganizationSnapshot) pierhead.OrganizationSnapshot {
		return pierhead.OrganizationSnapshot{Organization: o.Organization.Noun(), Registries: mapped(o.Registries, func(r Registry) pierhead.Registry {
			return r.NounForNode(o.Organization.ID)
		})}
	})}
}

// Work is the answer to GET /node/work: executions to begin or to stop, and questions to answer.
type Work struct {
	Executions []Execution `json:"executions"`
	Questions  []Question  `json:"questions"`
}

// A LogSize is the answer to an appended piece of log.
type LogSize struct {
	SizeBytes int64 `json:"size_bytes" doc:"How much of the log the server has now: where the next piece begins."`
}

// An Event is something that happened on a node.
type Event struct {
	ID             string            `json:"id" doc:"The node's own; a second delivery is ignored."`
	At             time.Time         `json:"at"`
	OrganizationID string            `json:"organization_id,omitempty" doc:"Empty in a personal project."`
	Kind           string            `json:"kind" doc:"credential.used, pull.anonymous, pull.failed, …"`
	ExecutionID    string            `json:"execution_id,omitempty"`
	Image          string            `json:"image,omitempty"`
	Registry       string            `json:"registry,omitempty"`
	Detail         map[string]string `json:"detail,omitempty"`
}

// EventOf converts the noun.
func EventOf(e pierhead.Event) Event { return Event(e) }

// Noun converts back.
func (e Event) Noun() pierhead.Event { return pierhead.Event(e) }

// An EventList is the answer to GET /events, and the body of POST /node/events.
type EventList struct {
	Events []Event `json:"events"`
}

// EventsOf converts a list.
func EventsOf(list []pierhead.Event) EventList { return EventList{mapped(list, EventOf)} }

// Nouns converts back.
func (l EventList) Nouns() []pierhead.Event { return mapped(l.Events, Event.Noun) }
