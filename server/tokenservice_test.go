package server_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/internal/tokens"
	oci "pierhead.dev/pierhead/oci/server"
	"pierhead.dev/pierhead/server"
)

type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	IssuedAt    string `json:"issued_at"`
	Errors      []struct{ Code, Message, Detail string }
}

// A login is how a client of a registry says who it is.
type login func(*http.Request)

func basic(user, password string) login {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// get is what docker, podman and skopeo send.
func (k *kit) get(who login, query string) (int, tokenAnswer) {
	k.t.Helper()
	request, err := http.NewRequestWithContext(k.t.Context(), "GET", k.url+"/token?"+query, nil)
	k.must(err)
	return k.ask(request, who)
}

// post is what containerd and go-containerregistry send.
func (k *kit) post(form url.Values) (int, tokenAnswer) {
	k.t.Helper()
	request, err := http.NewRequestWithContext(k.t.Context(), "POST", k.url+"/token", strings.NewReader(form.Encode()))
	k.must(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return k.ask(request, nil)
}

func (k *kit) ask(request *http.Request, who login) (int, tokenAnswer) {
	k.t.Helper()
	if who != nil {
		who(request)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	k.must(err)
	defer response.Body.Close()
	var answer tokenAnswer
	k.must(json.NewDecoder(response.Body).Decode(&answer))
	if response.Header.Get("Cache-Control") != "no-store" {
		k.t.Error("the answer with a token may be cached")
	}
	return response.StatusCode, answer
}

// access is what a token grants, as "name:actions".
func access(t *testing.T, token string) []string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Access []tokens.Access }
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	granted := []string{}
	for _, a := range claims.Access {
		granted = append(granted, a.Name+":"+strings.Join(a.Actions, ","))
	}
	return granted
}

func TestTokenServiceGrantsTheIntersection(t *testing.T) {
	k := newKit(t)
	all := func(name string) string { return "repository:" + name + ":pull,push,delete" }
	for _, test := range []struct {
		who    string
		login  login
		scopes []string
		want   []string
	}{
		{"a member", basic("bob", k.token["bob"]), []string{all("acme/model")}, []string{"acme/model:pull,push"}},
		{"an admin", basic("alice", k.token["alice"]), []string{all("acme/model")}, []string{"acme/model:pull,push,delete"}},
		{"an admin who asks for everything", basic("alice", k.token["alice"]), []string{"repository:acme/model:*"}, []string{"acme/model:pull,push,delete"}},
		{"an admin who asks for a pull", basic("alice", k.token["alice"]), []string{"repository:acme/model:pull"}, []string{"acme/model:pull"}},
		{"a read-only token", basic("alice", k.token["reader"]), []string{all("acme/model")}, []string{"acme/model:pull"}},
		{"a robot by its name", basic("ci", k.token["ci"]), []string{all("acme/model")}, []string{"acme/model:pull,push"}},
		{"a stranger", basic("eve", k.token["eve"]), []string{all("acme/model")}, []string{}},
		{"an administrator who is no member", basic("root", k.token["root"]), []string{all("acme/model")}, []string{}},
		{"a person's own", basic("eve", k.token["eve"]), []string{all("eve/x")}, []string{"eve/x:pull,push,delete"}},
		{"another person's", basic("bob", k.token["bob"]), []string{all("eve/x")}, []string{}},
		{"a node", basic("local", k.token["node"]), []string{all("acme/model"), all("umbrella/y")}, []string{"acme/model:pull", "umbrella/y:pull"}},
		{"a node, of a person's", basic("local", k.token["node"]), []string{all("eve/x")}, []string{}},
		{"a bearer", func(r *http.Request) { r.Header.Set("Authorization", "bearer "+k.token["bob"]) }, []string{all("acme/model")}, []string{"acme/model:pull,push"}},
		{"nobody", nil, []string{all("acme/model")}, []string{}},
		{"repeated", basic("bob", k.token["bob"]), []string{all("acme/a"), all("acme/b")}, []string{"acme/a:pull,push", "acme/b:pull,push"}},
		{"joined", basic("bob", k.token["bob"]), []string{all("acme/a") + " " + all("acme/b")}, []string{"acme/a:pull,push", "acme/b:pull,push"}},
		{"nested", basic("bob", k.token["bob"]), []string{"repository:acme/a/b/c:pull"}, []string{"acme/a/b/c:pull"}},
		{"no scope", basic("bob", k.token["bob"]), nil, []string{}},
		{"other types", basic("alice", k.token["alice"]), []string{"registry:catalog:*", "repository(plugin):acme/a:pull", "acme", "a:b", "repository:acme:pull", "repository::pull"}, []string{}},
		{"a namespace that is not there", basic("bob", k.token["bob"]), []string{all("nope/x")}, []string{}},
	} {
		t.Run(test.who, func(t *testing.T) {
			status, answer := k.get(test.login, url.Values{"service": {"pier.example:7070"}, "account": {"x"}, "client_id": {"docker"}, "scope": test.scopes}.Encode())
			if status != http.StatusOK || answer.Token != answer.AccessToken || answer.ExpiresIn < 60 {
				t.Fatalf("%d %+v", status, answer)
			}
			if _, err := time.Parse(time.RFC3339, answer.IssuedAt); err != nil {
				t.Error(err)
			}
			if granted := access(t, answer.Token); !slices.Equal(granted, test.want) {
				t.Errorf("granted %v, not %v", granted, test.want)
			}
		})
	}
}

func TestTokenServiceRefuses(t *testing.T) {
	k := newKit(t)
	for name, who := range map[string]login{
		"a wrong password":        basic("alice", "hunter2"),
		"a mistyped token":        basic("alice", k.token["alice"]+"0"),
		"another's token":         basic("alice", k.token["bob"]),
		"no name":                 basic("", k.token["bob"]),
		"a name for a robot":      basic("alice", k.token["ci"]),
		"an unknown scheme":       func(r *http.Request) { r.Header.Set("Authorization", "Digest x") },
		"an expired sort of text": func(r *http.Request) { r.Header.Set("Authorization", "Bearer hunter2") },
	} {
		status, answer := k.get(who, "scope=repository:acme/model:pull")
		if status != http.StatusUnauthorized || len(answer.Errors) != 1 || answer.Errors[0].Code != "UNAUTHORIZED" || answer.Errors[0].Detail == "" || answer.Token != "" {
			t.Errorf("%s: %d %+v", name, status, answer)
		}
	}
	if status, _ := k.get(nil, "scope="+strings.Repeat("repository:a/b:pull+", 100)); status != http.StatusBadRequest {
		t.Errorf("a hundred scopes: %d", status)
	}
	if status, _ := k.post(url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}); status != http.StatusBadRequest {
		t.Errorf("a grant type of later: %d", status)
	}
}

