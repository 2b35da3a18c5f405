package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

// A Place is who gave an answer. Half of all misdiagnoses come from a status that another host sent.
type Place string

// The places.
const (
	PlaceRegistry    Place = "registry"
	PlaceTokenServer Place = "token server"
	PlaceStorage     Place = "storage" // where the registry redirected to
	PlaceProxy       Place = "proxy"   // between this node and all of them
)

// An Error is an answer that is no success, or why there was none. It holds and prints no credential and no query
// string. errors.Is finds one of oci's errors in it, and egress's where there was no answer; errors.As finds the
// *egress.Error with its rule.
type Error struct {
	Operation  string          // "manifest v1 of acme/app"
	Host       string          // who answered, or should have, with its port where that is not the scheme's own
	Place      Place           // what that host is to the registry
	Status     int             // 0: no answer
	Code       string          // the answer's first error code, "DENIED", or ""
	Text       string          // what the answer says, or what is wrong with it; one line, at most 512 bytes
	Login      bool            // a login, or a token that was got with one, went with the request
	RetryAfter time.Duration   // what the answer asks for; 0: nothing
	Evidence   egress.Evidence // of the last try, with the tries before

	kind    error // one of oci's errors; nil where none fits
	cause   error // egress's error
	refused bool  // the login itself was answered with no
	token   bool  // it was for a token
}

// Error says what was asked, who answered, and what.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(e.Operation + ": ")
	switch {
	case e.Status != 0 && e.Place != PlaceProxy:
		if e.Place != PlaceRegistry {
			text.WriteString("the " + string(e.Place) + " ")
		}
		text.WriteString(e.Host + " answered " + strconv.Itoa(e.Status))
		if e.Code != "" {
			text.WriteString(" " + e.Code)
		}
		if e.Text != "" {
			text.WriteString(": " + e.Text)
		}
	case e.cause != nil:
		text.WriteString(e.cause.Error())
		if e.Text != "" {
			text.WriteString("; " + e.Text)
		}
	default:
		text.WriteString(e.Text)
	}
	return text.String()
}

// Unwrap returns oci's error and egress's.
func (e *Error) Unwrap() []error {
	var out []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// Refused tells whether a login was sent, and was answered with no: by the token server (401, 403, an OAuth
// invalid_grant), or by the registry (401, 403). It is false where none was sent, where it was withheld because the
// token server is not the registry's own, where another host (storage) said no, and where nobody answered.
func Refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.refused
}

// Withheld tells whether a login was kept back because the registry asked for it at a token server that is neither its
// own nor its vendor's nor confirmed by an admin.
func Withheld(err error) bool {
	var e *egress.Error
	return errors.As(err, &e) && errors.Is(err, egress.ErrRefused) && e.Rule == egress.RuleRealm
}

const maxText = 512

// answerError makes an Error of an answer with an error status.
func (c *Client) answerError(k call, place Place, r *egress.Response, login bool) *Error {
	body := readAll(r)
	e := &Error{
		Operation: k.operation, Host: r.Evidence.Last().Host, Place: place, Status: r.Status, Login: login,
		RetryAfter: retryAfter(r.Header.Get("Retry-After"), c.config.Now()), Evidence: r.Evidence,
	}
	e.Code, e.Text = readErrorBody(r.Header.Get("Content-Type"), body)
	e.kind = kindOf(k.about, e)
	switch {
	case !login || place == PlaceStorage:
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden:
		e.refused = true
	case r.Status == http.StatusBadRequest:
		e.refused = place == PlaceTokenServer && e.Code == "invalid_grant" || place == PlaceRegistry && c.host == ecrPublic
	}
	return e
}

// ecrPublic answers 400 to a bearer token that has expired (FACTS: aws/containers-roadmap#2835).
const ecrPublic = "public.ecr.aws"

// byStatus is what a status means by itself, whoever sent it.
var byStatus = map[int]*oci.Error{
	http.StatusUnauthorized:                 oci.ErrUnauthorized,
	http.StatusForbidden:                    oci.ErrDenied,
	http.StatusMethodNotAllowed:             oci.ErrUnsupported,
	http.StatusRequestedRangeNotSatisfiable: oci.ErrRangeInvalid,
	http.StatusTooManyRequests:              oci.ErrTooManyRequests,
	http.StatusInsufficientStorage:          oci.ErrFull,
}

// unknown is what a 404 means.
var unknown = map[about]*oci.Error{
	aboutManifest: oci.ErrManifestUnknown, aboutBlob: oci.ErrBlobUnknown, aboutUpload: oci.ErrBlobUploadUnknown, aboutName: oci.ErrNameUnknown,
}

