package broker

import (
	"errors"
	"fmt"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
)

// forPeople says whose turn it is when a registry's login cannot be had.
func forPeople(registry pierhead.Registry, err error) error {
	var problem *pierhead.Problem
	if errors.As(err, &problem) {
		return err
	}
	hint := exchange.HintOf(err)
	switch {
	case hint != "":
	case errors.Is(err, exchange.ErrHostMismatch):
		hint = "an organization admin corrects the secret's \"server\", or the registry's match patterns"
	default:
		hint = "ask an organization admin to look at the registry: pier registry show " + registry.Name
	}
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err, Text: err.Error(), Hint: hint}
}

// bothRefused tells both answers, the login's first: the anonymous one follows from it.
func bothRefused(registry pierhead.Registry, login, anonymous error) error {
	return &pierhead.Problem{
		Kind: pierhead.ErrPull, Cause: anonymous,
		Text: fmt.Sprintf("the login of registry %s was not accepted (%v), and the anonymous pull that followed failed too (%v)", registry.Name, login, anonymous),
		Hint: "an organization admin renews the credential: pier registry update " + registry.Name + " --username NAME --password-stdin, or the secret that it names",
	}
}
