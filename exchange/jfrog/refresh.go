package jfrog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"sync"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
)

// A pair is an access token and the refresh token for the next one. One refresh serves all who wait.
type pair struct {
	mu       sync.Mutex
	access   string
	refresh  string
	obtained time.Time // zero: not known, or long ago
	expires  time.Time // zero: not known
	endless  bool      // JFrog said no end when it was asked, so there is nothing to refresh
}

// mostPairs bounds what is remembered; secrets change rarely.
const mostPairs = 1000

// refreshable serves an access token, and refreshes it from half its life on.
func (e *Exchanger) refreshable(ctx context.Context, r exchange.Request, fields map[string]json.RawMessage) (credential.Credential, error) {
	values, err := exchange.Texts(fields, "the secret", "access_token", "refresh_token", "username", "server", "url")
	if err != nil {
		return credential.Credential{}, err
	}
	if values["access_token"] == "" || values["refresh_token"] == "" {
		return credential.Credential{}, content(`the secret has only one of "access_token" and "refresh_token"`, "JFrog wants both to refresh; put in both as they were made")
	}
	if err := isFor(r, fields); err != nil {
		return credential.Credential{}, err
	}
	base, err := baseOf(r, values["url"])
	if err != nil {
		return credential.Credential{}, err
	}
	p := e.pairOf(r.Host, values["access_token"], values["refresh_token"])
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := e.config.Now(); p.due(now) {
		if err := e.refresh(ctx, r, base, p); err != nil && (ctx.Err() != nil || !p.alive(e.config.Now())) {
			return credential.Credential{}, err
		}
	}
	username := values["username"]
	if username == "" {
		username = userOf(claimsOf(p.access).Subject)
	}
	if username == "" {
		return credential.Credential{}, content("the secret has no username, and its token does not say whose it is", `add "username": the name of whom the token was made for`)
	}
	return credential.New(username, p.access, p.expires, []string{r.Host}), nil
}

func (e *Exchanger) pairOf(host, access, refresh string) *pair {
	key := sha256.Sum256([]byte(host + "\x00" + refresh))
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.refreshed[key]; p != nil {
		return p
	}
	if len(e.refreshed) >= mostPairs {
		clear(e.refreshed)
	}
	c := claimsOf(access)
	p := &pair{access: access, refresh: refresh, obtained: instant(c.Issued), expires: instant(c.Expires)}
	e.refreshed[key] = p
	return p
}

// due tells whether half of the token's life is over, or its life is not known.
func (p *pair) due(now time.Time) bool {
	if p.expires.IsZero() {
		return !p.endless
	}
	return !now.Before(p.obtained.Add(p.expires.Sub(p.obtained) / 2))
}

// alive tells whether the token may still open something.
func (p *pair) alive(now time.Time) bool { return p.expires.IsZero() || now.Before(p.expires) }

// refresh gets the next pair. JFrog wants the old access token too, while it lives.
func (e *Exchanger) refresh(ctx context.Context, r exchange.Request, base *url.URL, p *pair) error {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.refresh}, "access_token": {p.access}}
	began := e.config.Now()
	answer, err := e.ask(ctx, call{out: r.Out, url: base.JoinPath("/access/api/v1/tokens"), contentType: "application/x-www-form-urlencoded",
		authorization: "Bearer " + p.access, body: []byte(form.Encode()), secrets: []string{p.refresh, p.access}, what: "refresh the access token",
		refused: "put a new pair of tokens into the secret: a refresh token is good for one use, by one node, and while its access token lives; with OIDC nothing has to be put in again"})
	if err != nil {
		return err
	}
	p.access, p.obtained, p.expires = answer.AccessToken, began, answer.expires(began)
	if answer.RefreshToken != "" {
		p.refresh = answer.RefreshToken
	}
	p.endless = p.expires.IsZero()
	return nil
}
