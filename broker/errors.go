package broker

import (
	"context"
	"errors"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// forPeople makes any error of a pull a problem of kind pierhead.ErrPull, which names the image once and has a hint. A
// context's own error stays what it is: nobody waits for it any more. registry is the decided one, or zero.
func forPeople(q Question, registry pierhead.Registry, err error) error {
	if err == nil || ended(err) {
		return err
	}
	text := " cannot be pulled: "
	switch {
	case client.Refused(err) && registry.ID != "":
		text += "the login of registry " + registry.Name + " was not accepted: "
	case errors.Is(err, exchange.ErrRefused), errors.Is(err, exchange.ErrHostMismatch), errors.Is(err, exchange.ErrContent), errors.Is(err, exchange.ErrUnreachable):
		text += "there is no login of registry " + registry.Name + " for it: "
	case errors.Is(err, egress.ErrRules) && registry.ID != "":
		text += "the settings of registry " + registry.Name + ": "
	case notThere(err):
		text = " was not found: "
	}
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err, Text: q.Reference.String() + text + told(q, err), Hint: hint(q, registry, err)}
}

// bothFailed tells both answers, the login's first: the anonymous one follows from it.
func bothFailed(q Question, registry pierhead.Registry, login, anonymous error) error {
	if ended(anonymous) {
		return anonymous
	}
	return &pierhead.Problem{
		Kind: pierhead.ErrPull,
		// The anonymous answer is what the registry said last of this content: found first, an engine that asks for a
		// signature which need not be there is told 404 and not that its own login is wrong.
		Cause: errors.Join(anonymous, login),
		Text: q.Reference.String() + " cannot be pulled: " + givenUp(registry, login) + " (" + told(q, login) +
			"), and the anonymous pull that followed failed too (" + told(q, anonymous) + ")",
		Hint: hint(q, registry, login),
	}
}

// givenUp says what became of a login that an anonymous pull took the place of.
func givenUp(registry pierhead.Registry, cause error) string {
	if errors.Is(cause, exchange.ErrHostMismatch) {
		return "the login of registry " + registry.Name + " was not used"
	}
	return "the login of registry " + registry.Name + " was not accepted"
}

// told is an error's text without the image's own name, which stands in front of it already.
func told(q Question, err error) string {
	text := strings.ReplaceAll(err.Error(), " of "+q.Reference.Name()+": ", ": ")
	text = strings.TrimPrefix(text, "token for ")
	for _, which := range []string{q.Reference.Tag(), q.Reference.Digest()} {
		text = strings.TrimPrefix(text, "manifest "+which+": ")
	}
	return text
}

func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// notThere tells the registry's own 404 from those of token servers and storages, which say nothing about the image.
func notThere(err error) bool {
	var answer *client.Error
	return errors.As(err, &answer) && answer.Place == client.PlaceRegistry &&
		(errors.Is(err, oci.ErrManifestUnknown) || errors.Is(err, oci.ErrNameUnknown))
}
