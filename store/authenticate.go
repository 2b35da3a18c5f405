package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/ids"
	"pierhead.dev/pierhead/internal/tokens"
)

// Authenticate tells whose a token is. It is the one method without a Caller, because it makes it, with the memberships
// and roles of this moment. The error is one and the same for a token that is mistyped, unknown, expired or deleted:
// of kind ErrNotAllowed. The token's time of last use is kept to the minute. A node may bring a token that it signed itself;
// to it alone the error says what is wrong.
func (s *Store) Authenticate(ctx context.Context, tokenText string) (pierhead.Caller, error) {
	if tokens.LooksSigned(tokenText) {
		return s.authenticateNode(ctx, tokenText)
	}
	if _, err := ids.TokenKind(tokenText); err != nil {
		return pierhead.Caller{}, unauthenticated()
	}
	var c pierhead.Caller
	var expires, used int64
	var kind, tokenName, nodeName, organization string
	var person, personAdmin = "", false
	err := s.read.QueryRowContext(ctx, `SELECT t.id, t.kind, t.name, t.read_only, t.expires_at, t.last_used_at,
			COALESCE(p.id, ''), COALESCE(p.name, ''), COALESCE(p.admin, 0), COALESCE(n.id, ''), COALESCE(n.name, ''), COALESCE(t.organization_id, '')
		FROM tokens t LEFT JOIN owners p ON p.id = t.person_id LEFT JOIN nodes n ON n.id = t.node_id WHERE t.hash = ?`, hashToken(tokenText)).
		Scan(&c.TokenID, &kind, &tokenName, &c.ReadOnly, &expires, &used, &person, &c.Person, &personAdmin, &c.NodeID, &nodeName, &organization)
	if errors.Is(err, sql.ErrNoRows) {
		return pierhead.Caller{}, unauthenticated()
	} else if err != nil {
		return pierhead.Caller{}, mapError(err)
	}
	now := s.stamp()
	if expires != 0 && !now.Before(fromMicros(expires)) {
		return pierhead.Caller{}, unauthenticated()
	}
	switch pierhead.TokenKind(kind) {
	case pierhead.TokenPerson:
		c.Name, c.PersonID, c.Admin = c.Person, person, personAdmin
		if c.Memberships, err = s.memberships(ctx, person); err != nil {
			return pierhead.Caller{}, mapError(err)
		}
	case pierhead.TokenRobot: // Person is who made it, not who it is
		c.Name, c.Person = "robot:"+tokenName, ""
		c.Memberships = map[string]pierhead.Role{organization: pierhead.RoleMember}
	case pierhead.TokenNode:
		c.Name = "node:" + nodeName
	default: // a join token opens nothing here, see AuthenticateJoin
		return pierhead.Caller{}, unauthenticated()
	}
	s.noteUse(ctx, c.TokenID, fromMicros(used), now)
	return c, nil
}

// authenticateNode verifies a node's own token with the public key that it joined with.
func (s *Store) authenticateNode(ctx context.Context, text string) (pierhead.Caller, error) {
	token, err := tokens.ParseNode(text)
	if err != nil {
		return pierhead.Caller{}, unauthenticated()
	}
	n, err := scanNode(s.read.QueryRowContext(ctx, `SELECT `+nodeColumns+` WHERE n.id = ? AND n.public_key <> ''`, token.Node))
	if errors.Is(err, sql.ErrNoRows) {
		return pierhead.Caller{}, unauthenticated()
	} else if err != nil {
		return pierhead.Caller{}, mapError(err)
	}
	public, err := tokens.ParsePublicText(n.publicKey)
	if err != nil {
		return pierhead.Caller{}, unauthenticated()
	}
	claims, err := token.Verify(public, s.hosted.url, s.stamp())
	switch {
	case err != nil:
		return pierhead.Caller{}, s.nodeTokenProblem(err)
	case n.revoked != 0:
		return pierhead.Caller{}, revokedProblem(n)
	}
	return pierhead.Caller{Name: "node:" + n.shown(), NodeID: n.id, NodeOf: n.organizationID, NodeVersion: claims.Version, TokenID: "key_" + token.KeyID}, nil
}

// nodeTokenProblem tells a node, which has proved its key by then, why its token does not count.
func (s *Store) nodeTokenProblem(err error) error {
	var skew *tokens.SkewError
	switch {
	case errors.As(err, &skew):
		return skewProblem(skew)
	case errors.Is(err, tokens.ErrAudience):
		return pierhead.NewProblem(pierhead.ErrNotAllowed, "the node's token is for another server than "+s.hosted.url,
			"start the agent with --server "+s.hosted.url+"; if the server's --url was changed, that is its new name")
	}
	return unauthenticated()
}

func skewProblem(skew *tokens.SkewError) error {
	return pierhead.NewProblem(pierhead.ErrNotAllowed, "the clocks of node and server differ: "+skew.Error(),
		"set both clocks, by NTP for example (timedatectl set-ntp true), and compare: date -u")
}

func unauthenticated() error {
	return pierhead.NewProblem(pierhead.ErrNotAllowed, "the token is not valid",
		"it may be mistyped, expired or deleted; make another with pier token create, or ask an administrator")
}

func (s *Store) memberships(ctx context.Context, personID string) (map[string]pierhead.Role, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT organization_id, role FROM members WHERE person_id = ?`, personID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	memberships := map[string]pierhead.Role{}
	for rows.Next() {
		var organization string
		var role pierhead.Role
		if err := rows.Scan(&organization, &role); err != nil {
			return nil, err
		}
		memberships[organization] = role
	}
	return memberships, rows.Err()
}

// noteUse keeps the time of last use. A disk that is too full for it must not keep people out, so its error is dropped.
func (s *Store) noteUse(ctx context.Context, tokenID string, last, now time.Time) {
	minute := now.Truncate(time.Minute)
	if !last.Before(minute) {
		return
	}
	_, _ = s.write.ExecContext(ctx, `UPDATE tokens SET last_used_at = ? WHERE id = ? AND last_used_at < ?`, micros(minute), tokenID, micros(minute))
}
