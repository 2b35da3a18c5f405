package gcpsm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/secret"
)

var (
	errGarbled = errors.New("the answer is none of Secret Manager's")
	errDamaged = errors.New("the content does not have its checksum")
)

// kinds says what an error about the node's token is here.
var kinds = map[error]error{google.ErrNoIdentity: secret.ErrNotAllowed, google.ErrRefused: secret.ErrNotAllowed, google.ErrUnreachable: secret.ErrUnreachable}

// A refusal is a no of Secret Manager's, with the answer behind it for Previous.
type refusal struct {
	told   *secret.Error
	answer *google.Answer
}

// Error is the sentence.
func (r *refusal) Error() string { return r.told.Error() }

// Unwrap is both.
func (r *refusal) Unwrap() []error { return []error{r.told, r.answer} }

// explain makes a secret.Error of what came instead of a secret.
func explain(ctx context.Context, ref secret.Ref, n name, principal string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("secret %s: %w", ref, ctx.Err())
	}
	var token *google.Error
	var answer *google.Answer
	switch {
	case errors.As(err, &token):
		return &secret.Error{Kind: kinds[token.Kind], Ref: ref, Text: token.Text, Hint: token.Hint}
	case errors.As(err, &answer):
		e := refused(n, principal, answer)
		e.Ref = ref
		return &refusal{told: &e, answer: answer}
	case errors.Is(err, errDamaged):
		return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: "what " + n.host() + " answered was damaged on its way: it does not have its checksum (CRC32C)", Hint: "try again; if it stays so, ask whoever runs the network"}
	}
	reach := "the node must reach https://" + n.host() + ", by HTTPS_PROXY where there is a proxy; ask whoever runs the network"
	if text := google.Unreachable(err); text != "" {
		return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: text, Hint: reach}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: n.host() + " did not answer in time", Hint: reach}
	}
	// What is left is an answer that the library could not read; its error may quote it.
	return &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: "what " + n.host() + " answered is no secret",
		Hint: "something between the node and Google answers in its place, a proxy or a sign-in page: ask whoever runs the network"}
}

// refused reads Secret Manager's own answers.
func refused(n name, principal string, a *google.Answer) secret.Error {
	e := secret.Error{Kind: secret.ErrNotAllowed, Text: a.Error()}
	switch {
	case a.Throttled():
		e.Kind, e.Text, e.Hint = secret.ErrUnreachable, e.Text+"; it is throttling", "wait a minute, or ask for a higher quota of Secret Manager's access requests in the project"
	case a.Status >= 500 || a.Status/100 == 3:
		e.Kind, e.Hint = secret.ErrUnreachable, "that is on the other side: try again, and look at https://status.cloud.google.com"
	case a.Status == http.StatusNotFound:
		e.Kind, e.Hint = secret.ErrNotFound, missing(n)
	case a.Status == http.StatusUnauthorized:
		e.Hint = "the node's token is no longer taken: look at its identity, " + principal
	case a.Reason == "SERVICE_DISABLED" || strings.Contains(a.Message, "has not been used in project"):
		e.Hint = "switch the API on: gcloud services enable secretmanager.googleapis.com --project=" + n.project
	case a.Reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		e.Hint = "the machine's access scopes have no cloud-platform in them: set them (gcloud compute instances set-service-account --scopes=cloud-platform)"
	case a.Status == http.StatusForbidden:
		e.Text = principal + " may not read it: " + e.Text
		e.Hint = "let your cloud's IAM admin grant the role Secret Manager Secret Accessor: " + grant(n, principal) + "; or the secret is not there"
	case a.Code == "FAILED_PRECONDITION":
		e.Hint = "enable that version, add a new one, or name another in the reference"
	default:
		e.Hint = "compare the reference with the secret's name in Secret Manager"
	}
	return e
}

func missing(n name) string {
	list := "gcloud secrets versions list " + n.secret + " --project=" + n.project
	if n.location != "" {
		return list + " --location=" + n.location + " shows what there is; a secret without a location has none in its reference"
	}
	return list + " shows what there is; a regional secret has its location in its reference"
}

// grant is the command that lets a principal read a secret.
func grant(n name, principal string) string {
	command := "gcloud secrets add-iam-policy-binding " + n.secret + " --project=" + n.project
	if n.location != "" {
		command += " --location=" + n.location
	}
	return command + " --member=" + google.Member(principal) + " --role=roles/secretmanager.secretAccessor"
}
