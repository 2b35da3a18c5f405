package pierhead

import "time"

// A TokenKind says whom a token stands for; it is the second part of the token's text.
type TokenKind string

// The kinds. A join token makes a node and is of no other use.
const (
	TokenPerson TokenKind = "pat"
	TokenNode   TokenKind = "node"
	TokenJoin   TokenKind = "join"
	TokenRobot  TokenKind = "robot"
)

// A Token is what is known of a bearer token: everything but its text, which is shown once and kept as SHA-256.
type Token struct {
	ID             string // "tok_…"
	Kind           TokenKind
	Name           string // what its maker calls it; a robot's name
	PersonID       string // whose it is; for a robot, who made it
	Person         string // that person's name
	OrganizationID string // the robot's organization, or the one that a join token's node belongs to; else empty
	Organization   string // its name
	NodeID         string // the node of a node token, or the one that a join token made
	ReadOnly       bool
	ExpiresAt      time.Time // zero: never
	LastUsedAt     time.Time // zero: never; kept to the minute
	CreatedAt      time.Time
}
