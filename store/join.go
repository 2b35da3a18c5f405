package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
	"pierhead.dev/pierhead/internal/tokens"
)

// Lives of join tokens.
const (
	joinLife    = time.Hour           // where nothing else is said
	maxJoinLife = 30 * 24 * time.Hour // a forgotten one must not make nodes for ever
)

// CreateJoinToken makes a token that makes one node of an organization, and returns its text, which is kept nowhere. name
// is what the node will be called; empty leaves that to its agent. The zero expires is an hour from now. Errors:
// ErrBadInput; ErrConflict when there is a node of that name.
func (s *Store) CreateJoinToken(ctx context.Context, c pierhead.Caller, organization, name string, expires time.Time) (pierhead.Token, string, error) {
	var made pierhead.Token
	var text string
	err := s.change(ctx, c, access.NodeInvite, "join token of "+organization, func(k *call) error {
		o, err := k.organization(access.NodeInvite, organization)
		if err != nil {
			return err
		}
		if expires.IsZero() {
			expires = k.at.Add(joinLife)
		}
		made = pierhead.Token{ID: ids.New("tok"), Kind: pierhead.TokenJoin, Name: name, OrganizationID: o.id, Organization: o.name,
			PersonID: k.caller.PersonID, Person: k.caller.Person, ExpiresAt: fromMicros(micros(expires)), CreatedAt: k.at}
		if err := k.checkJoinToken(made); err != nil {
			return err
		}
		k.nothing = true // no long poll waits for it
		k.note("name", name)
		k.note("token", made.ID)
		text, err = k.insertToken(made)
		return err
	})
	if err != nil {
		return pierhead.Token{}, "", err
	}
	return made, text, nil
}

func (k *call) checkJoinToken(t pierhead.Token) error {
	if t.Name != "" {
		if err := k.freeNodeName(t.OrganizationID, t.Name); err != nil {
			return err
		}
	}
	if t.ExpiresAt.After(k.at.Add(maxJoinLife)) {
		return badInput("a join token lives for 30 days at most", "make it when the node is there; an hour is usual")
	}
	return checkToken(t, k.at)
}

func (k *call) freeNodeName(organizationID, name string) error {
	if err := checkName("node", name); err != nil {
		return err
	}
	var taken int
	if err := k.row(`SELECT COUNT(*) FROM nodes WHERE name = ?`, []any{rowName(organizationID, name)}, &taken); err != nil {
		return err
	}
	if taken > 0 {
		return conflict("there is a node %s already", "choose another name (pier agent --name NAME), or revoke that one first: pier node revoke "+name, name)
	}
	return nil
}

// AuthenticateJoin tells what a join token is for. Like Authenticate it takes no Caller but makes one: it may join the
// token's organization and nothing else. A token that made a node already counts still, for the answer that was perhaps not
// seen; JoinNode takes care of it. The error is the one of Authenticate.
func (s *Store) AuthenticateJoin(ctx context.Context, tokenText string) (pierhead.Caller, error) {
	if kind, err := ids.TokenKind(tokenText); err != nil || kind != string(pierhead.TokenJoin) {
		return pierhead.Caller{}, unauthenticatedJoin()
	}
	t, err := scanToken(s.read.QueryRowContext(ctx, `SELECT `+tokenColumns+` WHERE t.hash = ?`, hashToken(tokenText)))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return pierhead.Caller{}, unauthenticatedJoin()
	case err != nil:
		return pierhead.Caller{}, mapError(err)
	case t.Kind != pierhead.TokenJoin || t.NodeID == "" && !s.stamp().Before(t.ExpiresAt):
		return pierhead.Caller{}, unauthenticatedJoin()
	}
	name := t.Name
	if name == "" {
		name = t.ID
	}
	return pierhead.Caller{Name: "join:" + name, TokenID: t.ID, JoinOf: t.OrganizationID}, nil
}

func unauthenticatedJoin() error {
	return pierhead.NewProblem(pierhead.ErrNotAllowed, "the join token is not valid",
		"it may be mistyped, expired or deleted; an organization admin makes another: pier node token create")
}

