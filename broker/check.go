package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/oci"
	"pierhead.dev/pierhead/oci/client"
)

// Check looks whether a registry's credential is good, by a real grant: the manifest of an image, asked for with this
// credential, without one, and with a made-up one of a random user, so that no account is locked. A ping or a list of tags
// would prove nothing. text is the image, or "" where none is known: then only secret and exchange are tried. Nothing
// remembered is used, and nothing falls back. A bad result is recorded as an event too.
func (b *Broker) Check(ctx context.Context, caller pierhead.Caller, registry pierhead.Registry, text string) pierhead.Check {
	c := checker{broker: b, registry: registry}
	check := c.look(ctx, text)
	check.At, check.Image = b.Now(), text
	if check.Result == pierhead.CheckRefused || check.Result == pierhead.CheckFailed {
		q := Question{OrganizationID: registry.OrganizationID, Reference: c.reference}
		b.record(q, caller, "registry.check", registry.Name, map[string]string{"result": string(check.Result), "error": check.Reason})
	}
	return check
}

// A checker is one look.
type checker struct {
	broker    *Broker
	registry  pierhead.Registry
	reference image.Reference
	known     bool // the reference is an image that somebody named or pulled
}

func (c *checker) decision() decision {
	return decision{step: stepRegistry, lender: c.registry, way: c.registry}
}

func (c *checker) question() Question {
	return Question{OrganizationID: c.registry.OrganizationID, Reference: c.reference}
}

func (c *checker) look(ctx context.Context, text string) pierhead.Check {
	c.known = text != ""
	var err error
	if !c.known {
		text = hostToTry(c.registry) + "/" + unknownRepository
	}
	if c.reference, err = image.Parse(text); err != nil {
		return pierhead.Check{Result: pierhead.CheckUnproved, Reason: "no image is known that the registry covers", Hint: nameSample(c.registry)}
	}
	login, err := c.broker.exchange(ctx, c.decision(), c.reference, nil)
	switch {
	case err != nil:
		return c.bad(err)
	case login.Empty():
		return pierhead.Check{Result: pierhead.CheckUnproved, Reason: "the registry has no credential"}
	case !c.known:
		return pierhead.Check{Result: pierhead.CheckUnproved, Reason: "the credential could be had, but no image is known that would prove it", Hint: nameSample(c.registry)}
	}
	found, err := c.ask(ctx, login)
	if err != nil {
		return c.bad(err)
	}
	return c.control(ctx, found)
}

// unknownRepository stands in a reference whose host alone counts.
const unknownRepository = "unknown"

func hostToTry(registry pierhead.Registry) string {
	hosts, _ := image.LiteralHosts(registry.Match)
	if len(hosts) == 0 {
		return ""
	}
	return hosts[0]
}

func nameSample(registry pierhead.Registry) string {
	return "name an image that is there: pier registry update " + registry.Name + " --sample REPOSITORY:TAG, or pier registry test " + registry.Name + " --image IMAGE"
}

// ask asks for the manifest with one login, and none where it is empty. found is false when the registry took the login and
// says that there is no such image.
func (c *checker) ask(ctx context.Context, login credential.Credential) (found bool, err error) {
	config := client.Config{Rules: c.broker.rules(c.registry, c.reference), Network: c.broker.Network}
	if !login.Empty() {
		config.Credentials = fixed{login}
	}
	reader, err := client.New(config)
	if err != nil {
		return false, err
	}
	tag := c.reference.Digest()
	if tag == "" {
		tag = c.reference.Tag()
	}
	// The question without a body costs nothing of a rate limit; the one with a body says why it is refused.
	if _, err = reader.Resolve(ctx, c.reference.Repository(), tag); err != nil && !notThere(err) {
		_, err = reader.Manifest(ctx, c.reference.Repository(), tag)
	}
	if notThere(err) {
		return false, nil
	}
	return err == nil, err
}

// control tells what the registry's answer proves, by asking the same without a login and with one that nobody has.
func (c *checker) control(ctx context.Context, found bool) pierhead.Check {
	host := c.reference.Host()
	open, err := c.ask(ctx, credential.Credential{})
	if err == nil && open {
		return pierhead.Check{Result: pierhead.CheckUnproved, Reason: c.reference.String() + " is public: " + host + " gives it without a login too",
			Hint: strings.Replace(nameSample(c.registry), "that is there", "that needs the login", 1)}
	}
	if err == nil || !refusal(err) {
		return c.unclear(found, "without a login", err)
	}
	user := "pierhead-check-" + rand.Text()[:12]
	taken, err := c.ask(ctx, credential.New(user, rand.Text(), time.Time{}, []string{host}))
	switch {
	case err == nil && taken:
		return pierhead.Check{Result: pierhead.CheckUnproved, Reason: host + " gives " + c.reference.String() + " for any login, also for one that nobody has",
			Hint: "the answer proves nothing about this credential: " + nameSample(c.registry)}
	case err == nil || !refusal(err):
		return c.unclear(found, "with a made-up login", err)
	case !found:
		return pierhead.Check{Result: pierhead.CheckUnproved, Reason: host + " takes the credential, and says that there is no " + c.reference.String(), Hint: nameSample(c.registry)}
	}
	return pierhead.Check{Result: pierhead.CheckProved, Reason: host + " gives " + c.reference.String() + " for this credential, and not for a made-up one"}
}

// unclear is for answers to the control questions that say neither yes nor no; what was found with the credential stands.
func (c *checker) unclear(found bool, how string, err error) pierhead.Check {
	answer := "there is no such image"
	if err != nil {
		answer = told(c.question(), err)
	}
	if !found {
		return pierhead.Check{Result: pierhead.CheckUnproved, Hint: nameSample(c.registry),
			Reason: "there is no " + c.reference.String() + ", and what " + c.reference.Host() + " says " + how + " does not tell whether it took the credential (" + answer + ")"}
	}
	return pierhead.Check{Result: pierhead.CheckProved, Reason: c.reference.Host() + " gives " + c.reference.String() + " for this credential (" + how + ": " + answer + ")"}
}

// refusal tells a registry's no to whoever asks: 401 or 403 of the registry or its token server, whatever was sent.
func refusal(err error) bool {
	return client.Refused(err) || errors.Is(err, oci.ErrUnauthorized) || errors.Is(err, oci.ErrDenied)
}

// bad is what an error with the credential means.
func (c *checker) bad(err error) pierhead.Check {
	result := pierhead.CheckFailed
	if client.Refused(err) || errors.Is(err, exchange.ErrRefused) || errors.Is(err, exchange.ErrHostMismatch) || errors.Is(err, oci.ErrUnauthorized) || errors.Is(err, oci.ErrDenied) {
		result = pierhead.CheckRefused
	}
	people := forPeople(c.question(), c.decision(), err)
	reason := people.Error()
	if !c.known { // the reference stands for its host
		reason = strings.TrimPrefix(reason, c.reference.String()+" cannot be pulled: ")
	}
	return pierhead.Check{Result: result, Reason: reason, Hint: pierhead.HintOf(people)}
}

// fixed is one login that is never renewed.
type fixed struct{ login credential.Credential }

// Credential implements client.Credentials.
func (f fixed) Credential(context.Context, *credential.Credential) (credential.Credential, error) {
	return f.login, nil
}
