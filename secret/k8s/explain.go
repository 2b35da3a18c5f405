package k8s

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/secret"
)

// explain turns an answer of the API server into the error for people. What it says of itself is kept where it says who
// asked for what; a body that does not decode never is.
func explain(ref secret.Ref, p place, namespace string, err error) error {
	e := &secret.Error{Kind: secret.ErrUnreachable, Ref: ref}
	var status apierrors.APIStatus
	switch {
	case apierrors.IsNotFound(err):
		e.Kind, e.Text = secret.ErrNotFound, "there is no secret "+p.name+" in the agent's namespace "+namespace
		e.Hint = "create it there; " + Scheme + ":NAME/KEY names a secret and a key of it, never a namespace"
	case apierrors.IsForbidden(err):
		e.Kind, e.Text = secret.ErrNotAllowed, "the cluster does not let the agent read it: "+cut(message(err))
		e.Hint = "a platform admin adds to a Role in " + namespace + ", bound to the agent's service account: " +
			`{apiGroups: [""], resources: [secrets], resourceNames: [` + p.name + `], verbs: [get]}`
	case apierrors.IsUnauthorized(err):
		e.Kind, e.Text = secret.ErrNotAllowed, "the cluster's API server does not know the agent's service account: its token has ended or is another cluster's"
		e.Hint = "the platform admin looks at the agent's pod: the mounted token must be one of this cluster, and rotate"
	case apierrors.IsTooManyRequests(err):
		e.Text, e.Hint = "the cluster's API server is throttling: it put off every try", "try again in a minute; a platform admin sees in its metrics who asks so much"
	case errors.As(err, &status) && status.Status().Code >= 300 && status.Status().Code < 400:
		e.Text, e.Hint = "the cluster's API server redirects, which is not followed with the agent's token", "a platform admin looks at what answers at KUBERNETES_SERVICE_HOST"
	case errors.As(err, &status) && status.Status().Code != 0 && status.Status().Code != http.StatusOK:
		e.Text, e.Hint = "the cluster's API server answered "+http.StatusText(int(status.Status().Code))+" ("+string(status.Status().Reason)+")", "try again; if it stays so, a platform admin looks at the API server"
	default:
		e.Text, e.Hint = wire(err)
	}
	return e
}

func message(err error) string {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return status.Status().Message
	}
	return "forbidden"
}

// wire is for answers that never came.
func wire(err error) (text, hint string) {
	var authority x509.UnknownAuthorityError
	var dns *net.DNSError
	var call *net.OpError
	var asked *url.Error
	const who = "the cluster's API server"
	switch {
	case errors.As(err, &authority):
		return who + " has a certificate of another authority than the cluster's", "a platform admin looks at the ca.crt that is mounted into the agent's pod"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &asked) && asked.Timeout():
		return who + " does not answer in time", "try again; if it stays so, a network admin looks at the way from the agent's pod to it"
	case errors.As(err, &dns), errors.As(err, &call):
		return who + " cannot be reached", "a network admin looks at the way from the agent's pod to it (network policies, KUBERNETES_SERVICE_HOST)"
	case errors.As(err, &asked):
		return who + " breaks off", "try again; if it stays so, a platform admin looks at the API server"
	}
	return who + " answered something that is no Kubernetes secret", "a platform admin looks at what answers at KUBERNETES_SERVICE_HOST"
}

// cut makes foreign text fit to print.
func cut(text string) string { return egress.Clean(text, 300) }
