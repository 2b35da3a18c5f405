package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What can come instead of a token, found with errors.Is.
var (
	ErrNoIdentity  = errors.New("this node has no identity at Google")
	ErrRefused     = errors.New("refused by Google")
	ErrUnreachable = errors.New("no answer from Google")
)

// Why a request failed where the network is not to blame.
var (
	errAbroad  = errors.New("not at Google")
	errTooLong = errors.New("an answer too long")
	errNoToken = errors.New("the answer has no token in it")
	errEnded   = errors.New("the token that came has ended already")
)

// An Error is what is wrong, for people. It never contains a part of a secret.
type Error struct {
	Kind error  // one of the errors above
	Text string // one sentence, without a trailing full stop
	Hint string // what to do, or empty
}

// Error is the sentence.
func (e *Error) Error() string { return e.Text }

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

// An Answer is a no of one of Google's services. Its texts are Google's own, cut and cleaned.
type Answer struct {
	Host    string
	Status  int
	Code    string        // "invalid_grant", "PERMISSION_DENIED"
	Reason  string        // of newer services, "IAM_PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "SERVICE_DISABLED"
	Message string        // one line
	Skew    time.Duration // how far this machine's clock is ahead of theirs, as far as a second tells; 0 where they did not say
	after   time.Duration
}

// Error names host, status, code and message.
func (a *Answer) Error() string {
	text := fmt.Sprintf("%s answered %d", a.Host, a.Status)
	if a.Code != "" {
		text += " " + a.Code
	}
	if a.Message != "" {
		text += ": " + strings.TrimSuffix(a.Message, ".")
	}
	return text
}

// Throttled tells whether the answer is that there were too many questions.
func (a *Answer) Throttled() bool { return a.Status == http.StatusTooManyRequests }

// newAnswer reads the two forms of Google's errors: {"error": "…", "error_description": "…"} of the token services, and
// {"error": {"status": …, "message": …, "details": […]}} of all others. A plain text is a message, a page is none.
func newAnswer(host string, response *http.Response, body []byte) *Answer {
	a := &Answer{Host: host, Status: response.StatusCode, after: retryAfter(response.Header)}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		a.Skew = time.Since(date).Round(time.Second)
	}
	var short struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	var long struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	switch {
	case json.Unmarshal(body, &short) == nil && short.Error != "":
		a.Code, a.Message = clean(short.Error), clean(short.Description)
	case json.Unmarshal(body, &long) == nil && (long.Error.Status != "" || long.Error.Message != ""):
		a.Code, a.Message = clean(long.Error.Status), clean(long.Error.Message)
		for _, d := range long.Error.Details {
			if a.Reason == "" {
				a.Reason = clean(d.Reason)
			}
		}
	case strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain"):
		a.Message = clean(string(body))
	}
	return a
}

// mostText is how much of another's text is told.
const mostText = 300

// opaque are runs that could be a part of a token, a signature or a key. Names of accounts and projects are shorter.
var opaque = regexp.MustCompile(`[A-Za-z0-9_+=-]{40,}`)

// clean makes one line for people of a text that came from elsewhere: no control characters, no runs that could be part
// of a secret, not too long.
func clean(text string) string {
	if len(text) > 4*mostText {
		text = text[:4*mostText]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = opaque.ReplaceAllString(text, "…") // what is taken out above joins what it stood between
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= mostText {
		return text
	}
	cut := mostText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// explain makes an Error of what came instead of a token. An error of ours passes as it is.
func explain(ctx context.Context, r request, err error) error {
	var ours *Error
	var answer *Answer
	var failure *failure
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &answer):
		return refused(r, answer)
	case errors.As(err, &failure):
		return &Error{Kind: ErrUnreachable, Text: "asking for a token with " + r.what + ": " + failure.Error(), Hint: networkHint(failure)}
	case ctx.Err() != nil:
		return &Error{Kind: ErrUnreachable, Text: fmt.Sprintf("asking for a token with %s: %s did not answer in time", r.what, r.host), Hint: reachHint(r.host)}
	case errors.Is(err, errEnded):
		return &Error{Kind: ErrRefused, Text: "asking for a token with " + r.what + ": the one that came from " + r.host + " has ended already",
			Hint: "set the node's clock (NTP): it is ahead"}
	}
	if r.file != "" {
		return sourceError(r.file, err)
	}
	// What is left is an answer that no library could read; its error may quote it.
	return &Error{Kind: ErrUnreachable, Text: "asking for a token with " + r.what + ": what " + r.host + " answered is not a token",
		Hint: "something between the node and Google answers in its place, a proxy or a sign-in page: ask whoever runs the network"}
}

// refused tells a no apart from a not now.
func refused(r request, a *Answer) error {
	text := "asking for a token with " + r.what + ": " + a.Error()
	switch {
	case a.Throttled():
		return &Error{Kind: ErrUnreachable, Text: text + "; it is throttling, and " + times(tries) + " were too many",
			Hint: "wait a minute, or ask for a higher quota of that API in the project"}
	case a.Status >= 500:
		return &Error{Kind: ErrUnreachable, Text: text, Hint: "that is on Google's side: try again, and look at https://status.cloud.google.com"}
	case a.Status/100 == 3, a.Status == http.StatusProxyAuthRequired:
		return &Error{Kind: ErrUnreachable, Text: text, Hint: "something between the node and Google answers in its place: ask whoever runs the network"}
	}
	return &Error{Kind: ErrRefused, Text: text, Hint: r.hint(a)}
}

// Unreachable is the sentence about a request of Node.HTTPClient's that had no answer: which host, and what happened on the
// way. It is "" for every other error.
func Unreachable(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.Error()
	}
	return ""
}

func times(n int) string { return fmt.Sprintf("%d tries", n) }

func networkHint(f *failure) string {
	if strings.Contains(f.text, "x509") || strings.Contains(f.text, "certificate") {
		return "where a proxy opens TLS, its CA must be among the node's (SSL_CERT_FILE); ask whoever runs the network"
	}
	return reachHint(f.host)
}

func reachHint(host string) string {
	if name, _, _ := strings.Cut(metadataHost(), ":"); host == name || host == metadataHost() {
		return "the agent must reach the machine's metadata server: a container's network, or a network policy, may not let it through"
	}
	return "the node must reach https://" + host + ", by HTTPS_PROXY where there is a proxy; ask whoever runs the network"
}
