package acr

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/azure"
)

const (
	tries     = 4
	mostWait  = 10 * time.Second // between two of them, whatever the registry wishes
	wholeTime = 30 * time.Second // for all of them
	maxAnswer = 256 << 10        // bytes
	guessLife = time.Hour        // of a refresh token that does not say; they last three hours
	mostLife  = 24 * time.Hour   // that is believed
)

// refreshToken asks the registry to exchange a token of Entra's. A registry that is busy or throttles is asked again.
func (e *Exchanger) refreshToken(ctx context.Context, r exchange.Request, token azure.Token) (string, error) {
	if r.Out == nil {
		return "", &exchange.Error{Kind: exchange.ErrUnreachable, Text: "there is no way from here to " + r.Host}
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	for try := 1; ; try++ {
		answer, err := e.ask(ctx, r, token)
		wait, again := answer.again(err, try)
		switch {
		case outer.Err() != nil:
			return "", outer.Err()
		case ctx.Err() != nil:
			return "", late(r.Host, answer)
		case !again && err != nil:
			return "", unreachable(r.Host, err)
		case !again:
			return answer.read(r.Host, token)
		}
		if e.pause(ctx, wait) != nil {
			if outer.Err() != nil {
				return "", outer.Err()
			}
			return "", late(r.Host, answer)
		}
	}
}

const hintBusy = "nothing is wrong with the login: try again in some minutes; Azure throttles by registry and by the node's address"

func late(host string, last answer) error {
	text := host + " did not make a login within " + wholeTime.String()
	if last.status != 0 {
		text += fmt.Sprintf("; its last answer was %d", last.status)
	}
	return &exchange.Error{Kind: exchange.ErrUnreachable, Text: text, Hint: hintBusy}
}

// An answer of the registry's exchange.
type answer struct {
	status     int
	retryAfter string
	body       []byte
}

func (e *Exchanger) ask(ctx context.Context, r exchange.Request, token azure.Token) (answer, error) {
	secret := string(token.Value.Reveal())
	form := url.Values{"grant_type": {"access_token"}, "service": {r.Host}, "access_token": {secret}}
	if token.Who.Tenant != "" {
		form.Set("tenant", token.Who.Tenant)
	}
	text := form.Encode()
	got, err := r.Out.Do(ctx, egress.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: r.Host, Path: "/oauth2/exchange"},
		Header:     http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}, "User-Agent": {"pierhead"}},
		Body:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
		Length:     int64(len(text)),
		SecretBody: true, SameOrigin: true, MaxBody: maxAnswer, Secrets: []string{secret},
	})
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	return answer{got.Status, got.Header.Get("Retry-After"), body}, err
}

// again tells whether and when to ask once more: after a break, or when the registry is busy, and not too often.
func (a answer) again(err error, try int) (time.Duration, bool) {
	busy := a.status == http.StatusTooManyRequests || a.status >= 500 || a.status == http.StatusRequestTimeout
	broken := errors.Is(err, egress.ErrBroken) || errors.Is(err, egress.ErrConnect)
	if try >= tries || !busy && !broken {
		return 0, false
	}
	wait := time.Duration(1<<try) * 250 * time.Millisecond
	wait += time.Duration(rand.Int64N(int64(wait))) // a fleet must not come back at one moment
	if seconds, err := strconv.Atoi(a.retryAfter); err == nil && seconds > 0 {
		if seconds > int(mostWait/time.Second) {
			return 0, false
		}
		wait = time.Duration(seconds)*time.Second + wait/4
	}
	return min(wait, mostWait+time.Second), true
}

// read takes the refresh token out of an answer, or says why there is none.
func (a answer) read(host string, token azure.Token) (string, error) {
	if a.status != http.StatusOK {
		return "", a.refused(host, token)
	}
	var good struct {
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal(a.body, &good) != nil || good.Refresh == "" || strings.ContainsFunc(good.Refresh, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", &exchange.Error{Kind: exchange.ErrUnreachable, Text: host + " answered the exchange of a token with something that is not a login",
			Hint: "whoever runs the node's network looks for a proxy that answers in the registry's place"}
	}
	return good.Refresh, nil
}

