package gcp_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pierhead.dev/pierhead/credential"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/exchangetest"
	"pierhead.dev/pierhead/exchange/gcp"
	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/identity/googletest"
	"pierhead.dev/pierhead/internal/tokendir"
	"pierhead.dev/pierhead/secret"
)

const (
	host   = "europe-west1-docker.pkg.dev"
	robot  = "registry-reader@acme-prod.iam.gserviceaccount.com"
	target = "ci-images@acme-prod.iam.gserviceaccount.com"
	me     = "system:serviceaccount:pier:agent"
)

// A world is a Google, a node in it, and the node's directory of tokens.
type world struct {
	*googletest.Cloud
	*gcp.Exchanger
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Cloud: googletest.New(), dir: t.TempDir()}
	client := google.NewClient(w.Transport())
	w.Exchanger = gcp.New(gcp.Config{Client: client, Node: google.NewNode(client), TokenDirs: tokendir.Dirs{w.dir}})
	return w
}

// bubble runs a test on a clock of its own, without credentials of this machine's. Nothing in it reaches beyond Google.
func bubble(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", "")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w)
		if strays := w.Strays(); len(strays) > 0 {
			t.Errorf("asked of %q", strays)
		}
	})
}

func plain(username, password, server string) secret.Value {
	fields := map[string]string{"username": username, "password": password}
	if server != "" {
		fields["server"] = server
	}
	return value(fields)
}

func value(v any) secret.Value {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return secret.NewValue(text)
}

// external is an external_account file for a token of that name in the node's directory; edit changes it.
func (w *world) external(audience, name string, edit func(map[string]any)) secret.Value {
	f := map[string]any{"type": "external_account", "audience": audience, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": google.STSURL, "token_info_url": "https://sts.googleapis.com/v1/introspect", "universe_domain": "googleapis.com",
		"credential_source": map[string]any{"file": filepath.Join(w.dir, name), "format": map[string]any{"type": "text"}}}
	if edit != nil {
		edit(f)
	}
	return value(f)
}

func impersonationURL(email string) string {
	return "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken"
}

// federate makes a pool, and puts a token for it into the node's directory.
func (w *world) federate(t *testing.T) (issuer *googletest.Issuer, audience, principal string) {
	t.Helper()
	issuer = w.NewIssuer("https://oidc.eks.example.com/id/1")
	audience = w.Provider(42, "clusters", "eks", issuer)
	w.put(t, "gcp", issuer.Sign(me, "https:"+audience, time.Hour))
	return issuer, audience, "principal://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/clusters/subject/" + me
}

func (w *world) put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// good checks that a login is one of a principal's access tokens, for its host alone.
func (w *world) good(t *testing.T, c credential.Credential, err error, principal string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v (%s)", err, exchange.HintOf(err))
	}
	who, expires, ok := w.Token(c.Password())
	if !ok || who != principal || c.Username() != "oauth2accesstoken" {
		t.Errorf("a login as %s, of %q, %v; want %s", c.Username(), who, ok, principal)
	}
	if d := expires.Sub(c.Expires()); !c.Expires().IsZero() && (d < -2*time.Second || d > 2*time.Second) {
		t.Errorf("ends %v, and says %v", expires, c.Expires())
	}
	if h := c.Hosts(); len(h) != 1 || h[0] != host {
		t.Errorf("for %q", h)
	}
}

// bad checks an error's kind and words, that it has a hint, and that no secret is in it.
func (w *world) bad(t *testing.T, c credential.Credential, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) || !c.Empty() {
		t.Fatalf("%v, %v; want %v", c, err, kind)
	}
	all := err.Error() + " | " + exchange.HintOf(err)
	if exchange.HintOf(err) == "" {
		t.Errorf("no hint: %v", err)
	}
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("%q is not in: %s", word, all)
		}
	}
	exchangetest.Silent(t, err, append(w.Secrets(), "hunter2")...)
}

