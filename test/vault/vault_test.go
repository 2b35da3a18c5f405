//go:build vault

package vault

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"pierhead.dev/pierhead/secret/vaulttest"
)

// A real is a Vault in its development mode: in memory, unsealed, on loopback.
type real struct {
	root    *api.Client
	issuer  *vaulttest.Fake // whose JWTs it trusts
	address string
}

func start(t *testing.T) *real {
	binary := os.Getenv("VAULT_BINARY")
	if binary == "" {
		t.Fatal("VAULT_BINARY names no Vault: make test-vault builds one")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := listener.Addr().String()
	_ = listener.Close()
	token := rand.Text()
	output, err := os.Create(filepath.Join(t.TempDir(), "vault.log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), binary, "server", "-dev", "-dev-no-store-token", "-dev-listen-address="+listen)
	c.Env = []string{"VAULT_DEV_ROOT_TOKEN_ID=" + token, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	c.Stdout, c.Stderr = output, output
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() })
	r := &real{address: "http://" + listen}
	if r.root, err = api.NewClient(&api.Config{Address: r.address}); err != nil {
		t.Fatal(err)
	}
	r.root.SetToken(token)
	r.awake(t, output.Name())
	if r.issuer, err = vaulttest.New(); err != nil {
		t.Fatal(err)
	}
	r.write(t, "sys/auth/approle", map[string]any{"type": "approle"})
	r.write(t, "sys/auth/jwt", map[string]any{"type": "jwt"})
	r.write(t, "auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{r.issuer.Key()}})
	return r
}

// awake waits until Vault answers; its own client tries again meanwhile.
func (r *real) awake(t *testing.T, output string) {
	r.root.SetMaxRetries(50)
	r.root.SetMinRetryWait(100 * time.Millisecond)
	r.root.SetMaxRetryWait(200 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.root.Sys().HealthWithContext(ctx); err != nil {
		text, _ := os.ReadFile(output)
		t.Fatalf("%v\n%s", err, text)
	}
}

func (r *real) write(t *testing.T, path string, data map[string]any) *api.Secret {
	t.Helper()
	answer, err := r.root.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return answer
}

func (r *real) Address() string { return r.address }

func (r *real) Enable(t *testing.T, mount string, kv int) {
	if kv == 0 {
		r.write(t, "sys/mounts/"+mount, map[string]any{"type": "transit"})
		return
	}
	r.write(t, "sys/mounts/"+mount, map[string]any{"type": "kv", "options": map[string]string{"version": fmt.Sprint(kv)}})
	if kv == 2 { // it becomes version 2 in the background, and says so
		for {
			if _, err := r.root.Logical().Read(mount + "/config"); err == nil {
				return
			}
		}
	}
}

func (r *real) Put(t *testing.T, mount, path string, data map[string]any) {
	mounts, err := r.root.Sys().ListMounts()
	if err != nil {
		t.Fatal(err)
	}
	if mounts[mount+"/"].Options["version"] == "2" {
		r.write(t, mount+"/data/"+path, map[string]any{"data": data})
		return
	}
	r.write(t, mount+"/"+path, data)
}

func (r *real) Delete(t *testing.T, mount, path string, n int) {
	r.write(t, mount+"/delete/"+path, map[string]any{"versions": []int{n}})
}

func (r *real) Destroy(t *testing.T, mount, path string, n int) {
	r.write(t, mount+"/destroy/"+path, map[string]any{"versions": []int{n}})
}

// policy lets its holder read the paths.
func (r *real) policy(t *testing.T, paths []string) string {
	name := strings.ToLower(rand.Text())
	var text strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&text, "path %q { capabilities = [\"read\"] }\n", path)
	}
	if err := r.root.Sys().PutPolicy(name, text.String()); err != nil {
		t.Fatal(err)
	}
	return name
}

func (r *real) Token(t *testing.T, life time.Duration, paths ...string) string {
	return r.write(t, "auth/token/create", map[string]any{"policies": []string{r.policy(t, paths)}, "ttl": life.String(), "renewable": true}).Auth.ClientToken
}

func (r *real) Revoke(t *testing.T, token string) {
	r.write(t, "auth/token/revoke", map[string]any{"token": token})
}

func (r *real) AppRole(t *testing.T, life time.Duration, paths ...string) (roleID, secretID string) {
	name := strings.ToLower(rand.Text())
	r.write(t, "auth/approle/role/"+name, map[string]any{"token_policies": []string{r.policy(t, paths)}, "token_ttl": life.String()})
	answer, err := r.root.Logical().Read("auth/approle/role/" + name + "/role-id")
	if err != nil {
		t.Fatal(err)
	}
	return answer.Data["role_id"].(string), r.write(t, "auth/approle/role/"+name+"/secret-id", nil).Data["secret_id"].(string)
}

func (r *real) JWTRole(t *testing.T, role, subject, audience string, paths ...string) {
	r.write(t, "auth/jwt/role/"+role, map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_subject": subject, "bound_audiences": []string{audience}, "token_policies": []string{r.policy(t, paths)}})
}

func (r *real) JWT(subject, audience string) string {
	return r.issuer.JWT(subject, audience, time.Hour)
}

func (r *real) AWS(t *testing.T, sts http.Handler, role, arn, serverID string, paths ...string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/" // Vault writes "//", which Amazon folds before it looks at the signature
		sts.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	r.write(t, "sys/auth/aws", map[string]any{"type": "aws"})
	r.write(t, "auth/aws/config/client", map[string]any{"sts_endpoint": server.URL, "sts_region": "us-east-1", "iam_server_id_header_value": serverID})
	r.write(t, "auth/aws/role/"+role, map[string]any{"auth_type": "iam", "bound_iam_principal_arn": []string{arn}, "resolve_aws_unique_ids": false, "token_policies": []string{r.policy(t, paths)}})
}

func TestRealVault(t *testing.T) { vaulttest.Test(t, start(t)) }
