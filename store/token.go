package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/access"
	"pierhead.dev/pierhead/internal/ids"
)

// maxTokenName is the longest name of a token, in bytes.
const maxTokenName = 100

// CreateToken makes a token and returns its text, which is kept nowhere and cannot be had again. Of want it reads Kind,
// Name, ExpiresAt, ReadOnly, and:
//
//   - for TokenPerson (and an empty Kind), Person: a name, or "" for the caller itself. Only an administrator may name
//     somebody else, to give a new person the first token.
//   - for TokenRobot, Organization: the name of the organization whose member the robot is. Name is the robot's and
//     follows the rule for names; several tokens may have it, so that one can be replaced by another without a gap.
//
// Tokens of nodes come from EnsureNode, join tokens from CreateJoinToken. Errors: ErrBadInput.
func (s *Store) CreateToken(ctx context.Context, c pierhead.Caller, want pierhead.Token) (pierhead.Token, string, error) {
	action, object := access.TokenCreate, "token for "+want.Person
	switch {
	case want.Kind == pierhead.TokenRobot:
		action, object = access.RobotCreate, "robot "+want.Organization+"/"+want.Name
	case want.Person == "":
		want.Person, object = c.Person, "token for "+c.Name
	}
	var made pierhead.Token
	var text string
	err := s.change(ctx, c, action, object, func(k *call) (err error) {
		if made, err = k.plannedToken(want); err != nil {
			return err
		}
		if err := checkToken(made, k.at); err != nil {
			return err
		}
		k.note("name", made.Name)
		text, err = k.insertToken(made)
		k.note("token", made.ID)
		return err
	})
	if err != nil {
		return pierhead.Token{}, "", err
	}
	return made, text, nil
}

// plannedToken finds whom the token is for, and asks whether the caller may make it.
func (k *call) plannedToken(want pierhead.Token) (pierhead.Token, error) {
	made := pierhead.Token{
		ID: ids.New("tok"), Kind: want.Kind, Name: want.Name, ReadOnly: want.ReadOnly, CreatedAt: k.at,
		ExpiresAt: fromMicros(micros(want.ExpiresAt)),
	}
	switch want.Kind {
	case pierhead.TokenRobot:
		o, err := k.organization(access.RobotCreate, want.Organization)
		made.OrganizationID, made.Organization = o.id, o.name
		made.PersonID, made.Person = k.caller.PersonID, k.caller.Person
		return made, err
	case pierhead.TokenPerson, "":
		made.Kind = pierhead.TokenPerson
		if want.Person == "" {
			return made, k.allow(access.TokenCreate, access.Target{Kind: "itself"}) // robots and nodes: nobody's
		}
		p, err := k.owner("person", want.Person)
		if err != nil {
			return made, err
		}
		shared, err := k.sharedOrganizations()
		if err != nil {
			return made, err
		}
		made.PersonID, made.Person = p.id, p.name
		return made, k.allow(access.TokenCreate, personTarget(p, shared))
	}
	return made, badInput("tokens of kind %q cannot be made", "make one for a person or a robot; a node gets its own", cut(string(want.Kind)))
}

func checkToken(t pierhead.Token, now time.Time) error {
	if t.Kind == pierhead.TokenRobot {
		if err := checkName("robot", t.Name); err != nil {
			return err
		}
	}
	if len(t.Name) > maxTokenName || !isLine(t.Name) {
		return badInput("the name of the token is longer than %d bytes or has control characters", "a few words will do", maxTokenName)
	}
	if _, err := ids.TokenKind(t.Name); err == nil {
		return badInput("the name of the token is itself a token", "choose a name, and delete that token if anyone saw it")
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now) {
		return badInput("the token would have expired already", "give a time in the future")
	}
	return nil
}

