package google_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/identity/googletest"
	"pierhead.dev/pierhead/secret"
)

func keyOf(t *testing.T, file []byte) google.Key {
	t.Helper()
	var k struct {
		Email string `json:"client_email"`
		ID    string `json:"private_key_id"`
		PEM   string `json:"private_key"`
	}
	if err := json.Unmarshal(file, &k); err != nil {
		t.Fatal(err)
	}
	return google.Key{Email: k.Email, ID: k.ID, PEM: secret.NewValue([]byte(k.PEM))}
}

// Every no of the token service, and what each says to do.
func TestKeyRefused(t *testing.T) {
	for what, c := range map[string]struct {
		arrange func(*googletest.Cloud, *googletest.Account)
		kind    error
		words   []string
	}{
		"deleted key":     {func(_ *googletest.Cloud, a *googletest.Account) { a.DeleteKeys() }, google.ErrRefused, []string{"invalid_grant", "Invalid JWT Signature", "keys create"}},
		"deleted account": {func(c *googletest.Cloud, a *googletest.Account) { c.DeleteAccount(a.Email) }, google.ErrRefused, []string{"account not found", "is gone"}},
		"disabled":        {func(_ *googletest.Cloud, a *googletest.Account) { a.Disable() }, google.ErrRefused, []string{"switched off", "enable"}},
		"throttled":       {trouble(googletest.Trouble{Status: 429, Message: "Quota exceeded"}), google.ErrUnreachable, []string{"429", "throttling", "4 tries"}},
		"their fault":     {trouble(googletest.Trouble{Status: 503}), google.ErrUnreachable, []string{"503", "Google's side"}},
		"redirect":        {trouble(googletest.Trouble{Status: 307}), google.ErrUnreachable, []string{"307"}},
		"garbled":         {trouble(googletest.Trouble{Body: "<html>Sign in to FreeWiFi</html>"}), google.ErrUnreachable, []string{"not a token", "sign-in page"}},
		"no token":        {trouble(googletest.Trouble{Body: "{}"}), google.ErrUnreachable, []string{"not a token"}},
		"endless":         {trouble(googletest.Trouble{Body: strings.Repeat("x", 1<<20)}), google.ErrUnreachable, []string{"longer than 256 KiB"}},
		"slow":            {trouble(googletest.Trouble{Delay: time.Hour}), google.ErrUnreachable, []string{"oauth2.googleapis.com", "HTTPS_PROXY"}},
		"away":            {func(c *googletest.Cloud, _ *googletest.Account) { c.Away("oauth2.googleapis.com", true) }, google.ErrUnreachable, []string{"connection refused"}},
		"echo":            {trouble(googletest.Trouble{Echo: true}), google.ErrRefused, []string{"400"}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
				account := cloud.Account(robot)
				key := keyOf(t, account.Key())
				c.arrange(cloud, account)
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				start := time.Now()
				_, err := google.NewClient(cloud.Transport()).KeyToken(ctx, key)
				bad(t, cloud, err, c.kind, append(c.words, robot)...)
				if took := time.Since(start); took > 45*time.Second {
					t.Errorf("told after %v", took)
				}
			})
		})
	}
}

func trouble(tr googletest.Trouble) func(*googletest.Cloud, *googletest.Account) {
	return func(c *googletest.Cloud, _ *googletest.Account) { c.Trouble(googletest.OpToken, tr) }
}

func TestKeyOfAnotherAccount(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
		key := keyOf(t, cloud.Account(robot).Key())
		cloud.Account(target)
		key.Email = target
		_, err := google.NewClient(cloud.Transport()).KeyToken(t.Context(), key)
		bad(t, cloud, err, google.ErrRefused, "Invalid JWT Signature", "another account")
	})
}

// skewed is a Google whose clock is elsewhere, as its Date header says too.
type skewed struct {
	next http.RoundTripper
	by   time.Duration
}

func (s skewed) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err == nil {
		response.Header.Set("Date", time.Now().Add(s.by).UTC().Format(http.TimeFormat))
	}
	return response, err
}