func TestV4Contract(t *testing.T) {
	for name, request := range map[string]func(*testing.T, *world) exchange.Request{
		"V8 service account key": func(_ *testing.T, w *world) exchange.Request {
			return exchange.Request{Secret: secret.NewValue(w.Account(robot).Key())}
		},
		"node": func(_ *testing.T, w *world) exchange.Request {
			w.Machine(googletest.Machine{Email: robot})
			return exchange.Request{Identity: true}
		},
		"federation": func(t *testing.T, w *world) exchange.Request {
			_, audience, _ := w.federate(t)
			return exchange.Request{Secret: w.external(audience, "gcp", nil)}
		},
		"impersonation": func(_ *testing.T, w *world) exchange.Request {
			w.Account(target)
			w.Grant(robot, googletest.GetAccessToken, target)
			return exchange.Request{Secret: secret.NewValue(w.Account(robot).Key()), Impersonate: target}
		},
		"access token": func(*testing.T, *world) exchange.Request {
			return exchange.Request{Secret: plain("oauth2accesstoken", "ya29.hunter2", "gcr.io")}
		},
		"key by docker login": func(_ *testing.T, w *world) exchange.Request {
			return exchange.Request{Secret: plain("_json_key", string(w.Account(robot).Key()), "https://gcr.io")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
			t.Setenv("GCE_METADATA_HOST", "")
			w := newWorld(t)
			r := request(t, w)
			r.Host = "gcr.io"
			exchangetest.Test(t, exchangetest.Subject{Exchanger: w, Good: r, Secrets: append(w.Secrets(), "hunter2")})
			if strays := w.Strays(); len(strays) > 0 {
				t.Errorf("asked of %q", strays)
			}
		})
	}
}

func TestV4V8ServiceAccountKey(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		key := secret.NewValue(w.Account(robot).Key())
		c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: key})
		w.good(t, c, err, robot)
		if c.Principal() != robot || time.Until(c.Expires()) < 59*time.Minute {
			t.Errorf("%s until %v", c.Principal(), c.Expires())
		}
		w.Account(robot).DeleteKeys()
		c, err = w.Exchange(t.Context(), exchange.Request{Host: host, Secret: key})
		w.bad(t, c, err, exchange.ErrRefused, robot, "oauth2.googleapis.com", "Invalid JWT Signature", "keys create")
	})
}

func TestV4NodeIdentity(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Identity: true})
		w.bad(t, c, err, exchange.ErrNoIdentity, "metadata server", "service account")
		w.Machine(googletest.Machine{Email: robot})
		time.Sleep(time.Minute)
		c, err = w.Exchange(t.Context(), exchange.Request{Host: host, Identity: true})
		w.good(t, c, err, robot)
		c, err = w.Exchange(t.Context(), exchange.Request{Host: host, Identity: true, Impersonate: target})
		w.bad(t, c, err, exchange.ErrRefused, robot, target, "iam.serviceAccounts.getAccessToken")
		w.Account(target)
		w.Grant(robot, googletest.GetAccessToken, target)
		c, err = w.Exchange(t.Context(), exchange.Request{Host: host, Identity: true, Impersonate: target})
		w.good(t, c, err, target)
		if c.Principal() != target {
			t.Errorf("principal %q", c.Principal())
		}
		c, err = w.Exchange(t.Context(), exchange.Request{Host: host, Identity: true, Impersonate: "../" + target})
		w.bad(t, c, err, exchange.ErrContent, "impersonate")
	})
}