// insertToken makes the text and keeps its hash.
func (k *call) insertToken(t pierhead.Token) (string, error) {
	text := ids.NewToken(string(t.Kind))
	_, err := k.exec(`INSERT INTO tokens (id, hash, kind, name, person_id, organization_id, node_id, read_only, expires_at, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, t.ID, hashToken(text), string(t.Kind), t.Name,
		nullable(t.PersonID), nullable(t.OrganizationID), nullable(t.NodeID), t.ReadOnly, micros(t.ExpiresAt), micros(t.CreatedAt))
	if err != nil {
		return "", err
	}
	return text, nil
}

func hashToken(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// nullable is nil for "", so that foreign keys hold.
func nullable(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// Tokens lists the tokens that the caller may see, newest first: its own, the robots' of organizations that it is admin
// of, and all for an administrator.
func (s *Store) Tokens(ctx context.Context, c pierhead.Caller) ([]pierhead.Token, error) {
	var tokens []pierhead.Token
	err := s.view(ctx, c, access.TokenList, "tokens", func(k *call) error {
		if err := k.allow(access.TokenList, installation()); err != nil {
			return err
		}
		all, err := k.candidateTokens()
		if err != nil {
			return err
		}
		for _, t := range all {
			if k.may(access.TokenShow, tokenTarget(t)) {
				tokens = append(tokens, t)
			}
		}
		return nil
	})
	return tokens, err
}

// candidateTokens reads no more rows than the caller may be shown; Tokens asks access for each.
func (k *call) candidateTokens() ([]pierhead.Token, error) {
	if k.may(access.TokenShow, access.Target{Kind: "token"}) { // whosever they are
		return list(k, scanToken, `SELECT `+tokenColumns+` ORDER BY t.created_at DESC, t.id`)
	}
	tokens, err := list(k, scanToken, `SELECT `+tokenColumns+` WHERE t.person_id = ? AND t.kind = 'pat' ORDER BY t.created_at DESC, t.id`, k.caller.PersonID)
	if err != nil {
		return nil, err
	}
	for organization := range k.caller.Memberships {
		robots, err := list(k, scanToken, `SELECT `+tokenColumns+` WHERE t.organization_id = ? ORDER BY t.created_at DESC, t.id`, organization)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, robots...)
	}
	return tokens, nil
}

// Token finds a token by its ID.
func (s *Store) Token(ctx context.Context, c pierhead.Caller, id string) (pierhead.Token, error) {
	var t pierhead.Token
	err := s.view(ctx, c, access.TokenShow, "token "+id, func(k *call) (err error) {
		t, err = k.token(access.TokenShow, id)
		return err
	})
	if err != nil {
		return pierhead.Token{}, err
	}
	return t, nil
}

// DeleteToken ends a token at once.
func (s *Store) DeleteToken(ctx context.Context, c pierhead.Caller, id string) error {
	return s.change(ctx, c, access.TokenDelete, "token "+id, func(k *call) error {
		t, err := k.token(access.TokenDelete, id)
		if err != nil {
			return err
		}
		k.note("of", cmp.Or(t.Person, t.Organization))
		k.note("name", t.Name)
		_, err = k.exec(`DELETE FROM tokens WHERE id = ?`, t.ID)
		return err
	})
}

func (k *call) token(a access.Action, id string) (pierhead.Token, error) {
	t, err := scanToken(k.tx.QueryRowContext(k.ctx, `SELECT `+tokenColumns+` WHERE t.id = ?`, id))
	if err != nil {
		return pierhead.Token{}, missing(err, "token", id)
	}
	return t, k.allow(a, tokenTarget(t))
}

// tokenTarget is a token as what an action is done to: a person's own, or the robot's organization's.
func tokenTarget(t pierhead.Token) access.Target {
	target := access.Target{Kind: "token", Name: t.ID}
	switch t.Kind {
	case pierhead.TokenPerson:
		target.PersonID = t.PersonID
	case pierhead.TokenRobot, pierhead.TokenJoin:
		target.OrganizationID = t.OrganizationID
	}
	return target
}

const tokenColumns = `t.id, t.kind, t.name, COALESCE(t.person_id, ''), COALESCE(p.name, ''), COALESCE(t.organization_id, ''), COALESCE(o.name, ''),
	COALESCE(t.node_id, ''), t.read_only, t.expires_at, t.last_used_at, t.created_at
	FROM tokens t LEFT JOIN owners p ON p.id = t.person_id LEFT JOIN owners o ON o.id = t.organization_id`

func scanToken(row scanner) (pierhead.Token, error) {
	var t pierhead.Token
	var expires, used, created int64
	err := row.Scan(&t.ID, &t.Kind, &t.Name, &t.PersonID, &t.Person, &t.OrganizationID, &t.Organization, &t.NodeID, &t.ReadOnly, &expires, &used, &created)
	t.ExpiresAt, t.LastUsedAt, t.CreatedAt = fromMicros(expires), fromMicros(used), fromMicros(created)
	return t, err
}
