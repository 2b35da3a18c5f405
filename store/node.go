package store

import (
	"context"
	"database/sql"
	"errors"
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
		n, err = scanNode(k.tx.QueryRowContext(k.ctx, `SELECT `+nodeColumns+` FROM nodes WHERE name = ?`, name))
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
	id, name, organizationID string
	seen, created            int64
}

const nodeColumns = `id, name, COALESCE(organization_id, ''), last_seen_at, created_at`

func scanNode(row scanner) (node, error) {
	var n node
	return n, row.Scan(&n.id, &n.name, &n.organizationID, &n.seen, &n.created)
}

func (n node) noun() pierhead.Node {
	return pierhead.Node{ID: n.id, Name: n.name, OrganizationID: n.organizationID, LastSeenAt: fromMicros(n.seen), CreatedAt: fromMicros(n.created)}
}

// serves tells whether the node is an organization's, or everybody's. An empty id is that of a personal project.
func (n node) serves(organizationID string) bool {
	return n.organizationID == "" || n.organizationID == organizationID
}

func (n node) target() access.Target {
	return access.Target{Kind: "node", Name: n.name, NodeID: n.id}
}

func (k *call) node(id string) (node, error) {
	n, err := scanNode(k.tx.QueryRowContext(k.ctx, `SELECT `+nodeColumns+` FROM nodes WHERE id = ?`, id))
	if err != nil {
		return node{}, missing(err, "node", id)
	}
	return n, nil
}

// callingNode is the node that asks, when the caller is one and may do a. The target of anyone else is a node that
// nobody is, so access refuses.
func (k *call) callingNode(a access.Action) (node, error) {
	if k.caller.NodeID == "" {
		return node{}, k.allow(a, access.Target{Kind: "this installation"})
	}
	n, err := k.node(k.caller.NodeID)
	if err != nil {
		return node{}, err
	}
	return n, k.allow(a, n.target())
}

// noteSeen keeps the time that a node was last heard of, to the minute. Nobody waits for it, so its error is dropped.
func (s *Store) noteSeen(ctx context.Context, n node, now time.Time) {
	minute := micros(now.Truncate(time.Minute))
	if n.seen < minute {
		_, _ = s.write.ExecContext(ctx, `UPDATE nodes SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?`, minute, n.id, minute)
	}
}

// nodeObject is what the audit log calls the node that asks; anybody else is named as the one who tried.
func nodeObject(c pierhead.Caller) string {
	return "node " + strings.TrimPrefix(c.Name, "node:")
}
