package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// EnsureNode finds the node of that name, or makes one that serves all organizations, and gives it a fresh token; the
// tokens that it had end. Only the process itself may. Errors: ErrBadInput for a bad name.
func (s *Store) EnsureNode(ctx context.Context, c pierhead.Caller, name string) (pierhead.Node, string, error) {
	var n node
	var text string
	err := s.change(ctx, c, access.NodeEnsure, "node "+name, func(k *call) error {
		if err := k.allow(access.NodeEnsure, installation()); err != nil {
			return err
		}
		if err := checkName("node", name); err != nil {
			return err
		}
		var err error
		n, err = scanNode(k.tx.QueryRowContext(k.ctx, `SELECT `+nodeColumns+` WHERE n.name = ?`, name))
		if errors.Is(err, sql.ErrNoRows) {
			n = node{id: ids.New("node"), name: name, created: micros(k.at)}
			_, err = k.exec(`INSERT INTO nodes (id, name, created_at) VALUES (?, ?, ?)`, n.id, n.name, n.created)
		}
		if err != nil {
			return err
		}
		if _, err := k.exec(`DELETE FROM tokens WHERE node_id = ?`, n.id); err != nil {
			return err
		}
		text, err = k.insertToken(pierhead.Token{ID: ids.New("tok"), Kind: pierhead.TokenNode, Name: name, NodeID: n.id, CreatedAt: k.at})
		return err
	})
	if err != nil {
		return pierhead.Node{}, "", err
	}
	return n.noun(), text, nil
}

// A node is a row of nodes.
type node struct {
	id, name, organizationID, organization string
	publicKey, version                     string
	seen, revoked, created                 int64
}

const nodeColumns = `n.id, n.name, COALESCE(n.organization_id, ''), COALESCE(o.name, ''), n.public_key, n.version, n.last_seen_at, n.revoked_at, n.created_at
	FROM nodes n LEFT JOIN owners o ON o.id = n.organization_id`

func scanNode(row scanner) (node, error) {
	var n node
	return n, row.Scan(&n.id, &n.name, &n.organizationID, &n.organization, &n.publicKey, &n.version, &n.seen, &n.revoked, &n.created)
}

// rowName is a node's name as the table has it.
func rowName(organizationID, name string) string {
	if organizationID == "" {
		return name
	}
	return organizationID + "/" + name
}

// shown is the name as people know it.
func (n node) shown() string {
	if n.organizationID == "" {
		return n.name
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(n.name, n.organizationID+"/"), "/")
	return name
}

func (n node) noun() pierhead.Node {
	return pierhead.Node{ID: n.id, Name: n.shown(), OrganizationID: n.organizationID, Organization: n.organization, PublicKey: n.publicKey,
		Version: n.version, LastSeenAt: fromMicros(n.seen), CreatedAt: fromMicros(n.created)}
}

// serves tells whether the node is an organization's, or everybody's. An empty id is that of a personal project.
func (n node) serves(organizationID string) bool {
	return n.organizationID == "" || n.organizationID == organizationID
}

func (n node) target() access.Target {
	return access.Target{Kind: "node", Name: n.shown(), NodeID: n.id}
}

func (k *call) node(id string) (node, error) {
	n, err := scanNode(k.tx.QueryRowContext(k.ctx, `SELECT `+nodeColumns+` WHERE n.id = ?`, id))
	if err != nil {
		return node{}, missing(err, "node", id)
	}
	return n, nil
}

// callingNode is the node that asks, when the caller is one and may do a. The target of anyone else is a node that
// nobody is, so access refuses. A node that was revoked since it was authenticated, as during a long poll, is refused too.
func (k *call) callingNode(a access.Action) (node, error) {
	if k.caller.NodeID == "" {
		return node{}, k.allow(a, access.Target{Kind: "this installation"})
	}
	n, err := k.node(k.caller.NodeID)
	if err != nil {
		return node{}, err
	}
	if n.revoked != 0 {
		return node{}, revokedProblem(n)
	}
	return n, k.allow(a, n.target())
}

func revokedProblem(n node) error {
	return pierhead.NewProblem(pierhead.ErrNotAllowed, "the node "+n.shown()+" was revoked",
		"to make this machine a node again, give its agent an empty data directory and a new join token: pier node token create")
}

// noteSeen keeps the time that a node was last heard of, to the minute, and its agent's version. Nobody waits for it, so its
// error is dropped.
func (s *Store) noteSeen(ctx context.Context, c pierhead.Caller, n node, now time.Time) {
	minute, version := micros(now.Truncate(time.Minute)), c.NodeVersion
	if version == "" || !isLine(version) {
		version = n.version
	}
	if n.seen < minute || n.version != version {
		_, _ = s.write.ExecContext(ctx, `UPDATE nodes SET last_seen_at = MAX(last_seen_at, ?), version = ? WHERE id = ?`, minute, version, n.id)
	}
}

// nodeObject is what the audit log calls the node that asks; anybody else is named as the one who tried.
func nodeObject(c pierhead.Caller) string {
	return "node " + strings.TrimPrefix(c.Name, "node:")
}

// Nodes lists an organization's nodes by name, with those that serve all organizations; revoked ones are gone.
func (s *Store) Nodes(ctx context.Context, c pierhead.Caller, organization string) ([]pierhead.Node, error) {
	var nodes []pierhead.Node
	err := s.view(ctx, c, access.NodeList, "nodes of "+organization, func(k *call) error {
		o, err := k.organization(access.NodeList, organization)
		if err != nil {
			return err
		}
		rows, err := list(k, scanNode, `SELECT `+nodeColumns+` WHERE (n.organization_id = ? OR n.organization_id IS NULL) AND n.revoked_at = 0`, o.id)
		for _, n := range rows {
			nodes = append(nodes, n.noun())
		}
		slices.SortFunc(nodes, func(a, b pierhead.Node) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		})
		return err
	})
	return nodes, err
}

// Node finds one of them.
func (s *Store) Node(ctx context.Context, c pierhead.Caller, organization, name string) (pierhead.Node, error) {
	var found node
	err := s.view(ctx, c, access.NodeShow, "node "+organization+"/"+name, func(k *call) (err error) {
		_, found, err = k.organizationNode(access.NodeShow, organization, name)
		return err
	})
	if err != nil {
		return pierhead.Node{}, err
	}
	return found.noun(), nil
}

// organizationNode finds a node that serves an organization: its own of that name, else one that serves all.
func (k *call) organizationNode(a access.Action, organization, name string) (owner, node, error) {
	o, err := k.organization(a, organization)
	if err != nil {
		return owner{}, node{}, err
	}
	n, err := scanNode(k.tx.QueryRowContext(k.ctx, `SELECT `+nodeColumns+` WHERE n.name IN (?, ?) AND n.revoked_at = 0
		AND (n.organization_id = ? OR n.organization_id IS NULL) ORDER BY n.organization_id IS NULL LIMIT 1`, rowName(o.id, name), name, o.id))
	if err != nil {
		return owner{}, node{}, missing(err, "node", name)
	}
	return o, n, nil
}
