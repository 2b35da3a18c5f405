package azure_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/identity/azuretest"
)

// Off Azure nothing answers: that is found within two seconds, once for all who wait, and believed for a minute.
func TestOffAzure(t *testing.T) {
	setenv(t, nil)
	c := azuretest.New(t)
	c.NoMetadata()
	synctest.Test(t, func(t *testing.T) {
		identity, start := node(c), time.Now()
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				_, err := identity.Token(t.Context(), ask(c))
				refuses(t, c, err, azure.ErrNoIdentity, "does not answer", "managed identity")
			})
		}
		group.Wait()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
		start = time.Now()
		if _, err := identity.Token(t.Context(), azure.Ask{Cloud: azure.China, Scope: acrScope}); !errors.Is(err, azure.ErrNoIdentity) || time.Since(start) > 0 {
			t.Errorf("%v, after %s", err, time.Since(start))
		}
		time.Sleep(61 * time.Second)
		start = time.Now()
		if _, err := identity.Token(t.Context(), ask(c)); !errors.Is(err, azure.ErrNoIdentity) || time.Since(start) == 0 {
			t.Errorf("a minute later: %v, after %s", err, time.Since(start))
		}
	})
}

// Other clouds have a metadata service at the same address.
func TestAnotherCloudsMetadataService(t *testing.T) {
	setenv(t, nil)
	for name, status := range map[string]int{"Google": 404, "Amazon, version 2 only": 401, "Amazon": 404, "a proxy": 403, "a portal": 200} {
		c := azuretest.New(t)
		asked := 0
		identity := azure.New(azure.Config{Transport: transport(func(r *http.Request) (*http.Response, error) {
			asked++
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})})
		for range 3 {
			_, err := identity.Token(t.Context(), ask(c))
			refuses(t, c, err, azure.ErrNoIdentity, "not Azure's metadata service")
		}
		if asked != 1 {
			t.Errorf("%s: asked %d times", name, asked)
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What is assigned to the machine after the first look is seen a minute later.
func TestIdentityAssignedLater(t *testing.T) {
	c := azuretest.New(t)
	setenv(t, map[string]string{"AZURE_CLIENT_ID": azuretest.NewID()})
	identity := node(c)
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			_, err := identity.Token(t.Context(), ask(c))
			refuses(t, c, err, azure.ErrNoIdentity, "Identity not found")
		}
		if n := c.Calls("imds.token"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(time.Minute)
		app := c.Assign("pier-nodes")
		t.Setenv("AZURE_CLIENT_ID", app.Client)
		must(t, identity, ask(c), app)
	})
}

// Throttling is waited out; what does not end is told before anybody gives up.
func TestTroubleIsRetriedAndBounded(t *testing.T) {
	for name, try := range map[string]struct {
		trouble azuretest.Trouble
		passes  bool
		kind    error
		words   []string
	}{
		"throttled for a moment":  {azuretest.Trouble{Status: 429, RetryAfter: "2", Times: 2}, true, nil, nil},
		"busy for a moment":       {azuretest.Trouble{Status: 503, Times: 2}, true, nil, nil},
		"throttled":               {azuretest.Trouble{Status: 429}, false, azure.ErrUnreachable, []string{"throttling", "429"}},
		"throttled for an hour":   {azuretest.Trouble{Status: 429, RetryAfter: "3600"}, false, azure.ErrUnreachable, []string{"throttling"}},
		"throttled, patiently":    {azuretest.Trouble{Status: 429, RetryAfter: "10"}, false, azure.ErrUnreachable, []string{"throttling"}},
		"busy":                    {azuretest.Trouble{Status: 503}, false, azure.ErrUnreachable, []string{"503"}},
		"breaks off for a moment": {azuretest.Trouble{Times: 2}, true, nil, nil},
		"breaks off":              {azuretest.Trouble{}, false, azure.ErrUnreachable, []string{"the connection broke"}},
		"silent":                  {azuretest.Trouble{Never: true}, false, azure.ErrUnreachable, []string{"answer"}},
		"garbled":                 {azuretest.Trouble{Status: 200, Body: "hunter2<html>"}, false, azure.ErrUnreachable, []string{"something that is not"}},
		"without a token":         {azuretest.Trouble{Status: 200, Body: `{"token_type":"Bearer","expires_in":3600}`}, false, azure.ErrUnreachable, []string{"something that is not"}},
		"too large":               {azuretest.Trouble{Status: 200, Body: strings.Repeat("x", 2<<20)}, false, azure.ErrUnreachable, []string{"too large"}},
		"a proxy's refusal":       {azuretest.Trouble{Status: 407, Body: "<html>", Type: "text/html"}, false, azure.ErrUnreachable, []string{"407", "proxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := azuretest.New(t)
			app := application(t, c)
			c.Trouble("entra.token", try.trouble)
			check := func(t *testing.T) {
				start := time.Now()
				token, err := node(c).Token(t.Context(), ask(c))
				if took := time.Since(start); took > 30*time.Second {
					t.Errorf("it took %s", took)
				}
				if try.passes {
					if err != nil || token.Who.Client != app.Client {
						t.Errorf("%v", err)
					}
					return
				}
				refuses(t, c, err, try.kind, append(try.words, "login.microsoftonline.com")...)
				if strings.Contains(err.Error(), "hunter2") {
					t.Error("the answer is quoted")
				}
			}
			synctest.Test(t, func(t *testing.T) { // whose clock begins long before the secret runs out
				check(t)
			})
		})
	}
}

// The metadata service's troubles, likewise.
func TestMetadataServiceInTrouble(t *testing.T) {
	c := azuretest.New(t)
	app := c.Assign("pier-nodes")
	setenv(t, map[string]string{"AZURE_CLIENT_ID": app.Client})
	synctest.Test(t, func(t *testing.T) {
		c.Trouble("imds.token", azuretest.Trouble{Status: 429})
		_, err := node(c).Token(t.Context(), ask(c))
		refuses(t, c, err, azure.ErrUnreachable, azuretest.Metadata, "throttling")
		c.Calm()
		c.Trouble("imds.token", azuretest.Trouble{Status: 200, Body: "hello"})
		_, err = node(c).Token(t.Context(), ask(c))
		refuses(t, c, err, azure.ErrUnreachable, "not a token")
		c.Calm()
		c.Trouble("imds.token", azuretest.Trouble{Status: 410, Times: 1})
		must(t, node(c), ask(c), app)
	})
}

func TestUnknownHost(t *testing.T) {
	c := azuretest.New(t)
	application(t, c)
	c.Authority = "elsewhere.example.com"
	synctest.Test(t, func(t *testing.T) {
		_, err := node(c).Token(t.Context(), ask(c))
		refuses(t, c, err, azure.ErrUnreachable, "login.microsoftonline.com cannot be reached", "no host of that name")
	})
}

// Whoever stops waiting is told so, and ends nothing for the others.
func TestEndedContext(t *testing.T) {
	c := azuretest.New(t)
	application(t, c)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := node(c).Token(ctx, ask(c)); !errors.Is(err, context.Canceled) || c.Calls("entra.token") != 0 {
			t.Errorf("%v", err)
		}
		c.Trouble("entra.token", azuretest.Trouble{Status: 429, RetryAfter: "5", Times: 1})
		identity := node(c)
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := identity.Token(hasty, ask(c)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
		group.Go(func() {
			if _, err := identity.Token(t.Context(), ask(c)); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		if n := c.Calls("entra.token"); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}