// JoinNode makes the calling join token's node. The same token with the same key again gives the same answer; with another
// key it is refused, since a token makes one node.
// Errors: ErrBadInput for a bad name or key; ErrNotAllowed when the key is not proved or the clocks differ too much;
// ErrConflict for a name or a key that another node has, and for a token that made another.
func (s *Store) JoinNode(ctx context.Context, c pierhead.Caller, join pierhead.Join) (pierhead.Joined, error) {
	var joined pierhead.Joined
	err := s.change(ctx, c, access.NodeJoin, "node "+cut(join.Name), func(k *call) error {
		t, err := scanToken(k.tx.QueryRowContext(k.ctx, `SELECT `+tokenColumns+` WHERE t.id = ?`, c.TokenID))
		if err != nil {
			return missing(err, "join token", c.TokenID)
		}
		if err := k.allow(access.NodeJoin, access.Target{Kind: "organization", Name: t.Organization, OrganizationID: t.OrganizationID}); err != nil {
			return err
		}
		var hash []byte
		if err := k.row(`SELECT hash FROM tokens WHERE id = ?`, []any{t.ID}, &hash); err != nil {
			return err
		}
		if err := k.proved(join, tokens.JoinAudienceOf(hash)); err != nil {
			return err
		}
		n, err := k.joinedNode(t, join)
		if err != nil {
			return err
		}
		keys, err := k.dataKeys(n.organizationID)
		joined = pierhead.Joined{Node: n.noun(), URL: s.hosted.url, HasData: len(keys) > 0}
		k.entry.Object = "node " + n.shown()
		k.note("node", n.id)
		k.note("token", t.ID)
		return err
	})
	if err != nil {
		return pierhead.Joined{}, err
	}
	return joined, nil
}

// proved sees that whoever asks has the private half of the key that it shows.
func (k *call) proved(join pierhead.Join, audience string) error {
	public, err := tokens.ParsePublicText(join.PublicKey)
	if err != nil {
		return badInput("the node's public key is no Ed25519 key in base64url", "")
	}
	token, err := tokens.ParseNode(join.Proof)
	if err == nil {
		_, err = token.Verify(public, audience, k.at)
	}
	var skew *tokens.SkewError
	switch {
	case errors.As(err, &skew):
		return skewProblem(skew)
	case err != nil:
		return pierhead.NewProblem(pierhead.ErrNotAllowed, "the node does not prove that it has the key that it shows", "")
	}
	return nil
}

// joinedNode is the node that the token made before, or makes now.
func (k *call) joinedNode(t pierhead.Token, join pierhead.Join) (node, error) {
	if t.NodeID != "" {
		n, err := k.node(t.NodeID)
		if err == nil && n.publicKey != join.PublicKey {
			err = conflict("this join token has made the node %s already", "a token makes one node: pier node token create makes another", n.shown())
		}
		k.nothing, k.silent = true, true
		return n, err
	}
	name, err := k.joinName(t, join)
	if err != nil {
		return node{}, err
	}
	var other int
	if err := k.row(`SELECT COUNT(*) FROM nodes WHERE public_key = ?`, []any{join.PublicKey}, &other); err != nil {
		return node{}, err
	}
	if other > 0 {
		return node{}, conflict("the key of this agent's data directory belongs to a node already", "give every agent a data directory of its own; after a revocation, an empty one")
	}
	n := node{id: ids.New("node"), name: rowName(t.OrganizationID, name), organizationID: t.OrganizationID, organization: t.Organization,
		publicKey: join.PublicKey, created: micros(k.at)}
	if isLine(join.Version) {
		n.version = cutBytes(join.Version, pierhead.MaxName)
	}
	if _, err := k.exec(`INSERT INTO nodes (id, name, organization_id, public_key, version, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		n.id, n.name, n.organizationID, n.publicKey, n.version, n.created); err != nil {
		return node{}, err
	}
	used, err := k.exec(`UPDATE tokens SET node_id = ?, last_used_at = ? WHERE id = ? AND node_id IS NULL AND expires_at > ?`, n.id, n.created, t.ID, n.created)
	if err == nil && used != 1 {
		err = unauthenticatedJoin()
	}
	return n, err
}

// joinName is what the node will be called: as the token says, else as the agent says, else by its machine.
func (k *call) joinName(t pierhead.Token, join pierhead.Join) (string, error) {
	name := join.Name
	switch {
	case t.Name != "" && name != "" && name != t.Name:
		return "", badInput("the join token is for a node called %s, and the agent calls itself %q", "leave out --name, or take a token without a name", t.Name, cut(name))
	case t.Name != "":
		name = t.Name
	case name == "":
		name = join.Hostname
	}
	return name, k.freeNodeName(t.OrganizationID, name)
}
