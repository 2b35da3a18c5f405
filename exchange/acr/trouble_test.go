package acr_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/azuretest"
	"pierhead.dev/pierhead/secret"
)

func (p *place) requestOf(content string) exchange.Request {
	return exchange.Request{Host: "registry.example.com", Hosts: []string{"registry.example.com"}, Secret: secret.NewValue([]byte(content))}
}

// What the registry may answer to the exchange.
func TestTheExchangeInTrouble(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	for name, try := range map[string]struct {
		trouble azuretest.Trouble
		kind    error // nil: it passes
		calls   int
		words   []string
	}{
		"throttled for a moment": {azuretest.Trouble{Status: 429, RetryAfter: "3", Times: 2}, nil, 3, nil},
		"busy for a moment":      {azuretest.Trouble{Status: 503, Times: 3}, nil, 4, nil},
		"breaks off for once":    {azuretest.Trouble{Times: 1}, nil, 2, nil},
		"throttled":              {azuretest.Trouble{Status: 429, Body: `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`}, exchange.ErrUnreachable, 4, []string{"429", "TOOMANYREQUESTS", "throttles"}},
		"throttled for an hour":  {azuretest.Trouble{Status: 429, RetryAfter: "3600"}, exchange.ErrUnreachable, 1, []string{"429"}},
		"throttled, patiently":   {azuretest.Trouble{Status: 429, RetryAfter: "10"}, exchange.ErrUnreachable, 3, []string{"did not make a login within 30s; its last answer was 429"}},
		"busy":                   {azuretest.Trouble{Status: 502}, exchange.ErrUnreachable, 4, []string{"502"}},
		"breaks off":             {azuretest.Trouble{}, exchange.ErrUnreachable, 4, []string{"broke"}},
		"no role":                {azuretest.Trouble{Status: 401}, exchange.ErrRefused, 1, []string{"AcrPull"}},
		"forbidden":              {azuretest.Trouble{Status: 403}, exchange.ErrRefused, 1, []string{"AcrPull"}},
		"no exchange there":      {azuretest.Trouble{Status: 404, Body: "<html>", Type: "text/html"}, exchange.ErrUnreachable, 1, []string{"404", "not an Azure container registry"}},
		"bad request":            {azuretest.Trouble{Status: 400, Body: `{"errors":[{"code":"BAD","message":"tenant\nis wrong"}]}`}, exchange.ErrRefused, 1, []string{"BAD tenant is wrong", p.Tenant}},
		"a portal":               {azuretest.Trouble{Status: 200, Body: "<html>hunter2", Type: "text/html"}, exchange.ErrUnreachable, 1, []string{"not a login"}},
		"an empty answer":        {azuretest.Trouble{Status: 200}, exchange.ErrUnreachable, 1, []string{"not a login"}},
		"a token with a break":   {azuretest.Trouble{Status: 200, Body: `{"refresh_token":"hunter2\n"}`}, exchange.ErrUnreachable, 1, []string{"not a login"}},
		"too large":              {azuretest.Trouble{Status: 200, Body: strings.Repeat("x", 300<<10)}, exchange.ErrUnreachable, 1, []string{"too large"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.Calm()
			p.waited = 0
			before := p.Calls("acr.exchange")
			p.Trouble("acr.exchange", try.trouble)
			if try.kind != nil {
				p.refuses(t, p.request(), try.kind, append(try.words, "myregistry.azurecr.io")...)
			} else if login, err := p.subject.Exchange(t.Context(), p.request()); err != nil || login.Empty() {
				t.Errorf("%v", err)
			}
			if n := p.Calls("acr.exchange") - before; n != try.calls {
				t.Errorf("asked %d times, want %d", n, try.calls)
			}
			if p.waited > 35*time.Second || try.calls > 1 && p.waited == 0 {
				t.Errorf("waited %s in all", p.waited)
			}
		})
	}
}

func TestF47Firewall(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	p.registry.Block()
	p.refuses(t, p.request(), exchange.ErrUnreachable, "403", "192.0.2.1", "https://aka.ms/acr/firewall")
}

func TestRegistryUnreachable(t *testing.T) {
	p := newPlace(t)
	p.node(t)
	r := p.request()
	r.Host, r.Hosts = "nosuch.azurecr.io", nil
	r.Out = p.way(t, r.Host)
	p.refuses(t, r, exchange.ErrUnreachable, "nosuch.azurecr.io", "no such host")
	r.Out = nil
	if _, err := p.subject.Exchange(t.Context(), r); !errors.Is(err, exchange.ErrUnreachable) {
		t.Error(err)
	}
	// A way that may not carry a secret to this host refuses before anything is sent.
	r.Out = p.way(t, "other.azurecr.io")
	p.refuses(t, r, exchange.ErrUnreachable, "nosuch.azurecr.io")
}

// A registry that redirects does not have the token carried on.
func TestRedirectTakesNothingAlong(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	evil := p.world.HTTPS("evil.azurecr.io", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	p.world.HTTPS("moved.azurecr.io", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.azurecr.io/oauth2/exchange", http.StatusTemporaryRedirect)
	}))
	r := p.request()
	r.Host, r.Hosts, r.Out = "moved.azurecr.io", nil, p.way(t, "moved.azurecr.io")
	p.refuses(t, r, exchange.ErrUnreachable, "moved.azurecr.io")
	if evil.Received() != "" {
		t.Error("the redirect was followed")
	}
}

// Whoever stops waiting is told so at once.
func TestEndedContext(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	if _, err := p.subject.Exchange(t.Context(), p.request()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.Trouble("acr.exchange", azuretest.Trouble{Status: 503})
	p.subject.PauseWith(func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() })
	if login, err := p.subject.Exchange(ctx, p.request()); !errors.Is(err, context.Canceled) || !login.Empty() {
		t.Errorf("%v", err)
	}
}

// Many pulls at once ask Entra once.
func TestManyAtOnce(t *testing.T) {
	p := newPlace(t)
	p.registry.Grant(p.node(t), azuretest.AcrPull)
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			if _, err := p.subject.Exchange(t.Context(), p.request()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n, probes := p.Calls("imds.token"), p.Calls("imds.probe"); n != 1 || probes != 1 {
		t.Errorf("%d asks, %d probes", n, probes)
	}
}