// message is the registry's own words, without the token, should it have sent it back.
func (a answer) message() string {
	var said struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(a.body, &said) != nil || len(said.Errors) == 0 {
		return ""
	}
	return azure.OneLine(said.Errors[0].Code + " " + said.Errors[0].Message)
}

// refused says what an answer means. Roles, tenant and firewall all answer here, before any repository is named.
func (a answer) refused(host string, token azure.Token) error {
	words := a.message()
	text := fmt.Sprintf("%s answered %d to the exchange of a token of %s", host, a.status, token.Who)
	if words != "" {
		text += ": " + words
	}
	e := &exchange.Error{Kind: exchange.ErrRefused, Text: text}
	switch {
	case a.status == http.StatusForbidden && strings.Contains(words, "not allowed access"):
		e.Kind = exchange.ErrUnreachable
		e.Hint = "the registry's firewall keeps this node out: whoever administers the registry allows the address that is named, or the network admin gives it a private endpoint (https://aka.ms/acr/firewall)"
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		e.Hint = "whoever administers the registry grants the role (it takes some minutes to work): az role assignment create --assignee " + token.Who.Assignee() +
			` --role AcrPull --scope $(az acr list --query "[?loginServer=='` + loginServer(host) + `'].id" --output tsv); with permissions by repository the role is Container Registry Repository Reader. ` +
			"It is refused too where the registry is in another tenant. The registry's setting authentication-as-arm does not matter: the token is one for registries"
	case a.status == http.StatusTooManyRequests, a.status >= 500, a.status == http.StatusRequestTimeout:
		e.Kind, e.Hint = exchange.ErrUnreachable, hintBusy
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		e.Kind, e.Hint = exchange.ErrUnreachable, "what answers there is not an Azure container registry: check the name, and whoever runs the network looks for a proxy or a DNS entry in its place"
	default:
		e.Hint = "whoever administers the registry looks for the cause in its activity log; check that its tenant is " + tenantOf(token)
	}
	return e
}

// loginServer is a registry's own host, for one of its regions too.
func loginServer(host string) string {
	name, rest, _ := strings.Cut(host, ".")
	if _, domain, regional := strings.Cut(rest, ".geo."); regional {
		return name + "." + domain
	}
	return host
}

func tenantOf(token azure.Token) string {
	if token.Who.Tenant == "" {
		return "the identity's own"
	}
	return token.Who.Tenant
}

// unreachable is the way's own error, with whose turn it is.
func unreachable(host string, err error) error {
	hint := "whoever runs the node's network lets it reach " + host + " on port 443"
	switch {
	case errors.Is(err, egress.ErrDNS):
		hint = "check the registry's name: there is no such host, or the private endpoint's DNS zone is not linked to the node's network"
	case errors.Is(err, egress.ErrTLS):
		hint = "whoever runs the node's network looks for what answers in the registry's place; a proxy's own CA belongs into the registry's setting ca"
	case errors.Is(err, egress.ErrRefused):
		hint = "the registry's address is one that its settings do not allow: a private endpoint's range belongs into private_networks"
	}
	if told := egress.HintOf(err); told != "" {
		hint = told
	}
	return &exchange.Error{Kind: exchange.ErrUnreachable, Text: "no login for " + host + ": " + egress.Clean(err.Error(), 500), Hint: hint}
}

// expiry is when a refresh token runs out, as it says itself. Where it says nothing that can be, it is taken for an hour.
func expiry(token string, now time.Time) time.Time {
	guess := now.Add(guessLife)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return guess
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct{ Exp float64 }
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return guess
	}
	life := claims.Exp - float64(now.Unix())
	if !(life > 0 && life <= mostLife.Seconds()) {
		return guess
	}
	return time.Unix(int64(claims.Exp), 0)
}
