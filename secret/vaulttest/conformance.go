package vaulttest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/identity/amazontest"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/secrettest"
	"pierhead.dev/pierhead/secret/vault"
)

// A Vault is one that can be set up: this package's, or the real one. A method that cannot ends the test.
type Vault interface {
	Address() string
	Enable(t *testing.T, mount string, kv int) // 0: an engine of another kind
	Put(t *testing.T, mount, path string, data map[string]any)
	Delete(t *testing.T, mount, path string, version int)
	Destroy(t *testing.T, mount, path string, version int)
	Token(t *testing.T, life time.Duration, paths ...string) string
	Revoke(t *testing.T, token string)
	AppRole(t *testing.T, life time.Duration, paths ...string) (roleID, secretID string)
	JWTRole(t *testing.T, role, subject, audience string, paths ...string)
	JWT(subject, audience string) string
	// AWS lets the ARN log in as role; sts is where it asks who signed, serverID what must be signed too.
	AWS(t *testing.T, sts http.Handler, role, arn, serverID string, paths ...string)
}

const marker = "hunter2"

// Ref is a reference that must parse.
func Ref(t *testing.T, text string) secret.Ref {
	t.Helper()
	ref, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// Source is one that must be made.
func Source(t *testing.T, c vault.Config) *vault.Source {
	t.Helper()
	s, err := vault.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// File writes a token where it can be read from.
func File(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Test holds the source against a Vault; the fake and the real one pass it alike.
func Test(t *testing.T, v Vault) {
	v.Enable(t, "secret2", 2)
	v.Enable(t, "team/ml/kv", 1)
	v.Enable(t, "other", 0)
	token := v.Token(t, time.Hour, "secret2/data/app", "secret2/data/absent", "secret2/data/gone", "team/ml/kv/app", "team/ml/kv/absent", "nowhere/data/app", "nowhere/app", "other/app")
	source := Source(t, vault.Config{Address: v.Address(), Token: token})
	for name, at := range map[string][2]string{"KV 2": {"secret2", "app"}, "KV 1 on a mount with slashes": {"team/ml/kv", "app"}} {
		t.Run(name, func(t *testing.T) {
			secrettest.Test(t, secrettest.Subject{Source: source, Absent: Ref(t, "vault:"+at[0]+"/absent"),
				Bad: []string{"vault:app", "vault:secret2/", "vault:/secret2/app", "vault:secret2//app", "vault:secret2/../sys/seal", "vault:secret2/app?version=0", "vault:secret2/app?version=01", "vault:secret2/app?list=true", "vault:secret2/app#", "vault:secret2/app#a#b", "vault:secret2/a%2fb", "vault://vault.example.com/secret2/app", "vault:secret2/app?version=1&x=y"},
				Put: func(t *testing.T, content []byte) secret.Ref {
					v.Put(t, at[0], at[1], map[string]any{"value": string(content), "other": "x"})
					return Ref(t, "vault:"+at[0]+"/"+at[1]+"#value")
				}})
		})
	}
	t.Run("contents", func(t *testing.T) { testContents(t, v, source) })
	t.Run("versions", func(t *testing.T) { testVersions(t, v, source) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, v, source) })
	t.Run("logins", func(t *testing.T) { testLogins(t, v) })
	t.Run("logins by aws", func(t *testing.T) { testAWS(t, v) })
}

func testContents(t *testing.T, v Vault, source *vault.Source) {
	v.Put(t, "secret2", "app", map[string]any{"username": "ci", "password": marker + "<&>", "server": "ghcr.io"})
	for text, want := range map[string]string{
		"vault:secret2/app":          `{"password":"` + marker + `<&>","server":"ghcr.io","username":"ci"}`,
		"vault:secret2/app#password": marker + "<&>",
	} {
		if value, err := source.Get(t.Context(), Ref(t, text)); err != nil || string(value.Reveal()) != want {
			t.Errorf("%s: %q, %v", text, value.Reveal(), err)
		}
	}
	v.Put(t, "secret2", "app", map[string]any{"auths": map[string]any{"ghcr.io": map[string]any{"auth": "Y2k6eA=="}}, "n": 1234567})
	for text, want := range map[string]string{"vault:secret2/app#n": "1234567", "vault:secret2/app#auths": `{"ghcr.io":{"auth":"Y2k6eA=="}}`} {
		if value, err := source.Get(t.Context(), Ref(t, text)); err != nil || string(value.Reveal()) != want {
			t.Errorf("%s: %q, %v", text, value.Reveal(), err)
		}
	}
	Expect(t, source, "vault:secret2/app#password", secret.ErrNotFound, "no field password")
}

func testVersions(t *testing.T, v Vault, source *vault.Source) {
	for i := range 3 {
		v.Put(t, "secret2", "gone", map[string]any{"password": fmt.Sprint(marker, i+1)})
	}
	get := func(text string) string {
		value, err := source.Get(t.Context(), Ref(t, text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		return string(value.Reveal())
	}
	if get("vault:secret2/gone#password") != marker+"3" || get("vault:secret2/gone?version=1#password") != marker+"1" {
		t.Error("another version than was asked for")
	}
	previous := func(text string) (string, error) {
		value, err := source.Previous(t.Context(), Ref(t, text))
		return string(value.Reveal()), err
	}
	if before, err := previous("vault:secret2/gone#password"); err != nil || before != marker+"2" {
		t.Errorf("%q, %v", before, err)
	}
	v.Delete(t, "secret2", "gone", 3)
	Expect(t, source, "vault:secret2/gone", secret.ErrNotFound, "version 3 was deleted on 2")
	if before, err := previous("vault:secret2/gone#password"); err != nil || before != marker+"2" {
		t.Errorf("before the deleted one: %q, %v", before, err)
	}
	v.Destroy(t, "secret2", "gone", 2)
	Expect(t, source, "vault:secret2/gone?version=2", secret.ErrNotFound, "version 2 was destroyed")
	for _, text := range []string{"vault:secret2/gone", "vault:secret2/gone?version=3", "vault:team/ml/kv/app"} {
		if _, err := previous(text); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("before %s: %v", text, err)
		}
	}
	Expect(t, source, "vault:secret2/gone?version=9", secret.ErrNotFound, "nothing at")
	Expect(t, source, "vault:team/ml/kv/app?version=1", secret.ErrNotFound, "keeps no versions")
}

func testRefusals(t *testing.T, v Vault, source *vault.Source) {
	err := Expect(t, source, "vault:secret2/others", secret.ErrNotAllowed, "permission denied")
	if !strings.Contains(secret.HintOf(err), `path "secret2/data/others" { capabilities = ["read"] }`) {
		t.Error(secret.HintOf(err))
	}
	err = Expect(t, source, "vault:team/ml/kv/others", secret.ErrNotAllowed, "permission denied")
	if !strings.Contains(secret.HintOf(err), `path "team/ml/kv/others" { capabilities = ["read"] }`) {
		t.Error(secret.HintOf(err))
	}
	Expect(t, source, "vault:nowhere/app", secret.ErrNotFound, "no secrets engine there")
	Expect(t, source, "vault:other/app", secret.ErrNotFound, "not KV")
	Expect(t, source, "vault:team/ml/kv", secret.ErrNotFound, "is a mount")
	token := v.Token(t, time.Hour, "secret2/data/app")
	short := Source(t, vault.Config{Address: v.Address(), Token: token})
	if _, err := short.Get(t.Context(), Ref(t, "vault:secret2/app")); err != nil {
		t.Error(err)
	}
	v.Revoke(t, token)
	err = Expect(t, short, "vault:secret2/app", secret.ErrNotAllowed, "any more")
	if strings.Contains(fmt.Sprintf("%+v", err), token) {
		t.Error("the token is in the error")
	}
}

func testLogins(t *testing.T, v Vault) {
	v.Put(t, "secret2", "app", map[string]any{"password": marker})
	role, id := v.AppRole(t, time.Hour, "secret2/data/app")
	v.JWTRole(t, "puller", "node-1", "vault", "secret2/data/app")
	for name, c := range map[string]struct {
		config vault.Config
		text   string // "" for a login that is let in
	}{
		"approle":                  {vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: File(t, id)}, ""},
		"approle, wrong secret id": {vault.Config{Auth: vault.AuthAppRole, RoleID: role, SecretIDFile: File(t, "wrong-"+id)}, "invalid role or secret"},
		"jwt":                      {vault.Config{Auth: vault.AuthJWT, Role: "puller", JWTFile: File(t, v.JWT("node-1", "vault"))}, ""},
		"jwt, other audience":      {vault.Config{Auth: vault.AuthJWT, Role: "puller", JWTFile: File(t, v.JWT("node-1", "sts"))}, "aud"},
		"jwt, no such role":        {vault.Config{Auth: vault.AuthJWT, Role: "nobody", JWTFile: File(t, v.JWT("node-1", "vault"))}, "could not be found"},
		"jwt, no token":            {vault.Config{Auth: vault.AuthJWT, Role: "puller", JWTFile: File(t, "nonsense")}, "auth/jwt"},
		"no such method":           {vault.Config{Auth: vault.AuthJWT, AuthMount: "elsewhere", Role: "puller", JWTFile: File(t, v.JWT("node-1", "vault"))}, "auth/elsewhere"},
		"no file":                  {vault.Config{Auth: vault.AuthJWT, Role: "puller", JWTFile: "/nowhere/token"}, "/nowhere/token is not there"},
	} {
		c.config.Address = v.Address()
		source := Source(t, c.config)
		if c.text != "" {
			Expect(t, source, "vault:secret2/app#password", secret.ErrNotAllowed, c.text)
		} else if value, err := source.Get(t.Context(), Ref(t, "vault:secret2/app#password")); err != nil || string(value.Reveal()) != marker {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A caller is who a node is at Amazon.
type caller struct{ identity *amazon.Identity }

func (c caller) SignedCallerIdentity(ctx context.Context, headers http.Header) (*http.Request, error) {
	return c.identity.SignedCallerIdentity(ctx, amazon.Source{}, amazon.Place{Region: "us-east-1"}, headers)
}

func testAWS(t *testing.T, v Vault) {
	cloud := amazontest.New()
	v.AWS(t, cloud.Service("sts", "us-east-1"), "puller", cloud.User("aws", "123456789012", "node").ARN, "vault.example.com", "secret2/data/app")
	for name, c := range map[string]struct{ user, role, serverID, text string }{
		"the node":          {"node", "puller", "vault.example.com", ""},
		"another user":      {"other", "puller", "vault.example.com", "auth/aws"},
		"another role":      {"node", "nobody", "vault.example.com", "auth/aws"},
		"for another Vault": {"node", "puller", "vault.evil.com", "auth/aws"},
		"for any Vault":     {"node", "puller", "", "auth/aws"},
	} {
		t.Run(name, func(t *testing.T) {
			key := cloud.AccessKey(cloud.User("aws", "123456789012", c.user))
			amazontest.Environment(t, "AWS_ACCESS_KEY_ID="+key.ID, "AWS_SECRET_ACCESS_KEY="+key.Secret, "AWS_REGION=us-east-1")
			source := Source(t, vault.Config{Address: v.Address(), Auth: vault.AuthAWS, Role: c.role, AWSServerID: c.serverID, AWS: caller{amazon.New(amazon.Config{Transport: cloud.Transport()})}})
			if c.text != "" {
				Expect(t, source, "vault:secret2/app#password", secret.ErrNotAllowed, c.text)
			} else if value, err := source.Get(t.Context(), Ref(t, "vault:secret2/app#password")); err != nil || string(value.Reveal()) != marker {
				t.Errorf("%v", err)
			}
		})
	}
}

// Expect is an error of a kind, with a hint, and without the secret.
func Expect(t *testing.T, source *vault.Source, text string, kind error, part string) error {
	t.Helper()
	value, err := source.Get(t.Context(), Ref(t, text))
	switch {
	case !errors.Is(err, kind) || !strings.Contains(err.Error(), part) || secret.HintOf(err) == "" || !value.Empty():
		t.Errorf("%s: %v (%s), want %q", text, err, secret.HintOf(err), part)
	case strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, err, err, secret.HintOf(err)), marker):
		t.Errorf("%s: a secret is in the error", text)
	}
	return err
}
