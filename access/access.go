// Package access says who may do what, in one table. It is pure: the store looks up whose a thing is, and asks here
// before it does anything else.
package access

import (
	"fmt"

	"pierhead.dev/pierhead"
)

// A Standing is what a caller is to a target. A caller can have several; each is one bit.
type Standing uint

// The standings.
const (
	Process       Standing = 1 << iota // the program itself, at its first start and in its housekeeping
	Administrator                      // of the installation
	Admin                              // of the organization that owns the target; an Admin is a Member too
	Member                             // of the organization that owns the target: a person or a robot
	Owner                              // the person who owns the target, or who is the target
	Node                               // the node that is the target, that it was given to, or that serves its organization
	Anyone                             // whoever was authenticated; only the zero Caller has no standing at all
	Joiner                             // the bearer of a join token of the target's organization; nothing else, not even Anyone
)

// A Target is what an action is done to. For an action that makes something, it is what the new thing will belong to.
type Target struct {
	Kind           string // "organization", "registry", …: the word that people read
	Name           string // "acme", "acme/azure-ml", "exe_…"
	OrganizationID string // the organization that owns it, or empty
	PersonID       string // the person who owns it or is it, or empty
	NodeID         string // the node that is it or may act on it, or empty
}

// String is what messages and the audit log call the target: "registry acme/azure-ml".
func (t Target) String() string {
	if t.Name == "" {
		return t.Kind
	}
	return t.Kind + " " + t.Name
}

// StandingOf returns what c is to t.
func StandingOf(c pierhead.Caller, t Target) Standing {
	if c.Name == "" {
		return 0
	}
	if c.JoinOf != "" {
		if c.JoinOf == t.OrganizationID {
			return Joiner
		}
		return 0
	}
	standing := Anyone
	switch {
	case c.Admin && c.PersonID == "" && c.NodeID == "" && c.TokenID == "":
		standing |= Process
	case c.Admin:
		standing |= Administrator
	}
	if t.OrganizationID != "" {
		switch c.RoleIn(t.OrganizationID) {
		case pierhead.RoleAdmin:
			standing |= Admin | Member
		case pierhead.RoleMember:
			standing |= Member
		}
	}
	if t.PersonID != "" && t.PersonID == c.PersonID {
		standing |= Owner
	}
	if t.NodeID != "" && t.NodeID == c.NodeID {
		standing |= Node
	}
	return standing
}

// Check returns nil when c may do a to t. Otherwise it is a *pierhead.Problem: of kind ErrNotFound when c may not even
// know that t is there (the same sentence as for a thing that is not), else of kind ErrNotAllowed, with a hint who could.
// A read-only caller may do nothing that changes anything. An unknown action is allowed to nobody.
func Check(c pierhead.Caller, a Action, t Target) error {
	rule, known := rules[a]
	if !known {
		return pierhead.NewProblem(pierhead.ErrNotAllowed, fmt.Sprintf("nobody may do %q", string(a)), "")
	}
	standing := StandingOf(c, t)
	switch {
	case standing&(rule.allowed|rule.sees) == 0:
		return NotFound(t.Kind, t.Name)
	case standing&rule.allowed == 0:
		return pierhead.NewProblem(pierhead.ErrNotAllowed,
			fmt.Sprintf("%s may not %s %s", c.Name, rule.does, t), rule.allowed.hint())
	case rule.changes && c.ReadOnly:
		return pierhead.NewProblem(pierhead.ErrNotAllowed,
			fmt.Sprintf("%s may not %s %s: the token is read-only", c.Name, rule.does, t),
			"use a token that was made without --read-only")
	}
	return nil
}

// NotFound is the problem for a thing that is not there, or that the caller may not know of. Both read the same.
func NotFound(kind, name string) *pierhead.Problem {
	hint := ""
	if kind == "organization" || kind == "project" || kind == "owner" {
		hint = "you see only your own projects and the organizations that you are a member of"
	}
	if name == "" {
		return pierhead.NewProblem(pierhead.ErrNotFound, "there is no such "+kind, hint)
	}
	return pierhead.NewProblem(pierhead.ErrNotFound, fmt.Sprintf("there is no %s %q", kind, name), hint)
}

// hint says who has one of the standings.
func (s Standing) hint() string {
	who := ""
	for _, entry := range []struct {
		bit  Standing
		name string
	}{
		{Owner, "its owner"},
		{Admin, "an admin of the organization"},
		{Member, "a member of the organization"},
		{Administrator, "an administrator of the installation"},
		{Node, "the node that it was given to"},
		{Joiner, "a join token of the organization"},
		{Process, "the server itself"},
	} {
		if s&entry.bit == 0 || entry.bit == Process && who != "" {
			continue
		}
		if who != "" {
			who += " or "
		}
		who += entry.name
	}
	return "this takes " + who
}
