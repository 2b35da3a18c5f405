package jfrog

import (
	"bytes"
	"context"
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
	"unicode"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/egress"
	"pierhead.dev/pierhead/exchange"
)

// A call is one question to JFrog's access service.
type call struct {
	out           *egress.Client
	url           *url.URL
	contentType   string
	authorization string
	body          []byte
	secrets       []string // in body
	what          string   // "exchange the OIDC token of this node"
	refused       string   // the hint where JFrog says no
}

// A reply is a token, as JFrog gives one.
type reply struct {
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	ExpiresIn    json.Number `json:"expires_in"`
	Username     string      `json:"username"`
}

// expires is when the token ends: as it came, else as the token says itself, else zero.
func (r reply) expires(began time.Time) time.Time {
	if seconds, err := r.ExpiresIn.Int64(); err == nil && seconds > 0 && seconds < 1<<32 {
		return began.Add(time.Duration(seconds) * time.Second)
	}
	return instant(claimsOf(r.AccessToken).Expires)
}

func (r reply) login(host, username string, began time.Time) (credential.Credential, error) {
	if username == "" || strings.Contains(username, ":") || strings.ContainsFunc(username, unicode.IsControl) {
		return credential.Credential{}, garbled(host)
	}
	return credential.New(username, r.AccessToken, r.expires(began), []string{host}), nil
}

func garbled(host string) error {
	return &exchange.Error{Kind: exchange.ErrUnreachable, Text: host + " answered something that is no token of JFrog's",
		Hint: `if the host serves only the registry, add "url" to the secret with the platform's own address, and that host to the registry's realms`}
}

// baseOf is where the platform's API is: at the registry's own host, or where the secret says and the registry's rules let a
// credential go.
func baseOf(r exchange.Request, written string) (*url.URL, error) {
	if r.Out == nil {
		return nil, &exchange.Error{Kind: exchange.ErrUnreachable, Text: "there is no way out to " + r.Host + " here"}
	}
	if written == "" {
		base := &url.URL{Scheme: "https", Host: r.Host, Path: "/"}
		if !r.Out.IsHost(base) {
			base.Scheme = "http" // as the registry's settings say
		}
		return base, nil
	}
	base, err := url.Parse(written)
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" || base.Opaque != "" {
		return nil, content(`"url" in the secret is not the address of a JFrog platform`, "write it as https://artifactory.example.com")
	}
	if err := r.Out.MayCarry(base); err != nil {
		return nil, &exchange.Error{Kind: exchange.ErrHostMismatch,
			Text: `"url" in the secret is at ` + egress.Clean(base.Host, 255) + ", which is not a confirmed host of the registry at " + r.Host + ": no token is sent there",
			Hint: "an organization admin who knows that host confirms it: pier registry update NAME --realm " + egress.Clean(base.Host, 255)}
	}
	if base.Path == "" {
		base.Path = "/"
	}
	return base, nil
}

const (
	tries      = 3
	longestPut = 10 * time.Second // a Retry-After that is longer is told instead of waited for
	maxReply   = 128 << 10
)

// ask posts, and tries again where JFrog or the way to it is only busy.
func (e *Exchanger) ask(ctx context.Context, c call) (reply, error) {
	for try := 1; ; try++ {
		answer, put, err := c.once(ctx)
		if err == nil || put < 0 || try == tries || ctx.Err() != nil {
			if ctx.Err() != nil {
				return reply{}, ctx.Err()
			}
			return answer, err
		}
		if put == 0 {
			put = time.Duration(float64(time.Second) * (0.5 + rand.Float64()) * float64(try))
		}
		if put > longestPut {
			return reply{}, err
		}
		if ended := e.config.Wait(ctx, put); ended != nil {
			return reply{}, ended
		}
	}
}

// once is one try; put is how long to wait before the next one, 0 where nobody said, below 0 where there is no point.
func (c call) once(ctx context.Context) (answer reply, put time.Duration, err error) {
	response, err := c.out.Do(ctx, egress.Request{Method: http.MethodPost, URL: c.url, Authorization: c.authorization,
		Header: http.Header{"Content-Type": {c.contentType}, "Accept": {"application/json"}},
		Body:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }, Length: int64(len(c.body)),
		SecretBody: true, SameOrigin: true, MaxBody: maxReply, Secrets: c.secrets})
	if err != nil {
		return reply{}, again(err), c.unreachable(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case response.Status == http.StatusOK && err != nil:
		return reply{}, again(err), c.unreachable(err)
	case response.Status == http.StatusOK:
		if json.Unmarshal(text, &answer) != nil || answer.AccessToken == "" || strings.ContainsFunc(answer.AccessToken, unicode.IsControl) {
			return reply{}, -1, garbled(c.url.Host)
		}
		return answer, 0, nil
	case response.Status == http.StatusTooManyRequests, response.Status >= 500:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return reply{}, time.Duration(max(seconds, 0)) * time.Second, c.busy(response.Status, text)
	}
	return reply{}, -1, c.refusal(response.Status, text)
}

// again tells whether another try may find what this one did not.
func again(err error) time.Duration {
	if errors.Is(err, egress.ErrConnect) || errors.Is(err, egress.ErrBroken) {
		return 0
	}
	return -1
}

func (c call) unreachable(err error) error {
	hint := egress.HintOf(err)
	if hint == "" {
		hint = "a network admin looks at the way from this node to " + c.url.Host
	}
	return &exchange.Error{Kind: exchange.ErrUnreachable, Text: fmt.Sprintf("%s cannot be asked to %s: %v", c.url.Host, c.what, err), Hint: hint}
}

func (c call) busy(status int, text []byte) error {
	why := "is in trouble"
	if status == http.StatusTooManyRequests {
		why = "is throttling"
	}
	return &exchange.Error{Kind: exchange.ErrUnreachable, Text: fmt.Sprintf("%s %s: asked to %s it answered %d%s", c.url.Host, why, c.what, status, said(text)),
		Hint: "try again in a minute; if it stays so, a platform admin of JFrog looks at its access service"}
}

func (c call) refusal(status int, text []byte) error {
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		return &exchange.Error{Kind: exchange.ErrRefused, Text: fmt.Sprintf("%s has nothing at %s: it answered %d%s", c.url.Host, c.url.Path, status, said(text)),
			Hint: `if the host serves only the registry, add "url" to the secret with the platform's own address, and that host to the registry's realms; old versions of Artifactory know no exchange by OIDC`}
	}
	return &exchange.Error{Kind: exchange.ErrRefused, Text: fmt.Sprintf("%s refused to %s: it answered %d%s", c.url.Host, c.what, status, said(text)), Hint: c.refused}
}

// said is the reason in an error answer of JFrog's, or nothing. Egress has taken out what was sent.
func said(text []byte) string {
	var answer struct {
		Errors []struct {
			Code    any    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(text, &answer) != nil || len(answer.Errors) == 0 || answer.Errors[0].Message == "" {
		return ""
	}
	return " (" + egress.Clean(answer.Errors[0].Message, 300) + ")"
}
