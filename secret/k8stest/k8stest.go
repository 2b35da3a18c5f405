// Package k8stest is a Kubernetes API server as far as reading secrets goes: bearer tokens of service accounts, role-based
// access by name, and Status answers as the real one words them. It refuses what the real one refuses.
package k8stest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Cluster is one API server's state. Its zero value is of no use: New.
type Cluster struct {
	mu      sync.Mutex
	secrets map[string]secret          // "namespace/name"
	tokens  map[string]string          // token to the user that it stands for
	ended   map[string]bool            // tokens that have ended
	may     map[string]map[string]bool // user to the "namespace/name" that a role lets it get
	calls   map[string]int
	fault   http.HandlerFunc // answers in place of the server, once per entry of times
	times   int
	made    []string
}

type secret struct {
	Type string
	Data map[string][]byte
}

// New makes an empty cluster.
func New() *Cluster {
	return &Cluster{secrets: map[string]secret{}, tokens: map[string]string{}, ended: map[string]bool{}, may: map[string]map[string]bool{}, calls: map[string]int{}}
}

// Put creates or replaces a secret. Kind is its type ("Opaque", "kubernetes.io/dockerconfigjson", …).
func (c *Cluster) Put(namespace, name, kind string, data map[string][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[namespace+"/"+name] = secret{Type: kind, Data: data}
	for _, content := range data {
		c.made = append(c.made, string(content))
	}
}

// Token makes a token for a service account.
func (c *Cluster) Token(namespace, account string) string {
	token := "sa-token-" + rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[token] = "system:serviceaccount:" + namespace + ":" + account
	c.made = append(c.made, token)
	return token
}

// End makes a token one that has ended.
func (c *Cluster) End(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[token] = true
}

// Allow lets a service account get secrets of a namespace by their names, as a Role with resourceNames does.
func (c *Cluster) Allow(accountNamespace, account, namespace string, names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user := "system:serviceaccount:" + accountNamespace + ":" + account
	if c.may[user] == nil {
		c.may[user] = map[string]bool{}
	}
	for _, name := range names {
		c.may[user][namespace+"/"+name] = true
	}
}

// Fault answers the next requests in the server's place: throttled, slowly, garbled.
func (c *Cluster) Fault(times int, answer http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times, c.fault = times, answer
}

// Calls counts requests by their verb: "get", "list", "other".
func (c *Cluster) Calls(verb string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[verb]
}

// Secrets lists all content and tokens that the cluster ever held.
func (c *Cluster) Secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.made)
}

var onePath = regexp.MustCompile(`^/api/v1/namespaces/([a-z0-9-]+)/secrets/([a-z0-9.-]+)$`)

// ServeHTTP is the API server.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := onePath.FindStringSubmatch(r.URL.Path)
	verb := "other"
	switch {
	case r.Method == http.MethodGet && path != nil:
		verb = "get"
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/secrets"):
		verb = "list"
	}
	c.mu.Lock()
	c.calls[verb]++
	fault := c.fault
	if c.times == 0 {
		fault = nil
	} else {
		c.times--
	}
	c.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	c.answer(w, r, path)
}

func (c *Cluster) answer(w http.ResponseWriter, r *http.Request, path []string) {
	user, known := "system:anonymous", true
	c.mu.Lock()
	defer c.mu.Unlock()
	if token, sent := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); sent {
		user, known = c.tokens[token]
		known = known && !c.ended[token]
	}
	switch {
	case !known:
		Status(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
	case path == nil || r.Method != http.MethodGet:
		Status(w, http.StatusForbidden, "Forbidden", fmt.Sprintf("secrets is forbidden: User %q cannot list resource %q in API group %q at the cluster scope", user, "secrets", ""))
	case !c.may[user][path[1]+"/"+path[2]]:
		Status(w, http.StatusForbidden, "Forbidden", fmt.Sprintf("secrets %q is forbidden: User %q cannot get resource %q in API group %q in the namespace %q", path[2], user, "secrets", "", path[1]))
	default:
		c.give(w, path[1], path[2])
	}
}

func (c *Cluster) give(w http.ResponseWriter, namespace, name string) {
	found, there := c.secrets[namespace+"/"+name]
	if !there {
		Status(w, http.StatusNotFound, "NotFound", fmt.Sprintf("secrets %q not found", name))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Secret", "apiVersion": "v1", "type": found.Type, "data": maps.Clone(found.Data),
		"metadata": map[string]any{"name": name, "namespace": namespace, "uid": "0b1c", "resourceVersion": "7"},
	})
}

// Status answers as Kubernetes tells of a failure.
func Status(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code})
}
