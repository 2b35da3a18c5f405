// Package k8s is the secret source of the cluster that an agent runs in: "k8s:NAME" is the secret NAME of the agent's own
// namespace, "k8s:NAME/KEY" one key of it. No reference names another namespace: who may put a secret beside the agent is
// the cluster's affair, and its role-based access decides per name what the agent may read.
//
// The agent asks as the service account of its pod, with the token and the CA that Kubernetes mounts there, and only ever
// gets one secret by its name; it never lists. The token is read anew while it rotates. Nothing else is kept.
//
// # What a secret's content is
//
// Without KEY it goes by the secret's type and keys:
//   - kubernetes.io/dockerconfigjson, and the legacy kubernetes.io/dockercfg: {"auths": …}, whatever else the file has;
//   - kubernetes.io/basic-auth, and any with the keys username and password and perhaps server:
//     {"username": …, "password": …, "server": …};
//   - any with one key: the value of that key.
//
// Otherwise KEY must be named.
package k8s

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"pierhead.dev/pierhead/secret"
)

// Config says where the cluster is. The zero Config is the cluster that the process runs in.
type Config struct {
	Cluster       func() (*rest.Config, error) // how to reach the API server; nil: rest.InClusterConfig
	NamespaceFile string                       // the file with the agent's namespace; "": where Kubernetes mounts it
	Within        time.Duration                // bound of one Get, tries together; 0: 20 s
}

const mounted = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// maxAnswer bounds an answer of the API server: a secret is at most 1 MiB, in base64, with its metadata.
const maxAnswer = 3 << 20

// A Source reads secrets of one namespace. It is safe for concurrent use.
type Source struct {
	config Config

	mu        sync.Mutex // guards what follows, made at the first Get that finds a cluster
	client    typed.SecretsGetter
	namespace string
}

// New makes a Source; it looks for no cluster yet.
func New(c Config) *Source {
	if c.Cluster == nil {
		c.Cluster = rest.InClusterConfig
	}
	if c.NamespaceFile == "" {
		c.NamespaceFile = mounted
	}
	if c.Within == 0 {
		c.Within = 20 * time.Second
	}
	return &Source{config: c}
}

// Get reads the secret. Errors: secret.ErrRef when the reference is none of this source's or names a namespace;
// ErrUnknownScheme when this process does not run in a cluster; ErrNotFound when there is no such secret or key;
// ErrNotAllowed when the API server does not know the agent's service account (401), or does not let it read this secret
// (403); ErrUnreachable when it does not answer, or not in time; ErrContent when the content is empty, too long, or several
// keys with none named.
func (s *Source) Get(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	p, err := parse(ref)
	if err != nil {
		return secret.Value{}, err
	}
	if err := ctx.Err(); err != nil {
		return secret.Value{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	client, namespace, err := s.cluster(ref)
	if err != nil {
		return secret.Value{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.config.Within)
	defer cancel()
	found, err := client.Secrets(namespace).Get(bounded, p.name, metav1.GetOptions{})
	if err != nil {
		if ctx.Err() != nil {
			return secret.Value{}, fmt.Errorf("secret %s: %w", ref, ctx.Err())
		}
		return secret.Value{}, explain(ref, p, namespace, err)
	}
	return value(ref, p, found)
}

// cluster finds the cluster once; not finding it is looked at again next time.
func (s *Source) cluster(ref secret.Ref) (typed.SecretsGetter, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, s.namespace, nil
	}
	config, err := s.config.Cluster()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, "", &secret.Error{Kind: secret.ErrUnknownScheme, Ref: ref, Text: "this agent does not run in a Kubernetes cluster, so it has no secrets of one",
			Hint: "use a secret store that this node can read, or run the agent as a pod"}
	case err != nil:
		return nil, "", &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: "the agent's service account cannot be read: " + cut(err.Error()),
			Hint: "the operator lets Kubernetes mount it: automountServiceAccountToken: true in the agent's pod"}
	}
	text, err := os.ReadFile(s.config.NamespaceFile)
	namespace := strings.TrimSpace(string(text))
	if err != nil || !isName(namespace) {
		return nil, "", &secret.Error{Kind: secret.ErrNotAllowed, Ref: ref, Text: "the agent's namespace cannot be read from " + s.config.NamespaceFile,
			Hint: "the operator lets Kubernetes mount the service account: automountServiceAccountToken: true in the agent's pod"}
	}
	client, err := newClient(config)
	if err != nil {
		return nil, "", &secret.Error{Kind: secret.ErrUnreachable, Ref: ref, Text: "no client for the cluster's API server: " + cut(err.Error()),
			Hint: "the operator looks at what Kubernetes mounted into the agent's pod"}
	}
	s.client, s.namespace = client, namespace
	return client, namespace, nil
}

// newClient bounds what client-go leaves open: time per try, bytes, redirects (on which it would send the token along).
func newClient(config *rest.Config) (typed.SecretsGetter, error) {
	config = rest.CopyConfig(config)
	config.Timeout = 10 * time.Second
	config.QPS = -1 // the broker asks once per renewal; a queue here would only add to its wait
	config.UserAgent = "pierhead"
	config.WarningHandler = rest.NoWarnings{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next} })
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return typed.NewForConfigAndClient(config, client)
}

// bounded cuts answers off at maxAnswer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}