// byCode are the codes that tell more than their status does.
var byCode = func() map[string]*oci.Error {
	out := map[string]*oci.Error{}
	for _, e := range []*oci.Error{
		oci.ErrBlobUnknown, oci.ErrBlobUploadInvalid, oci.ErrBlobUploadUnknown, oci.ErrDigestInvalid, oci.ErrManifestBlobUnknown,
		oci.ErrManifestInvalid, oci.ErrManifestUnknown, oci.ErrNameInvalid, oci.ErrNameUnknown, oci.ErrSizeInvalid,
		oci.ErrTagInvalid, oci.ErrPageInvalid,
	} {
		out[e.Code] = e
	}
	return out
}()

// kindOf finds oci's error for an answer. A token server's or a storage's 404 is not the registry's: it says nothing
// about the image.
func kindOf(about about, e *Error) error {
	if kind, ok := byStatus[e.Status]; ok && (e.Place != PlaceStorage || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestedRangeNotSatisfiable) {
		return kind
	}
	switch {
	case e.refused:
		return oci.ErrUnauthorized
	case e.Place != PlaceRegistry:
		return oci.ErrUnavailable
	case e.Status == http.StatusRequestEntityTooLarge && about == aboutManifest:
		return oci.ErrManifestTooLarge
	case e.Status == http.StatusRequestEntityTooLarge:
		return oci.ErrBlobTooLarge
	}
	if kind, ok := byCode[e.Code]; ok && e.Status < 500 {
		return kind
	}
	switch {
	case e.Status == http.StatusNotFound:
		return unknown[about]
	case e.Status >= 500:
		return oci.ErrUnavailable
	}
	return nil
}

// readErrorBody reads what an error answer says: OCI's form, OAuth's, Docker Hub's, or plain text. A page for browsers
// says nothing to us.
func readErrorBody(contentType string, body []byte) (code, text string) {
	var form struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Details     string `json:"details"`
		Message     string `json:"message"`
	}
	trimmed := strings.TrimSpace(string(body))
	switch {
	case strings.HasPrefix(trimmed, "<") || strings.HasPrefix(contentType, "text/html"):
		if strings.HasPrefix(trimmed, "<?xml") {
			return xmlText(trimmed)
		}
		return "", "(a web page)"
	case json.Unmarshal(body, &form) != nil:
		return "", egress.Clean(trimmed, maxText)
	case len(form.Errors) > 0:
		return egress.Clean(form.Errors[0].Code, 64), egress.Clean(form.Errors[0].Message, maxText)
	}
	for _, t := range []string{form.Description, form.Details, form.Message, form.Error} {
		if t != "" {
			return egress.Clean(form.Error, 64), egress.Clean(t, maxText)
		}
	}
	return "", ""
}

// xmlText finds what S3 and Azure storage say: <Code>…</Code><Message>…</Message>.
func xmlText(body string) (code, text string) {
	between := func(tag string) string {
		_, rest, _ := strings.Cut(body, "<"+tag+">")
		inner, _, found := strings.Cut(rest, "</"+tag+">")
		if !found {
			return ""
		}
		return inner
	}
	return egress.Clean(between("Code"), 64), egress.Clean(between("Message"), maxText)
}

// sendError makes an Error of a request without an answer.
func sendError(k call, place Place, host string, err error) error {
	var e *egress.Error
	if !errors.As(err, &e) {
		return err
	}
	out := &Error{Operation: k.operation, Host: host, Place: place, Evidence: e.Evidence, cause: e, token: place == PlaceTokenServer}
	if last := e.Evidence.Last(); last.Host != "" {
		out.Host = last.Host
	}
	if e.ByProxy {
		out.Host, out.Place, out.Status = e.Proxy, PlaceProxy, e.ProxyStatus
	}
	switch {
	case errors.Is(e, egress.ErrTooLarge) && k.about == aboutManifest && place == PlaceRegistry:
		out.kind = oci.ErrManifestTooLarge
	case errors.Is(e, egress.ErrRefused) && e.Rule == egress.RuleRealm:
		out.kind = oci.ErrUnauthorized
	case e.Kind != egress.ErrRefused && e.Kind != context.Canceled && e.Kind != context.DeadlineExceeded:
		out.kind = oci.ErrUnavailable
	}
	return out
}

// contentError is an answer whose content is not what it should be.
func contentError(k call, r *egress.Response, kind error, text string) *Error {
	e := &Error{Operation: k.operation, Place: PlaceRegistry, Text: text, kind: kind}
	if r != nil {
		e.Evidence, e.Host = r.Evidence, r.Evidence.Last().Host
		if e.Host != "" {
			e.Text = e.Host + ": " + text
		}
		if r.Foreign {
			e.Place = PlaceStorage
		}
	}
	return e
}

// retryAfter reads seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
