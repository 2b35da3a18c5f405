package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

// A tokenKey is what a bearer token is good for. The client's host belongs to it too, since a client has one.
type tokenKey struct {
	realm      string
	service    string
	scopes     string // sorted, space-separated
	credential string // credential.ID; "" is anonymous
}

type token struct {
	ready   chan struct{} // closed when the fetch ended
	text    string
	err     error
	renewAt time.Time
}

// tokens keeps bearer tokens until half their life. Whoever asks while one is being fetched waits for that one.
type tokens struct {
	now    func() time.Time
	jitter func() float64

	mu      sync.Mutex
	entries map[tokenKey]*token
}

const (
	maxTokens     = 1024
	maxTokenBody  = 256 << 10
	defaultExpiry = 60 * time.Second // of a token whose answer has no expires_in (distribution, token.md)
	maxExpiry     = 24 * time.Hour
	fetchTimeout  = 3 * time.Minute // of a fetch, which outlives whoever began it
)

// get returns a token, and whether this very call had it fetched.
func (t *tokens) get(ctx context.Context, key tokenKey, fetch func(context.Context) (string, time.Duration, error)) (*token, bool, error) {
	t.mu.Lock()
	entry, fresh := t.entries[key], false
	if entry == nil || t.outdated(entry) {
		entry, fresh = &token{ready: make(chan struct{})}, true
		t.makeRoom()
		t.entries[key] = entry
		go t.fetch(context.WithoutCancel(ctx), key, entry, fetch)
	}
	t.mu.Unlock()
	select {
	case <-entry.ready:
		return entry, fresh, entry.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (t *tokens) outdated(entry *token) bool {
	select {
	case <-entry.ready:
		return !t.now().Before(entry.renewAt)
	default:
		return false // being fetched right now: new enough for everybody
	}
}

func (t *tokens) fetch(ctx context.Context, key tokenKey, entry *token, fetch func(context.Context) (string, time.Duration, error)) {
	received := t.now // the clock that counts is ours, at receipt: issued_at is the server's
	text, life, err := fetch(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	entry.text, entry.err = text, err
	entry.renewAt = received().Add(life/2 - time.Duration(float64(life)/20*t.jitter()))
	if err != nil && t.entries[key] == entry {
		delete(t.entries, key) // an error is the answer for those who waited, not for the next
	}
	close(entry.ready)
}

// makeRoom forgets what is outdated, and everything where that is not enough.
func (t *tokens) makeRoom() {
	if len(t.entries) < maxTokens {
		return
	}
	for key, entry := range t.entries {
		if t.outdated(entry) {
			delete(t.entries, key)
		}
	}
	if len(t.entries) >= maxTokens {
		clear(t.entries)
	}
}

// drop forgets a token that was refused, unless it has been replaced already.
func (t *tokens) drop(key tokenKey, entry *token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[key] == entry {
		delete(t.entries, key)
	}
}

// fetchToken asks a token server (distribution, token.md; with a refresh token oauth.md), within fetchTimeout. That this
// was too short is the server's fault and not the caller's, whose context ctx is not.
func (c *Client) fetchToken(ctx context.Context, k call, realm *url.URL, key tokenKey, login credential.Credential) (string, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	k.operation, k.about, k.token, k.idempotent = "token for "+k.operation, aboutName, true, !isRefreshToken(login)
	text, life, err := c.askForToken(ctx, k, realm, key, login)
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		late := &egress.Error{Kind: egress.ErrTimeout, Method: http.MethodGet, Address: egress.Clean(realm.Scheme+"://"+realm.Host, 300), Detail: "no token within " + fetchTimeout.String()}
		var e *Error
		if errors.As(err, &e) {
			late.Evidence = e.Evidence
		}
		err = sendError(k, PlaceTokenServer, realm.Host, late)
	}
	return text, life, err
}

func (c *Client) askForToken(ctx context.Context, k call, realm *url.URL, key tokenKey, login credential.Credential) (string, time.Duration, error) {
	request := c.tokenRequest(realm, key, login)
	var answer *egress.Response
	err := c.retrying(ctx, k, func() error {
		r, err := c.egress.Do(ctx, request)
		if err != nil {
			return sendError(k, PlaceTokenServer, realm.Host, err)
		}
		if r.Status != http.StatusOK {
			defer r.Body.Close()
			return c.answerError(k, PlaceTokenServer, r, !login.Empty())
		}
		answer = r
		return nil
	})
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	return c.readToken(k, answer)
}

// tokenRequest is a GET with Basic; a refresh token is posted, since it is no password.
func (c *Client) tokenRequest(realm *url.URL, key tokenKey, login credential.Credential) egress.Request {
	u := *realm
	u.Fragment, u.RawFragment = "", ""
	r := egress.Request{ // whose Authorization and Secrets are hidden in evidence
		Method: http.MethodGet, URL: &u, SameOrigin: true, MaxBody: maxTokenBody, Secrets: c.sent.secrets(),
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {c.config.UserAgent}},
	}
	if isRefreshToken(login) {
		form := url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {login.Password()}, "service": {key.service},
			"client_id": {"pierhead"}, "scope": {key.scopes},
		}.Encode()
		r.Method, r.SecretBody = http.MethodPost, true
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Length = int64(len(form))
		r.Body = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(form)), nil }
		return r
	}
	query := u.Query() // the realm's own parameters stay
	if key.service != "" {
		query.Set("service", key.service)
	}
	for _, scope := range strings.Fields(key.scopes) {
		query.Add("scope", scope)
	}
	query.Set("client_id", "pierhead")
	if !login.Empty() {
		query.Set("account", login.Username())
		r.Authorization = basicAuthorization(login)
	}
	u.RawQuery = query.Encode()
	return r
}

// isRefreshToken tells a login that is for the token server alone: Docker's "<token>", or a secret without a user.
func isRefreshToken(login credential.Credential) bool {
	return !login.Empty() && !login.IsBearer() && (login.Username() == "<token>" || login.Username() == "")
}

func basicAuthorization(login credential.Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username()+":"+login.Password()))
}

func (c *Client) readToken(k call, r *egress.Response) (string, time.Duration, error) {
	wrong := func(text string) (string, time.Duration, error) {
		e := contentError(k, r, oci.ErrUnavailable, text)
		e.Place = PlaceTokenServer
		return "", 0, e
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", 0, sendError(k, PlaceTokenServer, r.Evidence.Last().Host, err)
	}
	var answer struct {
		Token       string          `json:"token"`
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if json.Unmarshal(body, &answer) != nil { // its error would quote the answer
		return wrong("the token server's answer is not a token in JSON")
	}
	text := answer.AccessToken
	if text == "" {
		text = answer.Token
	}
	if text == "" {
		return wrong("the token server's answer has no token in it")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return wrong("the token server's token cannot be sent")
	}
	return text, expiry(answer.ExpiresIn), nil
}

// expiry reads expires_in: seconds, as a number or (some servers) as text. Absent or not positive it is 60 seconds.
func expiry(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || !(seconds > 0) {
		return defaultExpiry
	}
	return time.Duration(min(seconds, maxExpiry.Seconds()) * float64(time.Second))
}

// realmOf reads the address of a Bearer challenge's token server.
func realmOf(ch challenge) (*url.URL, error) {
	text := ch.get("realm")
	u, err := url.Parse(text)
	if text == "" || err != nil || u.Host == "" {
		return nil, fmt.Errorf("a Bearer challenge whose realm is not an address") // the error of url.Parse would quote it
	}
	return u, nil
}