// A clock that is off is told as such, with how far: "invalid signature" alone sends people after a new key.
func TestClockSkew(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
		key := keyOf(t, cloud.Account(robot).Key())
		cloud.Trouble(googletest.OpToken, googletest.Trouble{Status: 400, Message: "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."})
		_, err := google.NewClient(skewed{cloud.Transport(), 2 * time.Hour}).KeyToken(t.Context(), key)
		bad(t, cloud, err, google.ErrRefused, "2h0m0s behind", "NTP")
		_, err = google.NewClient(cloud.Transport()).KeyToken(t.Context(), key)
		bad(t, cloud, err, google.ErrRefused, "clock may be off")
	})
}

// Throttling is waited out, as long as Google says, and not for ever.
func TestP9Throttled(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
		key, client := keyOf(t, cloud.Account(robot).Key()), google.NewClient(cloud.Transport())
		cloud.Trouble(googletest.OpToken, googletest.Trouble{Status: 429, Times: 2, RetryAfter: "3"})
		start := time.Now()
		token, err := client.KeyToken(t.Context(), key)
		good(t, cloud, token, err, robot)
		if took := time.Since(start); took < 6*time.Second || took > 10*time.Second {
			t.Errorf("answered after %v", took)
		}
		cloud.Trouble(googletest.OpToken, googletest.Trouble{Status: 429, RetryAfter: "600"})
		start, calls := time.Now(), cloud.Calls(googletest.OpToken)
		_, err = client.KeyToken(t.Context(), key)
		bad(t, cloud, err, google.ErrUnreachable, "throttling")
		if time.Since(start) > time.Second || cloud.Calls(googletest.OpToken) != calls+1 {
			t.Errorf("%v and %d calls for somebody who said ten minutes", time.Since(start), cloud.Calls(googletest.OpToken)-calls)
		}
	})
}

func TestCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := node.Token(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := google.NewClient(cloud.Transport()).KeyToken(ctx, keyOf(t, cloud.Account(robot).Key())); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestImpersonate(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
		client := google.NewClient(cloud.Transport())
		source, err := client.KeyToken(t.Context(), keyOf(t, cloud.Account(robot).Key()))
		good(t, cloud, source, err, robot)
		_, err = client.Impersonate(t.Context(), source, target)
		bad(t, cloud, err, google.ErrRefused, "403", robot, target, "--member=serviceAccount:"+robot, "roles/iam.serviceAccountTokenCreator")
		cloud.Grant(robot, googletest.GetAccessToken, target)
		_, err = client.Impersonate(t.Context(), source, target)
		bad(t, cloud, err, google.ErrRefused, "404", "no service account "+target)
		account := cloud.Account(target)
		token, err := client.Impersonate(t.Context(), source, target)
		good(t, cloud, token, err, target)
		if token.Principal != target {
			t.Errorf("principal %q", token.Principal)
		}
		for reason, words := range map[string][]string{
			"SERVICE_DISABLED":                {"gcloud services enable iamcredentials.googleapis.com"},
			"ACCESS_TOKEN_SCOPE_INSUFFICIENT": {"access scopes"},
		} {
			cloud.Trouble(googletest.OpImpersonate, googletest.Trouble{Status: 403, Reason: reason, Times: 1})
			_, err = client.Impersonate(t.Context(), source, target)
			bad(t, cloud, err, google.ErrRefused, words...)
		}
		account.Disable()
		_, err = client.Impersonate(t.Context(), source, target)
		bad(t, cloud, err, google.ErrRefused, "disabled", "enable "+target)
		cloud.EndTokens()
		_, err = client.Impersonate(t.Context(), source, target)
		bad(t, cloud, err, google.ErrRefused, "401", "UNAUTHENTICATED")
	})
}

