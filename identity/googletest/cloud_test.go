package googletest_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"pierhead.dev/pierhead/identity/googletest"
)

const robot = "a@p.iam.gserviceaccount.com"

func ask(t *testing.T, c *googletest.Cloud, method, url, body string, header map[string]string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := c.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

// The metadata server wants its header, and nobody in between.
func TestMetadataHeaders(t *testing.T) {
	c := googletest.New()
	c.Machine(googletest.Machine{Email: robot})
	const at = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/"
	for what, x := range map[string]struct {
		path   string
		header map[string]string
		want   int
	}{
		"right":                {"email", map[string]string{"Metadata-Flavor": "Google"}, 200},
		"no header":            {"token", nil, 403},
		"another header":       {"token", map[string]string{"Metadata-Flavor": "Amazon"}, 403},
		"forwarded":            {"token", map[string]string{"Metadata-Flavor": "Google", "X-Forwarded-For": "10.0.0.1"}, 403},
		"nothing by that name": {"identity", map[string]string{"Metadata-Flavor": "Google"}, 404},
	} {
		status, text, header := ask(t, c, "GET", at+x.path, "", x.header)
		if status != x.want || header.Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
	if c.Calls(googletest.OpMachineToken) != 0 {
		t.Error("a token was handed out")
	}
}

// The token service refuses assertions that Google refuses, each for its own reason.
func TestAssertions(t *testing.T) {
	c := googletest.New()
	var file struct {
		Key string `json:"private_key"`
		ID  string `json:"private_key_id"`
	}
	if err := json.Unmarshal(c.Account(robot).Key(), &file); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(file.Key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(*rsa.PrivateKey)
	type claims = map[string]any
	sign := func(algorithm jose.SignatureAlgorithm, with any, id string, edit func(claims)) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: with}, (&jose.SignerOptions{}).WithHeader("kid", id))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		body := claims{"iss": robot, "scope": googletest.Scope, "aud": "https://oauth2.googleapis.com/token", "iat": now - 10, "exp": now + 3590}
		edit(body)
		text, err := jwt.Signed(signer).Claims(body).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	as := func(name string, v any) string {
		return sign(jose.RS256, key, file.ID, func(b claims) { b[name] = v })
	}
	now := time.Now().Unix()
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	for what, x := range map[string]struct{ assertion, want string }{
		"right":                      {as("sub", robot), ""},
		"another audience":           {as("aud", "https://evil.com"), "audience"},
		"ended":                      {as("exp", now-60), "short-lived"},
		"of the future":              {sign(jose.RS256, key, file.ID, func(b claims) { b["iat"], b["exp"] = now+3600, now+7200 }), "short-lived"},
		"for a day":                  {as("exp", now+86400), "short-lived"},
		"no scope":                   {as("scope", ""), "scope"},
		"nobody":                     {as("iss", "b@p.iam.gserviceaccount.com"), "account not found"},
		"another key's id":           {sign(jose.RS256, key, "x", func(claims) {}), "Signature"},
		"signed by the public key":   {sign(jose.HS256, public, file.ID, func(claims) {}), "Bad Request"},
		"another hash":               {sign(jose.RS512, key, file.ID, func(claims) {}), "Bad Request"},
		"a signature that was moved": {moved(as("sub", robot), as("sub", "x")), "Signature"},
		"nothing":                    {"", "Bad Request"},
	} {
		form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {x.assertion}}
		status, text, _ := ask(t, c, "POST", "https://oauth2.googleapis.com/token", form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
		if (status == 200) != (x.want == "") || !strings.Contains(text, x.want) {
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
}

// moved is a token with the signature of another.
func moved(token, other string) string {
	return token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
}

// Tokens end, and every secret is known to whoever looks for them afterwards.
func TestTokensEnd(t *testing.T) {
	c := googletest.New()
	c.Machine(googletest.Machine{Email: robot, Life: time.Hour, Aged: []time.Duration{time.Nanosecond}})
	const at = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
	var tokens []string
	for range 2 {
		_, text, _ := ask(t, c, "GET", at, "", map[string]string{"Metadata-Flavor": "Google"})
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, answer.Token)
	}
	if _, _, ok := c.Token(tokens[0]); ok {
		t.Error("a token that has ended is good")
	}
	if who, _, ok := c.Token(tokens[1]); !ok || who != robot {
		t.Errorf("%q, %v", who, ok)
	}
	c.PutSecret("projects/p/secrets/s", []byte("hunter2"))
	key := c.Account(robot).Key()
	all := strings.Join(c.Secrets(), "\n")
	for _, want := range append(tokens, "hunter2") {
		if !strings.Contains(all, want) {
			t.Error("a secret is missing among Secrets")
		}
	}
	lines := bytes.Split(key, []byte(`\n`))
	if !strings.Contains(all, string(lines[2])) {
		t.Error("the key is missing among Secrets")
	}
}
