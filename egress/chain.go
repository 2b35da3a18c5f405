package egress

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A chain is one request with its redirects, while it runs.
type chain struct {
	client   *Client
	request  Request
	method   string
	url      *url.URL
	first    origin // where Authorization belongs
	current  origin
	stripped bool // Authorization was left behind, for good
	hops     []Hop
	secrets  []string

	response *http.Response // of the last hop
	body     *body
}

// begin checks all that can be checked before anything is sent.
func (ch *chain) begin() error {
	if err := checkHeader(ch.request.Header); err != nil {
		return err
	}
	o, err := ch.client.rules.originOf(ch.url)
	if err != nil {
		return err
	}
	ch.first, ch.current = o, o
	if ch.request.Authorization != "" || ch.request.SecretBody {
		if err := ch.client.rules.mayCarry(o); err != nil {
			return err
		}
	}
	return nil
}

// hop sends one request, and keeps its answer or says why there is none.
func (ch *chain) hop(ctx context.Context) error {
	t := &trace{start: time.Now()}
	record := ch.newHop(t.start)
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := ch.httpRequest(withTrace(ctx, t), cancel)
	if err == nil {
		ch.response, err = ch.client.roundTrip(request)
	}
	if u, ok := requestBody(request); ok {
		u.revoke(ctx)
	}
	if err != nil {
		e := ch.reject(ctx, err)
		cancel(nil)
		t.into(&record)
		record.Fault, record.Rule, record.TLS, record.Text = e.Kind.Error(), e.Rule, e.TLS, e.Detail
		if record.ByProxy, record.ProxyStatus = e.ByProxy, e.ProxyStatus; e.header != nil {
			record.Header = keepHeader(e.header, ch.secrets)
		}
		ch.hops = append(ch.hops, record)
		return e
	}
	ch.body = newBody(ctx, cancel, ch.response.Body, ch.client.limits)
	record.Status = ch.response.StatusCode
	record.Header = keepHeader(ch.response.Header, ch.secrets)
	record.Clock = clockDifference(ch.response.Header.Get("Date"))
	if record.Status >= 400 {
		text := ch.keepErrorBody()
		record.Body = clean(text, maxEvidenceBody)
	}
	t.into(&record)
	ch.hops = append(ch.hops, record)
	return nil
}

// reject classifies a failed round trip, while the hop's context still tells why it ended.
func (ch *chain) reject(ctx context.Context, err error) *Error {
	e := *classify(ctx, err) // a copy: one failed connection may be told to several who wait for it
	e.Detail, e.Proxy = hide(e.Detail, ch.secrets), ch.client.rules.proxy.String()
	return &e
}

func (ch *chain) newHop(start time.Time) Hop {
	return Hop{
		Method: ch.method, Scheme: ch.current.scheme, Host: hide(ch.current.String(), ch.secrets),
		Path: pathOf(ch.url, ch.secrets), Query: queryNames(ch.url, ch.secrets),
		Authorized: ch.authorization() != "", Range: ch.request.Header.Get("Range"), Start: start,
		Proxy: ch.client.rules.proxy.String(),
	}
}

func (ch *chain) authorization() string {
	if ch.stripped {
		return ""
	}
	return ch.request.Authorization
}

func (ch *chain) httpRequest(ctx context.Context, cancel context.CancelCauseFunc) (*http.Request, error) {
	u := *ch.url
	u.Fragment, u.RawFragment = "", ""
	request := (&http.Request{Method: ch.method, URL: &u, Header: ch.request.Header.Clone(), Host: u.Host}).WithContext(ctx)
	if request.Header == nil {
		request.Header = http.Header{}
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "pierhead")
	}
	request.Header.Set("Accept-Encoding", "identity")
	if value := ch.authorization(); value != "" {
		request.Header.Set("Authorization", value)
	}
	if ch.request.Body == nil {
		return request, nil
	}
	content, err := ch.request.Body()
	if err != nil {
		return nil, err
	}
	request.ContentLength = ch.request.Length
	request.Body = newUpload(content, ch.request.Length, cancel, ch.client.limits.Stall)
	if ch.request.Length == 0 {
		_ = content.Close()
		request.Body = http.NoBody
	}
	return request, nil
}

