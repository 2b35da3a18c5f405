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
// context's own error stays what it is: nobody waits for it any more. d is the decision, or zero.
func forPeople(q Question, d decision, err error) error {
	if err == nil || ended(err) {
		return err
	}
	text := " cannot be pulled: "
	switch {
	case client.Refused(err) && d.lender.ID != "":
		text += d.login() + " was not accepted: "
	case fromExchange(err):
		text += d.login() + " cannot be had: "
	case errors.Is(err, egress.ErrRules) && d.way.ID != "":
		text += "the settings of registry " + d.way.Name + ": "
	case notThere(err):
		text = " was not found: "
	}
	return &pierhead.Problem{Kind: pierhead.ErrPull, Cause: err, Text: q.Reference.String() + text + told(q, err), Hint: hint(q, d, err)}
}

// bothFailed tells both answers, the login's first: the anonymous one follows from it.
func bothFailed(q Question, d decision, login, anonymous error) error {
	if ended(anonymous) {
		return anonymous
	}
	return &pierhead.Problem{
		Kind: pierhead.ErrPull,
		// The anonymous answer is what the registry said last of this content: found first, an engine that asks for a
		// signature which need not be there is told 404 and not that its own login is wrong.
		Cause: errors.Join(anonymous, login),
		Text: q.Reference.String() + " cannot be pulled: " + givenUp(d, login) + " (" + told(q, login) +
			"), and the anonymous pull that followed failed too (" + told(q, anonymous) + ")",
		Hint: hint(q, d, login),
	}
}

// givenUp says what became of a login that an anonymous pull took the place of.
func givenUp(d decision, cause error) string {
	switch {
	case errors.Is(cause, exchange.ErrHostMismatch):
		return d.login() + " was not used"
	case d.step == stepIdentity && fromExchange(cause):
		return d.login() + " could not be had"
	}
	return d.login() + " was not accepted"
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