func TestFederation(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, _ *google.Node) {
		client := google.NewClient(cloud.Transport())
		issuer, other := cloud.NewIssuer("https://issuer.example.com"), cloud.NewIssuer("https://issuer.example.com")
		audience := cloud.Provider(42, "pool", "oidc", issuer)
		exchange := func(audience, token string, lifetime time.Duration) (google.Token, error) {
			f := google.Federation{Audience: audience, SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
				SubjectToken: func(context.Context) (string, error) { return token, nil }}
			if lifetime > 0 {
				f.Impersonate, f.Lifetime = target, lifetime
			}
			return client.FederatedToken(t.Context(), f)
		}
		right := issuer.Sign("me", "https:"+audience, time.Hour)
		token, err := exchange(audience, right, 0)
		me := "principal://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/pool/subject/me"
		good(t, cloud, token, err, me)
		cloud.FederatedLife(audience, 5*time.Minute)
		if token, err = exchange(audience, right, 0); time.Until(token.Expires) > 5*time.Minute {
			t.Errorf("%v, %v", token.Expires, err)
		}
		for what, c := range map[string]struct{ audience, token, word string }{
			"wrong audience": {audience, issuer.Sign("me", "sts.amazonaws.com", time.Hour), "allowed audiences"},
			"ended":          {audience, issuer.Sign("me", "https:"+audience, -time.Minute), "has ended"},
			"wrong key":      {audience, other.Sign("me", "https:"+audience, time.Hour), "issuer"},
			"no provider":    {strings.Replace(audience, "oidc", "saml", 1), right, "no such workload identity pool"},
			"no token":       {audience, "hunter2", "provider"},
		} {
			_, err := exchange(c.audience, c.token, 0)
			if bad(t, cloud, err, google.ErrRefused, "sts.googleapis.com", c.word); strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: the token is in %v", what, err)
			}
		}
		cloud.Account(target)
		cloud.Grant(me, googletest.GetAccessToken, target)
		token, err = exchange(audience, right, 30*time.Minute)
		good(t, cloud, token, err, target)
		_, err = exchange(audience, right, 6*time.Hour)
		bad(t, cloud, err, google.ErrRefused, "lifetime", "organization policy")
		cloud.Trouble(googletest.OpExchange, googletest.Trouble{Echo: true, Times: 1})
		_, err = exchange(audience, right, 0)
		bad(t, cloud, err, google.ErrRefused, "400")
	})
}

// A token goes to the host that it was asked for, by https, and to no other.
func TestHTTPClientSendsNowhereElse(t *testing.T) {
	bubble(t, func(t *testing.T, cloud *googletest.Cloud, node *google.Node) {
		cloud.Machine(googletest.Machine{Email: robot})
		client := node.HTTPClient("secretmanager.googleapis.com")
		for _, url := range []string{"http://secretmanager.googleapis.com/v1/x", "https://secretmanager.googleapis.com:8443/v1/x", "https://iamcredentials.googleapis.com/", "https://secretmanager.googleapis.com.evil.com/"} {
			response, err := client.Get(url)
			if err == nil {
				_ = response.Body.Close()
				t.Errorf("%s answered", url)
			}
		}
		if cloud.Calls(googletest.OpMachineToken) != 0 {
			t.Error("a token was asked for, for nobody")
		}
	})
}

func TestNames(t *testing.T) {
	for text, want := range map[string]bool{robot: true, "42-compute@developer.gserviceaccount.com": true, "acme@appspot.gserviceaccount.com": true, "a@proj.example.com.iam.gserviceaccount.com": true,
		"a@example.com": false, "a@gserviceaccount.com": false, "a/../b@p.iam.gserviceaccount.com": false, "a@p.iam.gserviceaccount.com.evil.com": false, "a:b@p.iam.gserviceaccount.com": false, "": false,
		"a@p.iam.gserviceaccount.com\n": false, "a@.gserviceaccount.com": false, "A@p.iam.gserviceaccount.com": false} {
		if google.IsServiceAccount(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	for _, url := range []string{"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + target, "http://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + target + ":generateAccessToken",
		"https://iamcredentials.googleapis.com.evil.com/v1/projects/-/serviceAccounts/" + target + ":generateAccessToken", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/../" + target + ":generateAccessToken",
		"https://iamcredentials.googleapis.com@evil.com/v1/projects/-/serviceAccounts/" + target + ":generateAccessToken", "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + target + ":generateAccessToken?x", ""} {
		if who, ok := google.ImpersonationTarget(url); ok {
			t.Errorf("%q is for %s", url, who)
		}
	}
}

// At debug level Google's libraries log keys and tokens; here they do not.
func TestLibrariesDoNotLog(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	stderr := capture(t)
	synctest.Test(t, func(t *testing.T) {
		cloud := googletest.New()
		client := google.NewClient(cloud.Transport())
		cloud.Account(target)
		cloud.Grant(robot, googletest.GetAccessToken, target)
		source, err := client.KeyToken(t.Context(), keyOf(t, cloud.Account(robot).Key()))
		good(t, cloud, source, err, robot)
		if _, err := client.Impersonate(t.Context(), source, target); err != nil {
			t.Fatal(err)
		}
	})
	if text := stderr(); text != "" {
		t.Errorf("%d bytes were logged", len(text))
	}
}