func requestBody(r *http.Request) (*upload, bool) {
	if r == nil {
		return nil, false
	}
	u, ok := r.Body.(*upload)
	return u, ok
}

// follow moves on to where a redirect points, or says that the answer is final.
func (ch *chain) follow() (bool, error) {
	switch ch.response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if ch.method != http.MethodGet && ch.method != http.MethodHead {
			return false, nil // a changed method would be a guess
		}
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return false, nil
	}
	if len(ch.hops) > ch.client.limits.Redirects {
		return false, refused(RuleRedirects, "the redirects do not end")
	}
	next, err := ch.url.Parse(ch.response.Header.Get("Location"))
	if err != nil || ch.response.Header.Get("Location") == "" {
		return false, refused(RuleLocation, "a redirect without a usable address")
	}
	o, bad := ch.client.rules.originOf(next)
	if bad != nil {
		bad.Detail = "a redirect to " + clean(next.Scheme+"://"+next.Host, 200) + ": " + bad.Detail
		return false, bad
	}
	return true, ch.moveTo(next, o)
}

func (ch *chain) moveTo(next *url.URL, o origin) error {
	switch {
	case ch.current.scheme == "https" && o.scheme == "http":
		return refused(RuleDowngrade, "a redirect from https to http://"+o.String())
	case (ch.request.SameOrigin || ch.request.SecretBody) && o != ch.first:
		return refused(RuleOrigin, "a redirect to "+o.String()+", away from "+ch.first.String())
	}
	if o != ch.first {
		ch.stripped = true
	}
	ch.url, ch.current = next, o
	return nil
}

// answer hands out the last hop's answer.
func (ch *chain) answer() (*Response, error) {
	length := ch.response.ContentLength
	var content io.ReadCloser = ch.body
	switch {
	case ch.body.kept != nil:
		content, length = io.NopCloser(bytes.NewReader(ch.body.kept)), int64(len(ch.body.kept))
	case ch.request.MaxBody > 0 && ch.method != http.MethodHead:
		if length > ch.request.MaxBody {
			ch.closeAnswer()
			return nil, ch.fail(&Error{Kind: ErrTooLarge, Detail: "its body"})
		}
		ch.body.bound(ch.request.MaxBody)
	}
	if length < 0 || ch.method == http.MethodHead && ch.response.Header.Get("Content-Length") == "" {
		length = -1
	}
	ch.body.where = func(e *Error) *Error {
		e.Proxy = ch.client.rules.proxy.String()
		return ch.fail(e).(*Error)
	}
	return &Response{
		Status: ch.response.StatusCode, Header: ch.response.Header, URL: ch.url, Foreign: ch.stripped,
		Length: length, Body: content, Evidence: Evidence{Hops: ch.hops},
	}, nil
}

func (ch *chain) closeAnswer() {
	if ch.body != nil {
		_ = ch.body.Close()
	}
}

// keepErrorBody reads an error answer's body into memory, cut, and without the secrets that were sent.
func (ch *chain) keepErrorBody() string {
	ch.body.bound(0)
	content, _ := io.ReadAll(io.LimitReader(ch.body, ch.client.limits.ErrorBytes)) // a broken one is better than none
	_ = ch.body.Close()
	text := hide(string(content), ch.secrets)
	ch.body.kept = []byte(text)
	return text
}

// fail completes an error with where it happened.
func (ch *chain) fail(err error) error {
	e, ok := err.(*Error)
	if !ok {
		e = classify(context.Background(), err)
	}
	e.Method, e.Detail = ch.method, hide(e.Detail, ch.secrets)
	if ch.url != nil {
		e.Address = hide(clean(strings.ToLower(ch.url.Scheme)+"://"+ch.url.Host, 300), ch.secrets) + pathOf(ch.url, ch.secrets)
	}
	if last := len(ch.hops) - 1; last >= 0 && e.Rule != "" {
		ch.hops[last].Rule, ch.hops[last].Text = e.Rule, e.Detail // a redirect that was not followed
	}
	e.Evidence = Evidence{Hops: ch.hops}
	return e
}

// clockDifference reads a Date header, "" or another form being 0.
func clockDifference(date string) time.Duration {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	return time.Until(theirs).Round(time.Second)
}
