package amazon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ranOut tells whether an answer means that the credentials are no longer what the service takes.
func ranOut(err error) bool {
	switch codeOf(err) {
	case "ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId", "TokenRefreshRequired":
		return true
	}
	return false
}

func codeOf(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

// explain makes an *Error of whatever the SDK returned. ctx is the asker's own: where that ended, it is the answer. used
// are the credentials that were used, whose secrets are looked for in every text.
func explain(ctx context.Context, s Source, p Place, used aws.Credentials, err error) error {
	var told *Error
	switch {
	case errors.As(err, &told):
		return told
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err()
	}
	q := questionOf(err, p)
	var answer smithy.APIError
	switch {
	case errors.As(err, &answer):
		return q.answered(s, used, answer, responseOf(err))
	case responseOf(err) != nil:
		return q.garbled(responseOf(err), err)
	case configured(err) != nil:
		return configured(err)
	case q.action == noAction && !onTheWay(err):
		return &Error{Kind: ErrNone, Text: "the credentials for Amazon that this node's configuration names cannot be had",
			Hint: "the platform admin of the node tries them as the agent's user (aws sts get-caller-identity) and corrects them: AWS_PROFILE, credential_process, an SSO session that ended"}
	}
	return q.unanswered(err)
}

// A question is what was asked of whom.
type question struct {
	action string // "sts:AssumeRole"
	host   string
	place  Place
}

// String is the question at the beginning of a sentence.
func (q question) String() string {
	if q.action == noAction {
		return "the request for this node's container credentials (AWS_CONTAINER_CREDENTIALS_…)"
	}
	return q.action + " at " + q.host
}

// noAction is that of the SDK's chain where it asks none of the services below.
const noAction = "credentials"

// onTheWay tells whether an error is the network's, or of the time that passed.
func onTheWay(err error) bool {
	var sent *url.Error
	var network *net.OpError
	return errors.As(err, &sent) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}

// services are how the SDK calls services, and how policies do.
var services = map[string]string{"STS": "sts", "ECR": "ecr", "ECR PUBLIC": "ecr-public", "Secrets Manager": "secretsmanager",
	"SSO": "sso", "SSO OIDC": "sso-oauth", "Signin": "signin"}

func questionOf(err error, p Place) question {
	q := question{place: p, action: noAction, host: "Amazon"}
	for rest := err; rest != nil; { // the innermost: credentials may be fetched in the middle of a question
		var operation *smithy.OperationError
		if !errors.As(rest, &operation) {
			break
		}
		if service := services[operation.Service()]; service != "" {
			q.action, q.host = service+":"+operation.Operation(), service+" in "+p.Region
		}
		rest = operation.Unwrap()
	}
	var sent *url.Error
	if response := responseOf(err); response != nil && response.Request != nil {
		q.host = response.Request.URL.Host
	} else if errors.As(err, &sent) {
		if u, err := url.Parse(sent.URL); err == nil && u.Host != "" {
			q.host = u.Host
		}
	}
	return q
}

func responseOf(err error) *smithyhttp.Response {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response.StatusCode > 0 { // 0: the SDK's stand-in for no answer
		return answer.Response
	}
	return nil
}

// answered is about a service's own error.
func (q question) answered(s Source, used aws.Credentials, answer smithy.APIError, response *smithyhttp.Response) *Error {
	code := clean(answer.ErrorCode(), 80)
	e := &Error{Kind: ErrRefused, Code: code, Action: q.action}
	status := 0
	if response != nil {
		status = response.StatusCode
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled && code != "LimitExceededException" || status == http.StatusTooManyRequests {
		e.Kind = ErrUnreachable
		e.Text = fmt.Sprintf("%s is throttled: it answered %s to every try", q, code)
		e.Hint = "try again in a minute; if it stays so, a cloud admin looks who else asks in this account and region, and at its quota"
		return e
	}
	if status >= 500 || answer.ErrorFault() == smithy.FaultServer {
		e.Kind = ErrUnreachable
		e.Text = fmt.Sprintf("%s does not work now: %s", q, code)
		e.Hint = "try again; Amazon's status page says what it knows"
		return e
	}
	e.Text = fmt.Sprintf("%s was refused: %s", q, code)
	if message := messageOf(answer, used); message != "" {
		e.Text += ": " + message
	}
	if id := requestID(response); id != "" {
		e.Text += " (request " + id + ")"
	}
	e.Hint = q.hint(s, code, answer.ErrorMessage(), response)
	return e
}

// messageOf is the vendor's own sentence where there can be no secret in it: what is said of signatures has the whole
// request in it, with its session token.
func messageOf(answer smithy.APIError, used aws.Credentials) string {
	message := answer.ErrorMessage()
	if isSignature(answer.ErrorCode()) && !aboutTime(message) {
		return ""
	}
	for _, s := range []string{used.SecretAccessKey, used.SessionToken} {
		if s != "" {
			message = strings.ReplaceAll(message, s, "…")
		}
	}
	return strings.TrimSuffix(clean(message, 300), ".")
}

func isSignature(code string) bool {
	switch code {
	case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException":
		return true
	}
	return false
}

func aboutTime(message string) bool {
	return strings.HasPrefix(message, "Signature expired:") || strings.HasPrefix(message, "Signature not yet current:")
}

func requestID(response *smithyhttp.Response) string {
	if response == nil {
		return ""
	}
	return clean(response.Header.Get("X-Amzn-Requestid"), 60)
}

// hint says whose turn it is.
func (q question) hint(s Source, code, message string, response *smithyhttp.Response) string {
	holder := "this node's identity"
	if s.Keys != nil {
		holder = "the user of the access key in the secret"
	}
	switch {
	case q.action == noAction:
		return "a cloud admin gives the ECS task a role, or the agent's service account an association of EKS Pod Identity"
	case aboutTime(message) || code == "RequestTimeTooSkewed" || code == "RequestExpired":
		return "the platform admin of the node sets its clock, which is " + offBy(response) + ": Amazon takes signatures of the last 15 minutes only"
	case isSignature(code) && s.Keys != nil:
		return "an organization admin puts access key id and secret access key into the secret once more: the two do not belong together"
	case isSignature(code):
		return "the platform admin of the node looks at its credentials for Amazon, and at its clock"
	case strings.HasPrefix(code, "AccessDenied") && q.action == "sts:AssumeRole":
		return deniedRole(s, holder)
	case strings.HasPrefix(code, "AccessDenied") && q.action == "sts:AssumeRoleWithWebIdentity":
		return "a cloud admin lets the role's trust policy name this cluster's OIDC provider and the agent's service account (system:serviceaccount:NAMESPACE:NAME)"
	case strings.HasPrefix(code, "AccessDenied"):
		return "a cloud admin allows " + q.action + " to " + holderOf(s, holder) + " in an identity policy"
	case code == "InvalidIdentityToken" || code == "IDPRejectedClaim":
		return "a cloud admin looks at the account's OIDC provider for this cluster: its issuer, its audience sts.amazonaws.com, and whether Amazon reaches its keys"
	case code == "ExpiredToken" || code == "ExpiredTokenException":
		return expired(s)
	case code == "UnrecognizedClientException" || code == "InvalidClientTokenId":
		return fmt.Sprintf("%s is not known in partition %s: it was deleted or switched off, is mistyped, lacks its session token, or is of another partition; %s looks which", strings.TrimPrefix(holder, "the user of "), q.place.Partition(), keeper(s))
	case code == "RegionDisabledException" || code == "OptInRequired":
		return "a cloud admin enables region " + q.place.Region + " in the account"
	}
	return "a cloud admin looks at " + q.action + " of " + holderOf(s, holder)
}

// keeper is who puts the credentials where they are.
func keeper(s Source) string {
	if s.Keys != nil {
		return "an organization admin"
	}
	return "the platform admin of the node"
}

func holderOf(s Source, holder string) string {
	if s.Role != "" {
		return "role " + s.Role
	}
	return holder
}

func deniedRole(s Source, holder string) string {
	id := "without an external ID"
	if s.ExternalID != "" {
		id = "with the registry's external ID"
	}
	return fmt.Sprintf("a cloud admin lets the trust policy of %s name %s, %s, and allows it sts:AssumeRole on that role in its own policy; an organization admin looks whether assume_role and external_id are right", s.Role, holder, id)
}

func expired(s Source) string {
	if s.Keys != nil {
		return "the session token in the secret has run out: an organization admin puts a permanent access key there, or uses the node's identity or a role, which renew themselves"
	}
	return "the platform admin of the node looks why its credentials for Amazon have run out and no new ones come"
}

// offBy says how far the node's clock is from that of the answer.
func offBy(response *smithyhttp.Response) string {
	if response != nil {
		if theirs, err := http.ParseTime(response.Header.Get("Date")); err == nil {
			if off := time.Since(theirs).Round(time.Second); off > 0 {
				return off.String() + " ahead"
			} else if off < 0 {
				return (-off).String() + " behind"
			}
		}
	}
	return "wrong"
}

// garbled is about an answer that is none of Amazon's.
func (q question) garbled(response *smithyhttp.Response, err error) *Error {
	e := &Error{Kind: ErrUnreachable, Action: q.action, Text: fmt.Sprintf("%s: the answer (%d) is not what Amazon sends", q, response.StatusCode),
		Hint: "a network admin looks what answers in Amazon's place: a proxy, or an end-point of the node's configuration (AWS_ENDPOINT_URL)"}
	if errors.Is(err, errLong) {
		e.Text += ": it is too long"
	}
	return e
}

// configured is about the operator's configuration, which the SDK cannot read or use; nil for other errors.
func configured(err error) error {
	var file config.SharedConfigLoadError
	var profile config.SharedConfigProfileNotExistError
	var half config.SharedConfigAssumeRoleError
	var mfa config.AssumeRoleTokenProviderNotSetError
	e := &Error{Kind: ErrNone, Hint: "the platform admin of the node corrects it"}
	switch {
	case errors.As(err, &profile):
		e.Text = fmt.Sprintf("the node's AWS configuration has no profile %q (AWS_PROFILE)", clean(profile.Profile, 80))
	case errors.As(err, &half):
		e.Text = fmt.Sprintf("profile %q of the node's AWS configuration assumes a role and does not say with what", clean(half.Profile, 80))
	case errors.As(err, &mfa):
		e.Text = "the profile of the node's AWS configuration wants a code of a person (mfa_serial), whom nobody can ask here"
	case errors.As(err, &file):
		e.Text = "the node's AWS configuration " + clean(file.Filename, 200) + " cannot be read"
	default:
		name := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
		if _, missing := os.Stat(name); name == "" || missing == nil {
			return nil
		}
		e.Text = "the node's web identity token " + clean(name, 200) + " cannot be read (AWS_WEB_IDENTITY_TOKEN_FILE)"
	}
	return e
}

// unanswered is about a question that got no answer.
func (q question) unanswered(err error) *Error {
	e := &Error{Kind: ErrUnreachable, Action: q.action, Hint: "a network admin looks at the way from this node to " + q.host + " (port 443, the proxy of HTTPS_PROXY, or a VPC end-point)"}
	if q.action == noAction {
		e.Hint = "the platform admin of the node looks what is at " + q.host + ", where the configuration says that its credentials are"
	}
	why := "no answer"
	var op *net.OpError
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		why = "the proxy is not reached"
		e.Hint = "the platform admin of the node corrects HTTPS_PROXY in the agent's environment, or exempts Amazon from it (NO_PROXY)"
	case strings.HasSuffix(err.Error(), ": "+http.StatusText(http.StatusProxyAuthRequired)): // net/http has no error for it
		why = "the proxy wants a login"
		e.Hint = "the platform admin of the node writes it into HTTPS_PROXY of the agent's environment (http://name:password@host:port)"
	case errors.As(err, &dns):
		q.host = dns.Name
		why = "the name does not resolve"
		e.Hint = fmt.Sprintf("there may be no region %q, or none of this service's: check its name; if that is right, a network admin looks at this node's DNS", q.place.Region)
	case errors.As(err, &authority), errors.As(err, &verify):
		why = "its certificate is not trusted here"
		e.Hint = "if a proxy of your own answers in Amazon's place, the platform admin of the node adds its authority (AWS_CA_BUNDLE); else look at the node's clock"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "the connection is refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "there is no route to it"
	case errors.Is(err, syscall.ECONNRESET):
		why = "the connection broke"
	case errors.Is(err, errLong):
		why = "the answer is too long"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		why = "it did not answer in time"
	}
	e.Text = fmt.Sprintf("%s got no answer: %s", q, why)
	return e
}

// clean makes a foreign text fit for one line of ours.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