func TestV4Federation(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		issuer, audience, principal := w.federate(t)
		exchangeOf := func(edit func(map[string]any)) (credential.Credential, error) {
			return w.Exchange(t.Context(), exchange.Request{Host: host, Secret: w.external(audience, "gcp", edit)})
		}
		c, err := exchangeOf(nil)
		w.good(t, c, err, principal)
		if want := "principalSet://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/clusters/*"; c.Principal() != want {
			t.Errorf("principal %q", c.Principal())
		}
		w.Account(target)
		w.Grant(principal, googletest.GetAccessToken, target)
		c, err = exchangeOf(func(f map[string]any) { f["service_account_impersonation_url"] = impersonationURL(target) })
		w.good(t, c, err, target)

		w.FederatedLife(audience, 5*time.Minute) // what came back counts
		if c, err = exchangeOf(nil); err != nil || time.Until(c.Expires()) > 5*time.Minute {
			t.Errorf("%v, %v", c, err)
		}
		w.put(t, "gcp", issuer.Sign(me, "sts.amazonaws.com", time.Hour))
		c, err = exchangeOf(nil)
		w.bad(t, c, err, exchange.ErrRefused, "sts.googleapis.com", "audience")
		w.put(t, "gcp", issuer.Sign(me, "https:"+audience, -time.Hour))
		c, err = exchangeOf(nil)
		w.bad(t, c, err, exchange.ErrRefused, "has ended")

		inJSON, _ := json.Marshal(map[string]string{"access_token": issuer.Sign(me, "https:"+audience, time.Hour)})
		w.put(t, "gcp", string(inJSON))
		form := func(field string) func(map[string]any) {
			return func(f map[string]any) {
				f["credential_source"].(map[string]any)["format"] = map[string]any{"type": "json", "subject_token_field_name": field}
			}
		}
		c, err = exchangeOf(form("access_token"))
		w.good(t, c, err, principal)
		c, err = exchangeOf(form("id_token"))
		w.bad(t, c, err, exchange.ErrContent, "subject_token_field_name")
	})
}

// An external_account in a secret is hostile text: what it may name is Google's, or the operator's.
func TestP18HostileFederation(t *testing.T) {
	source := func(s map[string]any) func(map[string]any) {
		return func(f map[string]any) { f["credential_source"] = s }
	}
	set := func(name string, v any) func(map[string]any) { return func(f map[string]any) { f[name] = v } }
	for what, c := range map[string]struct {
		edit func(map[string]any)
		word string
	}{
		"token_url elsewhere":       {set("token_url", "https://sts.googleapis.com.evil.com/v1/token"), "token_url"},
		"token_url with a login":    {set("token_url", "https://sts.googleapis.com@evil.com/v1/token"), "token_url"},
		"token_url by http":         {set("token_url", "http://sts.googleapis.com/v1/token"), "token_url"},
		"token_url at another door": {set("token_url", "https://sts.googleapis.com:8443/v1/token"), "token_url"},
		"impersonation elsewhere":   {set("service_account_impersonation_url", "https://evil.com/v1/projects/-/serviceAccounts/"+target+":generateAccessToken"), "impersonation"},
		"impersonation by path":     {set("service_account_impersonation_url", impersonationURL("../../"+target)), "impersonation"},
		"an executable":             {source(map[string]any{"executable": map[string]any{"command": "/bin/id"}}), "start programs"},
		"an address":                {source(map[string]any{"url": "http://169.254.169.254/latest/api/token"}), "GOOGLE_APPLICATION_CREDENTIALS"},
		"an address beside a file":  {source(map[string]any{"file": "/x", "url": "http://evil.com"}), "GOOGLE_APPLICATION_CREDENTIALS"},
		"a certificate":             {source(map[string]any{"certificate": map[string]any{"use_default_certificate_config": true}}), "certificate"},
		"AWS": {source(map[string]any{"environment_id": "aws1", "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
			"regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}), "AWS"},
		"no source":              {source(map[string]any{}), "no file"},
		"a file of the machine":  {source(map[string]any{"file": "/etc/passwd"}), "--token-dir"},
		"a file beside":          {source(map[string]any{"file": "/etc/passwd-hunter2-is-not-here"}), "--token-dir"},
		"an unknown source":      {source(map[string]any{"hunter2": 1}), "a key that none has"},
		"an unknown key":         {set("hunter2", 1), "a key that none has"},
		"an upper-case twin":     {set("Token_Url", "https://evil.com"), "a key that none has"},
		"another universe":       {set("universe_domain", "evil.com"), "universe"},
		"no audience":            {set("audience", "//evil.com/x"), "audience"},
		"an unknown token type":  {set("subject_token_type", "urn:x"), "subject_token_type"},
		"a life of a day":        {set("service_account_impersonation", map[string]any{"token_lifetime_seconds": 86400}), "43200"},
		"a number for an adress": {set("token_url", 1), "token_url"},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				_, audience, _ := w.federate(t)
				login, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: w.external(audience, "gcp", c.edit)})
				w.bad(t, login, err, exchange.ErrContent, c.word)
				if w.Calls(googletest.OpExchange) != 0 {
					t.Error("somebody was asked")
				}
			})
		})
	}
	bubble(t, func(t *testing.T, w *world) {
		_, audience, _ := w.federate(t)
		c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: w.external(audience, "absent", nil)})
		w.bad(t, c, err, exchange.ErrNoIdentity, "no token")
	})
}