func TestTokenServicePost(t *testing.T) {
	k := newKit(t)
	scopes := "repository:acme/a:pull repository:acme/b:pull,push"
	for name, form := range map[string]url.Values{
		"password": {"grant_type": {"password"}, "username": {"bob"}, "password": {k.token["bob"]}, "service": {"x"}, "client_id": {"containerd-client"}, "scope": {scopes}},
		"refresh":  {"grant_type": {"refresh_token"}, "refresh_token": {k.token["bob"]}, "service": {"x"}, "scope": {scopes}},
	} {
		status, answer := k.post(form)
		if status != http.StatusOK || !slices.Equal(access(t, answer.AccessToken), []string{"acme/a:pull", "acme/b:pull,push"}) {
			t.Errorf("%s: %d %v", name, status, access(t, answer.AccessToken))
		}
	}
	if status, _ := k.post(url.Values{"grant_type": {"password"}, "username": {"bob"}, "password": {"x"}}); status != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", status)
	}
}

// The registry's own verifier takes what the token service signs, by the public key alone: issuer, audience, times and
// key id are agreed on.
func TestRegistryTakesTheTokens(t *testing.T) {
	var k *kit
	var verifier http.Handler
	k = newKit(t, func(c *server.Config) {
		c.Registry = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { verifier.ServeHTTP(w, r) })
	})
	bearer, err := oci.NewBearer(oci.BearerConfig{
		Realm: publicURL + "/token", Service: "pier.example:7070", Issuer: publicURL, Keys: map[string]crypto.PublicKey{k.key.ID(): k.key.Public()},
	})
	k.must(err)
	verifier = oci.New(oci.Config{Authorizer: server.Noted(bearer)})
	_, token := k.get(basic("bob", k.token["bob"]), "scope=repository:acme/model:pull&scope=repository:umbrella/x:pull")
	// What was asked for is written into the token; this one used to be longer than the registry reads.
	_, long := k.get(basic("bob", k.token["bob"]), "scope=repository:acme/model:"+strings.Repeat("pull,forge,", 2000))
	for _, test := range []struct {
		path, token string
		status      int
	}{
		{"/v2/", "", 401},
		{"/v2/", token.Token, 200},
		{"/v2/acme/model/manifests/latest", token.Token, 405}, // allowed, and there is no registry behind it
		{"/v2/umbrella/x/manifests/latest", token.Token, 403}, // asked for and not granted
		{"/v2/umbrella/y/manifests/latest", token.Token, 401}, // not asked for yet
		{"/v2/acme/model/manifests/latest", long.Token, 405},
	} {
		if status, header, text := k.send("GET", test.path, test.token, ""); status != test.status {
			t.Errorf("%s: %d, not %d: %s %s", test.path, status, test.status, header.Get("WWW-Authenticate"), text)
		}
	}
	// The log of requests had nobody for the registry, so that none told who was refused.
	for _, refused := range strings.Split(k.log.String(), "\n") {
		if strings.Contains(refused, `"status":403`) && !strings.Contains(refused, `"caller":"bob"`) {
			t.Errorf("the log does not name bob: %s", refused)
		}
	}
}

