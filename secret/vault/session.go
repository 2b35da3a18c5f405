package vault

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// A session is one token of Vault's.
type session struct {
	client    *api.Client
	token     string
	obtained  time.Time
	life      time.Duration // 0: without an end, or not known
	renewable bool
	ready     time.Time // when it was made by a login or read from its file
}

// freshFor is how long a new token is not replaced because Vault said no: then it is the policy that does.
const freshFor = 30 * time.Second

// another tells whether there may be a better token than this one.
func (s *session) another(c Config) bool {
	return (c.Auth != AuthToken || c.TokenFile != "") && c.Now().Sub(s.ready) >= freshFor
}

// lives tells whether Vault still knows the token; in doubt it does.
func (s *session) lives(ctx context.Context) bool {
	_, err := get(ctx, s.client, "auth/token/lookup-self", nil)
	return status(err) != http.StatusForbidden
}

// session returns the session that counts now. One login or renewal serves all who wait. refused is one that Vault said no
// to: it is replaced, unless somebody did so meanwhile.
func (s *Source) session(ctx context.Context, refused *session) (*session, error) {
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := s.config.Now()
	cur := s.current
	if cur != nil && cur == refused {
		cur = nil
	}
	if cur != nil && s.config.TokenFile != "" && s.config.Auth == AuthToken {
		if token, err := readFile(s.config.TokenFile); err == nil && token != cur.token {
			cur = nil // Vault's agent, or whoever writes it, has a new one
		}
	}
	before := cur
	if cur != nil && cur.due(now) {
		cur = s.renewed(ctx, cur, now)
	}
	if cur == nil {
		var err error
		switch cur, err = s.login(ctx); {
		case err != nil && before != nil && ctx.Err() == nil && now.Before(before.obtained.Add(before.life)):
			cur = before // it lives for a while yet, and the next who asks tries again
		case err != nil:
			return nil, err
		}
	}
	s.current = cur
	return cur, nil
}

// due tells whether a third of the token's life or less is left.
func (s *session) due(now time.Time) bool {
	return s.life > 0 && !now.Before(s.obtained.Add(s.life*2/3))
}

// renewed is the session with a longer life; nil where a login must make a new one. A token that was given as it is goes on
// to its end.
func (s *Source) renewed(ctx context.Context, cur *session, now time.Time) *session {
	if cur.renewable && now.Before(cur.obtained.Add(cur.life)) {
		answer, err := cur.client.Auth().Token().RenewSelfWithContext(ctx, 0)
		if err == nil && answer != nil && answer.Auth != nil {
			life := time.Duration(answer.Auth.LeaseDuration) * time.Second
			if life*3 > cur.life || s.config.Auth == AuthToken { // less than that: its longest life is near, and only a login gets beyond it
				return &session{client: cur.client, token: cur.token, obtained: now, life: life, renewable: answer.Auth.Renewable && life*3 > cur.life, ready: cur.ready}
			}
		}
	}
	if s.config.Auth == AuthToken {
		return cur
	}
	return nil
}

// login makes a session.
func (s *Source) login(ctx context.Context) (*session, error) {
	if s.config.Auth == AuthToken {
		return s.given(ctx)
	}
	body, err := s.config.loginBody(ctx)
	if err != nil {
		return nil, err
	}
	client, err := s.client("")
	if err != nil {
		return nil, err
	}
	now := s.config.Now()
	answer, err := client.Logical().WriteWithContext(ctx, "auth/"+s.config.AuthMount+"/login", body)
	switch {
	case err != nil:
		return nil, &loginError{err: err, secrets: texts(body)}
	case answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "":
		return nil, &loginError{err: errGarbled}
	}
	client.SetToken(answer.Auth.ClientToken)
	return &session{client: client, token: answer.Auth.ClientToken, obtained: now, ready: now,
		life: time.Duration(answer.Auth.LeaseDuration) * time.Second, renewable: answer.Auth.Renewable}, nil
}

// given takes the token that the operator gave, and asks Vault how long it lives; where Vault does not say, so be it.
func (s *Source) given(ctx context.Context) (*session, error) {
	token := s.config.Token
	if s.config.TokenFile != "" {
		var err error
		if token, err = readFile(s.config.TokenFile); err != nil {
			return nil, err
		}
	}
	client, err := s.client(token)
	if err != nil {
		return nil, err
	}
	now := s.config.Now()
	cur := &session{client: client, token: token, obtained: now, ready: now}
	raw, err := get(ctx, client, "auth/token/lookup-self", nil)
	var told struct {
		TTL       int64 `json:"ttl"` // seconds
		Renewable bool  `json:"renewable"`
	}
	switch {
	case err == nil && decode(raw, &told) == nil:
		cur.life, cur.renewable = time.Duration(told.TTL)*time.Second, told.Renewable
	case err != nil && status(err) != http.StatusForbidden && status(err) != http.StatusNotFound:
		return nil, err // who does not answer this would not give the secret either
	}
	return cur, nil
}

// A fileError is a file of the operator's that cannot be used.
type fileError struct{ name, why string }

func (f *fileError) Error() string { return f.name + " " + f.why }

// maxFile bounds what is read of a file with a token or a secret id.
const maxFile = 64 << 10

// readFile reads a token, without the line break that an editor leaves.
func readFile(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", &fileError{name, "is not there"}
	case err != nil || !info.Mode().IsRegular() || info.Size() > maxFile:
		return "", &fileError{name, "is no readable file of at most 64 KiB"}
	}
	text, err := os.ReadFile(name)
	token := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", &fileError{name, "may not be read by this process"}
	case token == "":
		return "", &fileError{name, "is empty"}
	}
	return token, nil
}
