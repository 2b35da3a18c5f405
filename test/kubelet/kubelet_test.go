//go:build kubelet

package kubelet

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A kubelet by itself runs pods from files. They are served as no project's.
func TestStaticPods(t *testing.T) {
	token := filepath.Join(t.TempDir(), "vault-token")
	must(t, os.WriteFile(token, []byte("hvs.never-asked-for"), 0o600))
	w := newWorld(t, "--vault-addr", "http://"+silence(t), "--vault-token-file", token)
	alice, bob, public := w.newLogin(t, "alice"), w.newLogin(t, "bob"), w.newLogin(t, "")
	for _, r := range []struct {
		name, match, secret string
	}{
		{"alice", alice.registry + "/*", "file:alice"}, {"bob", bob.registry + "/team/*", "file:bob"}, {"gone", bob.registry + "/gone/*", "file:gone"},
		{"slow", bob.registry + "/slow/*", "vault:secret/slow"},
	} {
		w.Must(t, "registry", "add", r.name, "--org", "acme", "--match", r.match, "--secret", r.secret, "--plain-http", "--no-test")
	}
	w.Must(t, "registry", "add", "public", "--org", "acme", "--match", public.registry+"/*", "--plain-http", "--no-test")
	k := w.startKubelet(t, nil)

	t.Run("each image with its own credential", func(t *testing.T) {
		k.runs(t, k.pod(t, w.push(t, alice, "team/app")))
		k.runs(t, k.pod(t, w.push(t, bob, "team/app")))
	})
	t.Run("a public image that nothing is known for", func(t *testing.T) {
		k.runs(t, k.pod(t, w.push(t, public, "team/app")))
	})
	t.Run("a rotated secret", func(t *testing.T) {
		alice.password = "second-password-of-alice"
		w.writeHtpasswd(t, alice)
		w.writeSecret(t, alice)
		k.runs(t, k.pod(t, w.push(t, alice, "team/app")))
	})
	t.Run("known, but it went wrong", func(t *testing.T) {
		from := len(k.said(t))
		pod := k.pod(t, w.push(t, bob, "gone/app"))
		k.refused(t, pod)
		k.says(t, from, "pier-credential-provider", "exit status 1: pierhead: ", "file:gone", "hint: ")
		w.status(t, "the kubelet's plugin for "+bob.registry+"/gone/app", "file:gone", "Hint: ")
	})
	t.Run("a secret store that never answers", func(t *testing.T) {
		from := len(k.said(t))
		k.refused(t, k.pod(t, w.push(t, bob, "slow/app")))
		k.says(t, from, "pier-credential-provider", "exit status 1: pierhead: ", "registry slow", "in time")
		w.status(t, "the kubelet's plugin for "+bob.registry+"/slow/app", "in time")
	})
	t.Run("the control plane is gone", func(t *testing.T) {
		w.server.kill()
		k.runs(t, k.pod(t, w.push(t, alice, "team/app")))
		w.agent.kill()
		w.startAgent(t)
		k.runs(t, k.pod(t, w.push(t, bob, "team/app")))
		bob.password = "second-password-of-bob"
		w.writeHtpasswd(t, bob)
		w.writeSecret(t, bob)
		k.runs(t, k.pod(t, w.push(t, bob, "team/app")))
	})
	t.Run("the agent is stopped", func(t *testing.T) {
		w.agent.signal(syscall.SIGSTOP)
		from := len(k.said(t))
		pod := k.pod(t, w.push(t, alice, "team/app"))
		k.says(t, from, "pier-credential-provider", "the agent of this node did not answer in time")
		w.statusFails(t, "the agent of this machine does not answer")
		w.agent.signal(syscall.SIGCONT)
		k.recovers(t, pod)
	})
	t.Run("the agent is killed", func(t *testing.T) {
		w.agent.kill()
		from := len(k.said(t))
		k.refused(t, k.pod(t, w.push(t, alice, "team/app")))
		k.says(t, from, "pier-credential-provider", "the agent of this node is not running: nobody answers at "+w.Socket())
		w.statusFails(t, "no agent runs on this machine")
		must(t, os.Remove(w.Socket()))
		from = len(k.said(t))
		k.refused(t, k.pod(t, w.push(t, alice, "team/app")))
		k.says(t, from, "pier-credential-provider", "the agent of this node is not running: there is no socket "+w.Socket())
		w.statusFails(t, "no agent runs on this machine")
		w.startAgent(t)
		k.runs(t, k.pod(t, w.push(t, alice, "team/app")))
	})
	w.keepsSecrets(t)
}

// silence is an address that takes connections and never says a word.
func silence(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// status is what pier node status says, which must have these.
func (w *world) status(t *testing.T, words ...string) {
	t.Helper()
	text := w.Must(t, "node", "status")
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("pier node status has no %q:\n%s", word, text)
		}
	}
}

// statusFails is for an agent that cannot be asked.
func (w *world) statusFails(t *testing.T, words string) {
	t.Helper()
	if _, said, code := w.Run(t, "", "", "node", "status"); code == 0 || !strings.Contains(said, words) || !strings.Contains(said, "Hint: ") {
		t.Errorf("pier node status: exit code %d without %q:\n%s", code, words, said)
	}
}

// recovers waits until a pod whose image was refused runs after all: the kubelet tries again.
func (k *kubelet) recovers(t *testing.T, pod string) {
	t.Helper()
	await(t, "pod "+pod+" that ran", k.process, func(ctx context.Context) bool {
		reason, _ := k.state(ctx, pod)
		return reason == "ran"
	})
}