// A registry token lives as long as the configuration says, and never less than the minute that clients count on.
func TestTokenLife(t *testing.T) {
	for life, want := range map[time.Duration]int{0: 300, time.Second: 60, time.Hour: 3600} {
		k := newKit(t, func(c *server.Config) { c.TokenLife = life })
		if _, answer := k.get(nil, ""); answer.ExpiresIn != want {
			t.Errorf("%v: expires in %d, not %d", life, answer.ExpiresIn, want)
		}
	}
}

func FuzzScopes(f *testing.F) {
	for _, seed := range []string{"repository:a/b:pull", "repository:host:5000/a/b:pull,push", ":::", "repository:a/b:", "registry:catalog:*", " ", "repository(plugin):a/b:*"} {
		f.Add(seed)
	}
	key, err := tokens.Generate()
	if err != nil {
		f.Fatal(err)
	}
	s, err := server.New(server.Config{URL: publicURL, Store: grantAll{}, Tokens: key})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, scope string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/token?"+url.Values{"scope": {scope}}.Encode(), nil)
		r.SetBasicAuth("alice", "x")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Fatalf("%q: %d %s", scope, w.Code, w.Body)
		}
		if w.Code != http.StatusOK {
			return
		}
		var answer tokenAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		for _, granted := range access(t, answer.Token) {
			name := granted[:strings.LastIndexByte(granted, ':')]
			if !strings.Contains(name, "/") || !strings.Contains(scope, fmt.Sprintf("repository:%s:", name)) {
				t.Fatalf("%q: granted %q, which nobody asked for", scope, granted)
			}
		}
	})
}

// grantAll is a store in which everybody is alice and may do everything to every repository.
type grantAll struct{ server.Store }

func (grantAll) Authenticate(context.Context, string) (pierhead.Caller, error) {
	return pierhead.Caller{Name: "alice", Person: "alice", PersonID: "person_1", TokenID: "tok_1"}, nil
}

func (grantAll) NamespaceActions(context.Context, pierhead.Caller, string) ([]string, error) {
	return []string{"pull", "push", "delete"}, nil
}
