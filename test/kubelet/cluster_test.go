//go:build kubelet

package kubelet

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// issuer is the API server, which is also who issues service-account tokens.
const issuer = "https://127.0.0.1:6443"

// A cluster is an API server, which knows who everybody is by fixed tokens and forbids them what a real one forbids.
type cluster struct {
	dir    string
	client *http.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: within}}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

func (c *cluster) in(name string) string { return filepath.Join(c.dir, name) }

// ca is the file with the authority of the API server's certificate.
func (c *cluster) ca() string { return c.in("certs/apiserver.crt") }

// start runs etcd and the API server, in a world that ends them.
func (c *cluster) start(t *testing.T, w *world) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	must(t, os.WriteFile(c.in("sa.key"), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600))
	must(t, os.WriteFile(c.in("tokens.csv"), []byte("of-admin,admin,admin,\"system:masters\"\nof-node1,system:node:node1,node1,\"system:nodes\"\n"), 0o600))
	must(t, os.WriteFile(c.in("reader"), []byte("of-admin"), 0o600))
	must(t, os.WriteFile(c.in("kubeconfig"), fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":%q,"certificate-authority":%q}}],"users":[{"name":"u","user":{"token":"of-node1"}}]}`, issuer, c.ca()), 0o600))
	w.start(t, filepath.Join(w.dir, "etcd.log"), os.Environ(), "etcd", "--data-dir", c.in("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380", "--initial-cluster", "default=http://127.0.0.1:2380")
	server := w.start(t, filepath.Join(w.dir, "apiserver.log"), os.Environ(), kubernetes(t, "kube-apiserver"), "--etcd-servers", "http://127.0.0.1:2379",
		"--bind-address", "127.0.0.1", "--cert-dir", c.in("certs"), "--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.96.0.0/24",
		"--service-account-issuer", issuer, "--service-account-jwks-uri", issuer+"/openid/v1/jwks", "--api-audiences", issuer,
		"--service-account-key-file", c.in("sa.key"), "--service-account-signing-key-file", c.in("sa.key"),
		"--token-auth-file", c.in("tokens.csv"), "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction")
	await(t, "an API server that is ready", server, func(ctx context.Context) bool {
		return c.do(ctx, http.MethodGet, "/readyz", "", nil) == nil
	})
}

// do asks the API server as its administrator.
func (c *cluster) do(ctx context.Context, method, path, kind string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, issuer+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer of-admin")
	request.Header.Set("Content-Type", kind)
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body) // for people
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return nil
}

// make makes an object.
func (c *cluster) make(t *testing.T, path string, object any) {
	t.Helper()
	text, err := json.Marshal(object)
	must(t, err)
	must(t, c.do(t.Context(), http.MethodPost, path, "application/json", text))
}

// apply makes the objects of a file of deploy/.
func (c *cluster) apply(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	paths := []string{"clusterroles", "clusterrolebindings"}
	for i, document := range strings.Split(string(text), "\n---\n") {
		must(t, c.do(t.Context(), http.MethodPost, "/apis/rbac.authorization.k8s.io/v1/"+paths[i], "application/yaml", []byte(document)))
	}
}

// account makes a service account and, where it is the first there, its namespace.
func (c *cluster) account(t *testing.T, namespace, name string) {
	t.Helper()
	if c.do(t.Context(), http.MethodGet, "/api/v1/namespaces/"+namespace, "", nil) != nil {
		c.make(t, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": namespace}})
	}
	c.make(t, "/api/v1/namespaces/"+namespace+"/serviceaccounts", map[string]any{"metadata": map[string]any{"name": name}})
}

// pod runs an image once on the node, for a service account. It returns the pod's name.
func (c *cluster) pod(t *testing.T, w *world, namespace, account, image string) string {
	t.Helper()
	w.images++
	name := "pod" + strconv.Itoa(w.images)
	pod := spec(name, namespace, image)
	pod["spec"].(map[string]any)["serviceAccountName"], pod["spec"].(map[string]any)["nodeName"] = account, "node1"
	c.make(t, "/api/v1/namespaces/"+namespace+"/pods", pod)
	return name
}

// A kubelet of a cluster hands on its pods' service-account tokens, and each pod pulls for the project of its namespace.
func TestServiceAccounts(t *testing.T) {
	c := newCluster(t)
	w := newWorld(t, "--kube-issuer", issuer, "--kube-ca", c.ca(), "--kube-token-file", c.in("reader"), "--kube-projects", "research-*/trainer=vision,*=*")
	alice, bob := w.newLogin(t, "alice"), w.newLogin(t, "bob")
	w.Must(t, "project", "create", "acme/vision")
	w.Must(t, "registry", "add", "alice", "--org", "acme", "--match", alice.registry+"/*", "--secret", "file:alice", "--plain-http", "--no-test", "--projects", "vision")
	w.Must(t, "registry", "add", "bob", "--org", "acme", "--match", bob.registry+"/*", "--secret", "file:bob", "--plain-http", "--no-test")
	c.start(t, w)
	c.apply(t, "../../deploy/kubelet/service-account-tokens.yaml")
	for _, account := range []string{"vision/trainer", "vision/default", "speech/trainer", "research-eu/trainer", "research-eu/default"} {
		namespace, name, _ := strings.Cut(account, "/")
		c.account(t, namespace, name)
	}
	k := w.startKubelet(t, []string{"--audience", "pierhead"}, "--kubeconfig", c.in("kubeconfig"))

	t.Run("the project's own namespace", func(t *testing.T) {
		k.runs(t, c.pod(t, w, "vision", "trainer", w.push(t, alice, "team/app")))
		k.runs(t, c.pod(t, w, "vision", "default", w.push(t, alice, "team/app")))
	})
	t.Run("another namespace, and what is open to all", func(t *testing.T) {
		from := len(k.said(t))
		k.refused(t, c.pod(t, w, "speech", "trainer", w.push(t, alice, "team/app")))
		if said := k.said(t)[from:]; strings.Contains(said, "error execing credential provider") {
			t.Errorf("nothing went wrong, and the plugin said so:\n%s", said)
		}
		k.runs(t, c.pod(t, w, "speech", "trainer", w.push(t, bob, "team/app")))
	})
	t.Run("an account that stands for the project", func(t *testing.T) {
		k.runs(t, c.pod(t, w, "research-eu", "trainer", w.push(t, alice, "team/app")))
		k.refused(t, c.pod(t, w, "research-eu", "default", w.push(t, alice, "team/app")))
	})
	t.Run("one node, one image, two namespaces", func(t *testing.T) {
		image := w.push(t, alice, "team/shared")
		k.runs(t, c.pod(t, w, "vision", "trainer", image))
		k.refused(t, c.pod(t, w, "speech", "trainer", image))
	})
	t.Run("a static pod has no service account", func(t *testing.T) {
		k.runs(t, k.pod(t, w.push(t, bob, "team/app")))
	})
	t.Run("the control plane is gone", func(t *testing.T) {
		w.server.kill()
		k.runs(t, c.pod(t, w, "vision", "trainer", w.push(t, alice, "team/app")))
		w.agent.kill()
		w.startAgent(t)
		k.runs(t, c.pod(t, w, "vision", "trainer", w.push(t, alice, "team/app")))
	})
	w.keepsSecrets(t)
}