// What stands in a key file about where to ask is not followed.
func TestV8KeyFilesThatAreRefused(t *testing.T) {
	for what, c := range map[string]struct {
		edit func(map[string]any)
		word string
	}{
		"token_uri elsewhere": {func(k map[string]any) { k["token_uri"] = "https://oauth2.googleapis.com.evil.com/token" }, "token_uri"},
		"token_uri of old":    {func(k map[string]any) { k["token_uri"] = "https://accounts.google.com/o/oauth2/token" }, "2018"},
		"no token_uri":        {func(k map[string]any) { delete(k, "token_uri") }, "token_uri"},
		"twin in upper case":  {func(k map[string]any) { delete(k, "token_uri"); k["TOKEN_URI"] = google.TokenURL }, "token_uri"},
		"another universe":    {func(k map[string]any) { k["universe_domain"] = "hunter2.example" }, "universe"},
		"somebody's e-mail":   {func(k map[string]any) { k["client_email"] = "hunter2@example.com" }, "client_email"},
		"no key":              {func(k map[string]any) { delete(k, "private_key") }, "private_key"},
		"twice quoted":        {func(k map[string]any) { k["private_key"] = strings.ReplaceAll(k["private_key"].(string), "\n", `\n`) }, "quoted once too often"},
		"damaged": {func(k map[string]any) {
			k["private_key"] = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"
		}, "damaged"},
		"a key of another art": {func(k map[string]any) { k["private_key"] = ed25519 }, "RSA"},
		"a person":             {func(k map[string]any) { k["type"] = "authorized_user" }, "person"},
		"an impersonation":     {func(k map[string]any) { k["type"] = "impersonated_service_account" }, "impersonate"},
		"an unknown type":      {func(k map[string]any) { k["type"] = "hunter2" }, "neither"},
		"a number":             {func(k map[string]any) { k["type"] = 1 }, "type"},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				var key map[string]any
				if err := json.Unmarshal(w.Account(robot).Key(), &key); err != nil {
					t.Fatal(err)
				}
				c.edit(key)
				login, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: value(key)})
				w.bad(t, login, err, exchange.ErrContent, c.word)
				if w.Calls(googletest.OpToken) != 0 {
					t.Error("somebody was asked")
				}
			})
		})
	}
}

const ed25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n"

