package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/broker"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/internal/doors"
)

// lendDocker answers the Docker credential helper, which knows a host. What is not to be had for certain is there "not
// found": Docker's command line takes anything else for the end of the pull, and public images must go on.
func (a *Agent) lendDocker(ctx context.Context, ask doors.Ask) (doors.Loan, *refusal) {
	asked := shown(ask.Host)
	host, err := dockerHost(ask.Host)
	if err != nil {
		return doors.Loan{}, refused(err, pierhead.ErrNotFound)
	}
	loan, err := a.lend(ctx, a.doorCaller(), broker.Question{Reference: host, Door: doors.Docker})
	if err == nil {
		return loanOf(loan), nil
	}
	r, said := a.notLent(doors.Docker, asked, err, pierhead.ErrNotFound, pierhead.ErrConflict)
	if !said {
		a.Log.Info("no credential for a runtime", "door", doors.Docker, "asked", asked, "reason", r.Reason)
	}
	return doors.Loan{}, r
}

// notLent makes of an error what is said at a door, as refused does, and keeps it among the node's troubles where it is more
// than "nothing is configured"; said tells whether there is no more to say of it.
func (a *Agent) notLent(door doors.Door, asked string, err error, missing ...error) (r *refusal, said bool) {
	if errors.Is(err, context.Canceled) { // whoever asked went away
		return refused(err), true
	}
	r = refused(err, missing...)
	if r.status == http.StatusNotFound && !worthTelling(err) {
		return r, false
	}
	a.trouble(door, asked, r.Reason, r.Hint)
	return r, true
}

// worthTelling are the refusals that are more than "nothing is configured": a runtime hides them, and somebody may look for
// them.
func worthTelling(err error) bool {
	var cause *pierhead.Problem
	return errors.Is(err, pierhead.ErrConflict) || errors.As(err, &cause) && cause.Cause != nil
}

// dockerHost reads what Docker's clients have as the key of a registry: "registry.example.com:5000", and for Docker Hub
// "https://index.docker.io/v1/".
func dockerHost(text string) (image.Reference, error) {
	for _, end := range []string{"/v1/access-token", "/v1/refresh-token"} { // of a login with the browser, beside Docker Hub's own key
		if strings.HasSuffix(text, end) {
			return image.Reference{}, pierhead.NewProblem(pierhead.ErrNotFound, "tokens of docker login with the browser are not kept here", "")
		}
	}
	host, err := image.OfHost(text)
	if err != nil {
		return image.Reference{}, pierhead.NewProblem(pierhead.ErrBadInput, err.Error(), "")
	}
	return host, nil
}

// lend asks the broker as the node's organization.
func (a *Agent) lend(ctx context.Context, caller pierhead.Caller, q broker.Question) (broker.Loan, error) {
	organization, _, err := a.Snapshot.home(ctx, a.Organization)
	if err != nil {
		return broker.Loan{}, err
	}
	q.OrganizationID = organization.ID
	return a.Broker.Lend(ctx, caller, q)
}

// loanOf puts a loan on the wire to a helper of this machine.
func loanOf(l broker.Loan) doors.Loan {
	return doors.Loan{Username: l.Login.Username(), Password: l.Login.Password(), Host: l.Host, Reach: l.Reach, ExpiresAt: l.Login.Expires(),
		CacheFor: int64(l.CacheFor.Seconds()), Registry: l.Registry, Warning: l.Warning}
}

// shown is a runtime's text for logs and people: cut, and without what may be a login before an "@".
func shown(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 && !strings.Contains(text[at:], ":") {
		text = "…" + text[at:]
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return strings.Trim(fmt.Sprintf("%q", text), `"`)
}
