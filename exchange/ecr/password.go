package ecr

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/amazon"
)

// sameAgain is how long a password that replaced a refused one is given again to those who were refused with it too.
const sameAgain = 30 * time.Second

// passwords are those that are remembered, and being fetched.
type passwords struct {
	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	ready chan struct{} // closed when the fetch ended; what follows is set by then
	password
	err     error
	renewAt time.Time

	began    time.Time
	replaces bool // it was fetched because the one before was refused
}

// A password is what ECR gave, and to whom.
type password struct {
	text      string
	expires   time.Time
	principal string
}

// login is the password as a credential for a host.
func (p password) login(host string) credential.Credential {
	return credential.New(username, p.text, p.expires, []string{host}).WithPrincipal(p.principal)
}

// password returns the one for the question's identity and region, and fetches it where none is remembered.
func (e *Exchanger) password(ctx context.Context, q question, r exchange.Request) (password, error) {
	// What the identity's credentials are now is part of the key: with others, another password is due.
	current, err := e.identity.Current(ctx, q.source, q.place)
	if err != nil {
		return password{}, err
	}
	key := fmt.Sprintf("%s\n%s\n%+v\n%t", q.source.ID(), current, q.place, q.host.Public)
	refused := func(p password) bool { return r.Refused != "" && p.login(r.Host).ID() == r.Refused }
	found := e.passwords.take(key, refused, func(fresh *entry) {
		// The fetch belongs to all who wait, so it outlives the one who began it; it bounds its own time.
		go e.fetch(context.WithoutCancel(ctx), q, fresh)
	})
	select {
	case <-found.ready:
		return found.password, found.err
	case <-ctx.Done():
		return password{}, ctx.Err()
	}
}

// take returns the entry whose password the asker gets, a fresh one where none that is remembered will do.
func (p *passwords) take(key string, refused func(password) bool, fetch func(*entry)) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	found := p.entries[key]
	if found == nil || !found.serves(refused, now) {
		for other, old := range p.entries {
			if old.ended() && !now.Before(old.renewAt) {
				delete(p.entries, other)
			}
		}
		found = &entry{ready: make(chan struct{}), began: now, replaces: found != nil && now.Before(found.renewAt)}
		p.entries[key] = found
		fetch(found)
	}
	return found
}

func (e *entry) ended() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}

func (e *entry) serves(refused func(password) bool, now time.Time) bool {
	switch {
	case !e.ended():
		return true // being fetched right now: new enough for everybody
	case !now.Before(e.renewAt):
		return false
	}
	return !refused(e.password) || e.replaces && now.Sub(e.began) < sameAgain
}

// fetch fills an entry. One with an error is the answer for those who wait, and serves nobody after them: it has no time at
// which it would be renewed.
func (e *Exchanger) fetch(ctx context.Context, q question, fresh *entry) {
	name := make(chan string, 1)
	go func() { name <- e.identity.Principal(ctx, q.source, q.place) }()
	got, err := amazon.Ask(ctx, e.identity, q.source, q.place, tokenOf(q))
	if err == nil {
		got.principal = <-name // of no consequence, so it is waited for briefly: Principal bounds that
	}
	e.passwords.mu.Lock()
	defer e.passwords.mu.Unlock()
	fresh.password, fresh.err = got, err
	fresh.renewAt = credential.New(username, "", got.expires, nil).RenewAt(fresh.began, rand.Float64())
	close(fresh.ready)
}

// tokenOf asks the API that the question's host belongs to. ECR Public answers with an object where the private registries'
// answer is a list.
func tokenOf(q question) func(context.Context, aws.Config) (password, error) {
	if q.host.Public {
		return func(ctx context.Context, c aws.Config) (password, error) {
			out, err := ecrpublic.NewFromConfig(c).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
			if err != nil {
				return password{}, err
			}
			if out.AuthorizationData == nil {
				return password{}, noToken(q)
			}
			return read(q, out.AuthorizationData.AuthorizationToken, out.AuthorizationData.ExpiresAt)
		}
	}
	return func(ctx context.Context, c aws.Config) (password, error) {
		out, err := ecr.NewFromConfig(c).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
		if err != nil {
			return password{}, err
		}
		if len(out.AuthorizationData) == 0 {
			return password{}, noToken(q)
		}
		return read(q, out.AuthorizationData[0].AuthorizationToken, out.AuthorizationData[0].ExpiresAt)
	}
}

// read takes the password out of a token: the base64 of AWS:password.
func read(q question, token *string, expires *time.Time) (password, error) {
	pair, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	user, text, found := strings.Cut(string(pair), ":")
	if err != nil || !found || user != username || text == "" || strings.ContainsAny(text, "\r\n\x00") || expires == nil || expires.IsZero() {
		return password{}, noToken(q)
	}
	return password{text: text, expires: *expires}, nil
}

func noToken(q question) error {
	return &amazon.Error{Kind: amazon.ErrUnreachable, Text: "ECR in " + q.place.Region + " answered without a login in it",
		Hint: "a network admin looks what answers in Amazon's place: a proxy, or an end-point of the node's configuration (AWS_ENDPOINT_URL)"}
}
