package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/oci"
)

type bodyFunc = func() (io.ReadCloser, error)

// do sends a call until it succeeds or has failed for good: challenges are answered, what was refused is renewed once,
// and what may be repeated is. The answer has a status below 300. Errors are *Error, the context's, and those of
// Credentials.
func (c *Client) do(ctx context.Context, k call) (*egress.Response, error) {
	var answer *egress.Response
	err := c.retrying(ctx, k, func() error {
		s := &session{client: c, call: k}
		s.challenge, s.challenged = c.remembered(k.purpose)
		r, err := s.run(ctx)
		answer = r
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// A session is one call with all that it takes to be let in. It ends: each of its renewals happens once.
type session struct {
	client *Client
	call   call

	challenge  challenge // what the registry asks for; remembered or just learned
	challenged bool
	learned    int // challenges taken from answers
	pinged     bool

	login   credential.Credential
	asked   bool // Credentials was asked for it
	renewed bool // and was told that it was refused

	key      tokenKey
	token    *token
	fresh    bool // token was fetched for this call
	dropped  bool // a token that was there before has been given up
	evidence egress.Evidence
}

// maxLearned challenges are taken from one call's answers: a first one, and one that asks for something else.
const maxLearned = 2

func (s *session) run(ctx context.Context) (*egress.Response, error) {
	for {
		authorization, err := s.authorization(ctx)
		if err != nil {
			if again, failed := s.renewAfterToken(ctx, err); failed != nil {
				return nil, failed
			} else if again {
				continue
			}
			return nil, err
		}
		r, err := s.send(ctx, authorization)
		if err != nil {
			return nil, err
		}
		if r.Status < 300 {
			return r, nil
		}
		again, err := s.refused(ctx, r, authorization != "")
		if err != nil {
			return nil, err
		}
		if !again {
			return nil, s.failure(r, authorization != "")
		}
	}
}

func (s *session) send(ctx context.Context, authorization string) (*egress.Response, error) {
	k := s.call
	header := k.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("User-Agent", s.client.config.UserAgent)
	r, err := s.client.egress.Do(ctx, egress.Request{
		Method: k.method, URL: k.url, Header: header, Authorization: authorization,
		Body: k.body, Length: k.length, MaxBody: k.maxBody, Secrets: s.client.sent.secrets(),
	})
	if err != nil {
		return nil, s.withEvidence(sendError(k, PlaceRegistry, s.client.base.Host, err))
	}
	r.Evidence = s.evidence.Append(r.Evidence)
	s.evidence = r.Evidence
	return r, nil
}

func (s *session) withEvidence(err error) error {
	if e, ok := err.(*Error); ok {
		e.Evidence = s.evidence.Append(e.Evidence)
	}
	return err
}

// withLogin tells whether what was sent came from a login.
func (s *session) withLogin(authorized bool) bool { return authorized && !s.login.Empty() }

func (s *session) failure(r *egress.Response, authorized bool) error {
	defer r.Body.Close()
	place := PlaceRegistry
	if !s.client.egress.IsHost(s.call.url) || r.Foreign {
		place = PlaceStorage
	}
	e := s.client.answerError(s.call, place, r, s.withLogin(authorized) && place == PlaceRegistry)
	if place == PlaceRegistry && !authorized && r.Status == http.StatusUnauthorized {
		e.Text = s.missing(e.Text)
	}
	return e
}

// missing says why no login was sent although one is needed, after what the registry says itself.
func (s *session) missing(text string) string {
	switch {
	case s.challenge.scheme == "basic" && isRefreshToken(s.login):
		why := "it asks for a user name and a password, and the login is an identity token, which is for token servers only"
		return strings.TrimPrefix(text+"; "+why, "; ")
	case text == "":
		return "a login is needed, and there is none"
	}
	return text
}

// authorization is the header for what the registry asks for; "" while it has asked for nothing, or when it asks for a
// login and there is none.
func (s *session) authorization(ctx context.Context) (string, error) {
	if !s.challenged || !s.client.egress.IsHost(s.call.url) {
		return "", nil // an upload may have moved to another host, which gets nothing
	}
	if err := s.needLogin(ctx); err != nil {
		return "", err
	}
	if s.challenge.scheme == "basic" {
		if s.login.Empty() || isRefreshToken(s.login) {
			return "", nil
		}
		return basicAuthorization(s.login), nil
	}
	if s.login.IsBearer() {
		return "Bearer " + s.login.Password(), nil
	}
	realm, err := realmOf(s.challenge)
	if err != nil {
		return "", contentError(s.call, nil, oci.ErrUnauthorized, err.Error())
	}
	s.key = tokenKey{
		realm: realm.String(), service: s.challenge.get("service"),
		scopes: strings.Join(s.challenge.scopes(s.call.purpose), " "), credential: s.login.ID(),
	}
	key, login := s.key, s.login
	s.token, s.fresh, err = s.client.tokens.get(ctx, key, func(ctx context.Context) (string, time.Duration, error) {
		return s.client.fetchToken(ctx, s.call, realm, key, login)
	})
	if err != nil {
		return "", s.withEvidence(copyOf(err))
	}
	return "Bearer " + s.token.text, nil
}

// copyOf keeps an error that several callers wait for from being changed by each.
func copyOf(err error) error {
	if e, ok := err.(*Error); ok {
		copied := *e
		return &copied
	}
	return err
}

func (s *session) needLogin(ctx context.Context) error {
	if s.asked || s.client.config.Credentials == nil {
		return nil
	}
	login, err := s.client.config.Credentials.Credential(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: login: %w", s.call.operation, err)
	}
	s.asked = true
	return s.useLogin(login)
}

// useLogin takes a login if it is for this host. That it is not is a mistake of whoever chose it, and nothing is sent.
func (s *session) useLogin(login credential.Credential) error {
	if !login.Empty() && !login.For(s.client.host) {
		return fmt.Errorf("%s: the login is for %s and not for %s: it is not sent", s.call.operation, strings.Join(login.Hosts(), ", "), s.client.host)
	}
	s.login = login
	s.client.sent.add(login)
	return nil
}

// refused looks at an answer that is no success, and tells whether the call may be sent again with something else.
func (s *session) refused(ctx context.Context, r *egress.Response, authorized bool) (again bool, err error) {
	if r.Foreign || !s.client.egress.IsHost(r.URL) {
		return false, nil // another host's challenge is none of ours
	}
	if !authorized {
		return s.answerTo(ctx, r)
	}
	if r.Status != http.StatusUnauthorized && !s.expired(r) {
		return false, nil
	}
	if r.Status == http.StatusUnauthorized {
		if learned, err := s.learn(ctx, r); learned || err != nil {
			return learned && s.canAnswer(), err
		}
	}
	if s.token != nil && !s.fresh && !s.dropped {
		s.client.tokens.drop(s.key, s.token)
		s.token, s.dropped = nil, true
		return true, nil
	}
	if insufficientScope(r) && (s.token != nil || s.login.IsBearer()) {
		return false, nil // the login was good enough for a token; another token would say the same
	}
	return s.renew(ctx)
}

// answerTo looks at a no to a caller who sent no login. Where it does not say what is asked for, the registry's front
// door may: gcr.io has answered 401 without a challenge, and Artifact Registry 403, to anonymous callers.
func (s *session) answerTo(ctx context.Context, r *egress.Response) (bool, error) {
	if r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden {
		return false, nil
	}
	if r.Status == http.StatusUnauthorized {
		if learned, err := s.learn(ctx, r); learned || err != nil {
			return learned && s.canAnswer(), err
		}
	}
	if s.pinged || s.challenged {
		return false, nil
	}
	if err := s.needLogin(ctx); err != nil || s.login.Empty() && r.Status == http.StatusForbidden {
		return false, err
	}
	return s.ping(ctx)
}

// maxPing bounds what the front door says, in bytes; nobody reads it.
const maxPing = 64 << 10

// ping asks the front door, /v2/, for its challenge. That it has none, or is shut, changes nothing.
func (s *session) ping(ctx context.Context) (bool, error) {
	s.pinged = true
	r, err := s.client.egress.Do(ctx, egress.Request{
		Method: http.MethodGet, URL: s.client.at(""), MaxBody: maxPing,
		Header: http.Header{"User-Agent": {s.client.config.UserAgent}}, Secrets: s.client.sent.secrets(),
	})
	if err != nil {
		return false, ctx.Err()
	}
	_ = r.Body.Close()
	s.evidence = s.evidence.Append(r.Evidence)
	if r.Status != http.StatusUnauthorized || r.Foreign || !s.client.egress.IsHost(r.URL) {
		return false, nil
	}
	learned, err := s.learn(ctx, r)
	return learned && s.canAnswer(), err
}

// canAnswer tells whether there is anything to answer the challenge with: a token can be had without a login too.
func (s *session) canAnswer() bool {
	return s.challenge.scheme == "bearer" || (!s.login.Empty() && !isRefreshToken(s.login))
}

// expired tells the answers that mean 401 and say something else: ECR's 403 with words about it, ECR Public's 400.
func (s *session) expired(r *egress.Response) bool {
	switch r.Status {
	case http.StatusForbidden:
		return strings.Contains(strings.ToLower(string(peek(r))), "expired")
	case http.StatusBadRequest:
		return s.client.host == ecrPublic
	}
	return false
}

func insufficientScope(r *egress.Response) bool {
	for _, ch := range parseChallenges(r.Header.Values("WWW-Authenticate")) {
		if ch.get("error") == "insufficient_scope" {
			return true
		}
	}
	return false
}

// learn takes the answer's challenge, and tells whether it asks for something else than was sent.
func (s *session) learn(ctx context.Context, r *egress.Response) (bool, error) {
	if s.learned >= maxLearned {
		return false, nil
	}
	if err := s.needLogin(ctx); err != nil {
		return false, err
	}
	chosen, err := s.choose(r)
	if err != nil || chosen.scheme == "" || (s.challenged && sameDemand(chosen, s.challenge)) {
		return false, err
	}
	s.challenge, s.challenged = chosen, true
	s.learned++
	s.token = nil
	s.client.remember(s.call.purpose, chosen)
	return true, nil
}

// sameDemand compares what a token is asked for; error and error_description may differ.
func sameDemand(a, b challenge) bool {
	if a.scheme != b.scheme {
		return false
	}
	return a.scheme == "basic" || a.get("realm") == b.get("realm") && a.get("service") == b.get("service") && a.get("scope") == b.get("scope")
}

// choose prefers Bearer, at a token server that the login may go to, then Basic. With a login, a token server that is
// not paired with the registry is refused rather than asked anonymously: the caller would take the answer for the
// login's. Without one, egress's rules for addresses are enough.
func (s *session) choose(r *egress.Response) (challenge, error) {
	var basic challenge
	var withheld error
	for _, ch := range parseChallenges(r.Header.Values("WWW-Authenticate")) {
		switch ch.scheme {
		case "basic":
			basic = ch
		case "bearer":
			realm, err := realmOf(ch)
			if err == nil && !s.login.Empty() && !s.login.IsBearer() {
				err = s.mayCarry(realm)
			}
			if err == nil {
				return ch, nil
			}
			withheld = err
		}
	}
	if basic.scheme != "" && !s.login.Empty() || withheld == nil {
		return basic, nil
	}
	e := contentError(s.call, r, oci.ErrUnauthorized, withheld.Error())
	if _, ok := withheld.(*egress.Error); ok {
		e.cause, e.Text = withheld, "the login was not sent there"
	}
	return challenge{}, e
}

func (s *session) mayCarry(realm *url.URL) error {
	return s.client.egress.MayCarry(realm, s.client.sent.secrets()...)
}

// renew tells Credentials that the login was refused, once per call. It returns false when there is no other one.
func (s *session) renew(ctx context.Context) (bool, error) {
	if s.renewed || s.login.Empty() {
		return false, nil
	}
	s.renewed = true
	stale := s.login
	login, err := s.client.config.Credentials.Credential(ctx, &stale)
	if err != nil {
		return false, fmt.Errorf("%s: the login was refused, and renewing it: %w", s.call.operation, err)
	}
	if login.Empty() || login.ID() == stale.ID() {
		return false, nil
	}
	s.token = nil
	return true, s.useLogin(login)
}

// renewAfterToken is renew for a login that the token server refused.
func (s *session) renewAfterToken(ctx context.Context, err error) (bool, error) {
	if !Refused(err) {
		return false, nil
	}
	return s.renew(ctx)
}
