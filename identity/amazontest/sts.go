package amazontest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// serveSTS is the query API: a form in, XML out.
func (c *Cloud) serveSTS(w http.ResponseWriter, r *http.Request, at place) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	form, formErr := url.ParseQuery(string(body))
	if err != nil || formErr != nil || r.Method != http.MethodPost || form.Get("Version") != "2011-06-15" {
		writeSTSError(w, &apiError{http.StatusBadRequest, "InvalidAction", "Could not find operation for the version"})
		return
	}
	operation := "sts:" + form.Get("Action")
	call := Call{Host: r.Host, Session: form.Get("RoleSessionName")}
	var k *Key
	var refused *apiError
	if operation != "sts:AssumeRoleWithWebIdentity" {
		k, refused = c.verify(r, body, "sts", at.region, at.partition)
	}
	if k != nil {
		call.Principal = k.arn
	}
	c.record(operation, call)
	done, fault := c.fault(operation).suffer(w, r)
	switch {
	case done:
	case fault != nil:
		writeSTSError(w, fault)
	case refused != nil:
		writeSTSError(w, inQueryForm(refused))
	default:
		c.answerSTS(w, operation, k, form)
	}
}

func (c *Cloud) answerSTS(w http.ResponseWriter, operation string, k *Key, form url.Values) {
	var result any
	err := &apiError{http.StatusBadRequest, "InvalidAction", "Could not find operation " + operation}
	switch operation {
	case "sts:GetCallerIdentity":
		result, err = callerIdentity{ARN: k.arn, UserID: k.ID[:8], Account: k.by.account()}, nil
	case "sts:AssumeRole":
		result, err = c.assumeRole(k, form)
	case "sts:AssumeRoleWithWebIdentity":
		result, err = c.assumeRoleWithWebIdentity(form)
	}
	if err != nil {
		writeSTSError(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	name := strings.TrimPrefix(operation, "sts:")
	_ = xml.NewEncoder(w).Encode(stsAnswer{XMLName: xml.Name{Space: "https://sts.amazonaws.com/doc/2011-06-15/", Local: name + "Response"},
		Result: stsResult{XMLName: xml.Name{Local: name + "Result"}, Content: result}, RequestID: requestID})
}

const requestID = "01234567-89ab-cdef-0123-456789abcdef"

type stsAnswer struct {
	XMLName   xml.Name
	Result    stsResult
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type stsResult struct {
	XMLName xml.Name
	Content any
}

type callerIdentity struct {
	XMLName xml.Name `xml:"-"`
	ARN     string   `xml:"Arn"`
	UserID  string   `xml:"UserId"`
	Account string
}

type assumed struct {
	ID, Secret, Token, Expires, ARN string
}

// MarshalXML writes what AssumeRole answers.
func (a assumed) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return errors.Join(
		e.Encode(struct {
			XMLName                                                xml.Name `xml:"Credentials"`
			AccessKeyId, SecretAccessKey, SessionToken, Expiration string
		}{AccessKeyId: a.ID, SecretAccessKey: a.Secret, SessionToken: a.Token, Expiration: a.Expires}),
		e.Encode(struct {
			XMLName            xml.Name `xml:"AssumedRoleUser"`
			Arn, AssumedRoleId string
		}{Arn: a.ARN, AssumedRoleId: "AROA:" + a.ID}))
}

// MarshalXML writes what GetCallerIdentity answers.
func (i callerIdentity) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	for _, field := range [][2]string{{"Arn", i.ARN}, {"UserId", i.UserID}, {"Account", i.Account}} {
		if err := e.EncodeElement(field[1], xml.StartElement{Name: xml.Name{Local: field[0]}}); err != nil {
			return err
		}
	}
	return nil
}

var (
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
)

func validation(message string) *apiError {
	return &apiError{http.StatusBadRequest, "ValidationError", message}
}

// checkAssume checks what both ways of assuming a role have in common.
func (c *Cloud) checkAssume(form url.Values) (role *Principal, life time.Duration, err *apiError) {
	seconds := 3600
	if text := form.Get("DurationSeconds"); text != "" {
		seconds, _ = strconv.Atoi(text)
	}
	role = c.roles[form.Get("RoleArn")]
	switch {
	case !sessionName.MatchString(form.Get("RoleSessionName")):
		return nil, 0, validation("1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*")
	case seconds < 900:
		return nil, 0, validation("1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900")
	case role != nil && time.Duration(seconds)*time.Second > role.longest:
		return nil, 0, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return role, time.Duration(seconds) * time.Second, nil
}

func (c *Cloud) assumeRole(k *Key, form url.Values) (any, *apiError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	role, life, err := c.checkAssume(form)
	if err != nil {
		return nil, err
	}
	id := form.Get("ExternalId")
	if id != "" && (len(id) < 2 || len(id) > 1224 || !externalID.MatchString(id)) {
		return nil, validation("1 validation error detected: Value at 'externalId' failed to satisfy constraint")
	}
	if k.chained && life > time.Hour {
		return nil, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	// A trust policy that names the caller is enough within one account; one that names the account, or another account's
	// caller, needs the caller's own policy too.
	same := role != nil && role.account() == k.by.account()
	named := role != nil && slices.Contains(role.trust.Principals, k.by.ARN)
	byAccount := role != nil && slices.Contains(role.trust.Principals, fmt.Sprintf("arn:%s:iam::%s:root", k.by.partition(), k.by.account()))
	if role == nil || role.trust.ExternalID != id && role.trust.ExternalID != "" || !named && !byAccount ||
		!(named && same) && !k.by.may("sts:AssumeRole", role.ARN) {
		return nil, &apiError{http.StatusForbidden, "AccessDenied", fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", k.arn, form.Get("RoleArn"))}
	}
	return c.assume(role, form.Get("RoleSessionName"), life), nil
}

func (c *Cloud) assumeRoleWithWebIdentity(form url.Values) (any, *apiError) {
	claims, tokenErr := c.readToken(form.Get("WebIdentityToken"))
	c.mu.Lock()
	defer c.mu.Unlock()
	role, life, err := c.checkAssume(form)
	switch {
	case err != nil:
		return nil, err
	case errors.Is(tokenErr, errExpired):
		return nil, &apiError{http.StatusBadRequest, "ExpiredTokenException", "Token expired"}
	case tokenErr != nil:
		return nil, &apiError{http.StatusBadRequest, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider, or the token's signature is not valid"}
	case role == nil || role.trust.Issuer != claims.Issuer || role.trust.Subject != claims.Subject || !claims.Audience.Contains(role.trust.Audience):
		return nil, &apiError{http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
	}
	return c.assume(role, form.Get("RoleSessionName"), life), nil
}

func (c *Cloud) assume(role *Principal, session string, life time.Duration) assumed {
	k := c.session(role, session, life)
	k.chained = true
	return assumed{ID: k.ID, Secret: k.Secret, Token: k.Token, Expires: k.Expires.UTC().Format(time.RFC3339), ARN: k.arn}
}

// inQueryForm gives a refusal the code and status that STS has for it.
func inQueryForm(e *apiError) *apiError {
	codes := map[string]string{
		"UnrecognizedClientException": "InvalidClientTokenId", "InvalidSignatureException": "SignatureDoesNotMatch", "ExpiredTokenException": "ExpiredToken",
		"MissingAuthenticationTokenException": "MissingAuthenticationToken", "IncompleteSignatureException": "IncompleteSignature",
	}
	return &apiError{http.StatusForbidden, codes[e.code], e.message}
}

func writeSTSError(w http.ResponseWriter, e *apiError) {
	code := strings.TrimSuffix(e.code, "Exception")
	if e.code == "ExpiredTokenException" && e.status == http.StatusBadRequest {
		code = e.code // of web identities
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(e.status)
	type failure struct{ Type, Code, Message string }
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error     failure
		RequestID string `xml:"RequestId"`
	}{Error: failure{"Sender", code, e.message}, RequestID: requestID})
}
