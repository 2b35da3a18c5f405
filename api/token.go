package api

import (
	"time"

	"pierhead.dev/pierhead"
)

// A NewToken is what a token is made from. Without an organization it is the caller's own; with one it is a robot's
// of that organization.
type NewToken struct {
	Name         string     `json:"name" doc:"What it is for; the robot's name."`
	Person       string     `json:"person,omitempty" doc:"Whose it is, for an administrator who makes a new person's first token; else the caller's own."`
	Organization string     `json:"organization,omitempty" doc:"The robot's organization; empty for a person's own token."`
	ReadOnly     bool       `json:"read_only,omitempty" doc:"Whether it may change nothing."`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"Absent: never."`
}

// Noun converts to what the store makes a token from.
func (t NewToken) Noun() pierhead.Token {
	kind := pierhead.TokenPerson
	if t.Organization != "" {
		kind = pierhead.TokenRobot
	}
	return pierhead.Token{Kind: kind, Name: t.Name, Person: t.Person, Organization: t.Organization, ReadOnly: t.ReadOnly, ExpiresAt: nounTime(t.ExpiresAt)}
}

// A Token is what is known of a token: everything but its text.
type Token struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind" doc:"pat, robot, node or join."`
	Name         string     `json:"name"`
	Person       string     `json:"person,omitempty" doc:"Whose it is; for a robot, who made it."`
	Organization string     `json:"organization,omitempty" doc:"The robot's organization."`
	NodeID       string     `json:"node_id,omitempty"`
	ReadOnly     bool       `json:"read_only"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"Absent: never."`
	LastUsedAt   *time.Time `json:"last_used_at,omitempty" doc:"To the minute; absent: never."`
	CreatedAt    time.Time  `json:"created_at"`
}

// TokenOf converts the noun.
func TokenOf(t pierhead.Token) Token {
	return Token{
		ID: t.ID, Kind: string(t.Kind), Name: t.Name, Person: t.Person, Organization: t.Organization, NodeID: t.NodeID,
		ReadOnly: t.ReadOnly, ExpiresAt: timeOf(t.ExpiresAt), LastUsedAt: timeOf(t.LastUsedAt), CreatedAt: t.CreatedAt,
	}
}

// A CreatedToken is the answer to POST /tokens, the only one that has a token's text.
type CreatedToken struct {
	Token
	Text string `json:"text" doc:"The token itself. It is shown this once."`
}

// A TokenList is the answer to GET /tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// TokensOf converts a list.
func TokensOf(list []pierhead.Token) TokenList { return TokenList{mapped(list, TokenOf)} }