// A key in the place of a password is exchanged, never sent; a login keeps its host check.
func TestV4Passwords(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		key := w.Account(robot).Key()
		base := base64.StdEncoding.EncodeToString(key)
		auth := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "_json_key:%s", key))
		for what, s := range map[string]secret.Value{
			"_json_key":        plain("_json_key", string(key), host),
			"_json_key_base64": plain("_json_key_base64", base, "https://"+host),
			"auths":            value(map[string]any{"auths": map[string]any{host: map[string]string{"auth": auth}}}),
		} {
			c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: s})
			w.good(t, c, err, robot)
			if strings.Contains(c.Password(), "PRIVATE KEY") || c.Password() == base {
				t.Errorf("%s: the key itself goes to the registry", what)
			}
		}
		source, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: secret.NewValue(key)})
		w.good(t, source, err, robot)
		for _, username := range []string{"oauth2accesstoken", "_token", "_dcgcloud_token", "_dcgcr_2_1_22_token"} {
			c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: plain(username, source.Password(), host)})
			w.good(t, c, err, robot)
		}
		w.Account(target)
		w.Grant(robot, googletest.GetAccessToken, target)
		c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Hosts: []string{host, "gcr.io"}, Secret: plain("oauth2accesstoken", source.Password(), ""), Impersonate: target})
		w.good(t, c, err, target)

		for what, b := range map[string]struct {
			secret secret.Value
			kind   error
			word   string
		}{
			"another host":          {plain("_json_key", string(key), "us-docker.pkg.dev"), exchange.ErrHostMismatch, "us-docker.pkg.dev"},
			"no host":               {plain("oauth2accesstoken", source.Password(), ""), exchange.ErrContent, "server"},
			"another user name":     {plain("ci", "hunter2", host), exchange.ErrContent, "oauth2accesstoken"},
			"no base64":             {plain("_json_key_base64", "hunter2!", host), exchange.ErrContent, "base64"},
			"no key in it":          {plain("_json_key_base64", "aHVudGVyMg==", host), exchange.ErrContent, "key file"},
			"another form in a key": {plain("_json_key", `{"type":"external_account"}`, host), exchange.ErrContent, "service account"},
			"no JSON":               {secret.NewValue([]byte("hunter2")), exchange.ErrContent, "external_account"},
			"nothing":               {secret.Value{}, exchange.ErrContent, "no secret"},
		} {
			c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: b.secret})
			t.Log(what)
			w.bad(t, c, err, b.kind, b.word)
		}
	})
}

// A key that was sealed is for the hosts that it was sealed with, Google's or not.
func TestSealedKeyStaysAtItsHosts(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		r := exchange.Request{Host: host, Hosts: []string{host}, Sealed: true, Secret: secret.NewValue(w.Account(robot).Key())}
		c, err := w.Exchange(t.Context(), r)
		w.good(t, c, err, robot)
		r.Host, r.Hosts = "gcr.io", []string{host}
		calls := w.Calls(googletest.OpToken)
		c, err = w.Exchange(t.Context(), r)
		w.bad(t, c, err, exchange.ErrHostMismatch, "gcr.io", "sealed")
		if w.Calls(googletest.OpToken) != calls {
			t.Error("somebody was asked")
		}
	})
}

// Google away, slow, throttling or garbled: each is told as what it is, within a minute.
func TestP9Unreachable(t *testing.T) {
	for what, c := range map[string]struct {
		trouble googletest.Trouble
		word    string
	}{
		"throttled": {googletest.Trouble{Status: 429}, "throttling"}, "slow": {googletest.Trouble{Delay: time.Hour}, "oauth2.googleapis.com"},
		"garbled": {googletest.Trouble{Body: "<html>"}, "not a token"}, "their fault": {googletest.Trouble{Status: 500}, "500"},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				key := secret.NewValue(w.Account(robot).Key())
				w.Trouble(googletest.OpToken, c.trouble)
				start := time.Now()
				login, err := w.Exchange(t.Context(), exchange.Request{Host: host, Secret: key})
				w.bad(t, login, err, exchange.ErrUnreachable, c.word)
				if took := time.Since(start); took > 50*time.Second {
					t.Errorf("told after %v", took)
				}
			})
		})
	}
	bubble(t, func(t *testing.T, w *world) {
		w.Machine(googletest.Machine{Email: robot})
		w.Away("iamcredentials.googleapis.com", true)
		c, err := w.Exchange(t.Context(), exchange.Request{Host: host, Identity: true, Impersonate: target})
		w.bad(t, c, err, exchange.ErrUnreachable, "iamcredentials.googleapis.com")
	})
}
