// Package vaulttest is a Vault as far as logging in and reading KV secrets goes, and the conformance test that it and the
// real one pass alike. It refuses what Vault refuses, in Vault's words.
package vaulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Fake is one Vault's state; Handler is its HTTP. Set what is exported before it is asked anything.
type Fake struct {
	Now       func() time.Time
	Namespace string       // what its callers must name; "" is the root
	STS       http.Handler // who a request that is signed for Amazon is signed by; nil: no such method
	ServerID  string       // what such a request must have among its signed headers; "" is nothing

	mu      sync.Mutex
	mounts  map[string]*engine // by path, without slashes at the ends
	tokens  map[string]*token
	appRole map[string]*login // by role id
	jwtRole map[string]*login // by "method/role"
	awsRole map[string]*login // by role
	key     *ecdsa.PrivateKey // that JWTs are signed with
	sealed  bool
	standby string // where a standby sends its callers
	fault   http.HandlerFunc
	times   int
	calls   map[string]int
	made    []string
	hideUI  bool // sys/internal/ui/mounts answers nobody
}

type engine struct {
	kind    string
	kv      int
	entries map[string][]*version
}

type version struct {
	data      map[string]any
	deleted   time.Time
	destroyed bool
}

type token struct {
	paths     []string // that it may read
	ends      time.Time
	longest   time.Time // beyond which no renewal gets
	life      time.Duration
	renewable bool
	revoked   bool
}

type login struct {
	paths    []string
	life     time.Duration
	longest  time.Duration
	secretID string
	subject  string
	audience string
}

// New makes a Vault with nothing in it.
func New() (*Fake, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Fake{Now: time.Now, mounts: map[string]*engine{}, tokens: map[string]*token{}, appRole: map[string]*login{}, jwtRole: map[string]*login{}, awsRole: map[string]*login{}, key: key, calls: map[string]int{}}, nil
}

func (f *Fake) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// Enable mounts a KV engine, or with version 0 one of another kind.
func (f *Fake) Enable(path string, kv int) {
	f.locked(func() {
		kind := "kv"
		if kv == 0 {
			kind = "database"
		}
		f.mounts[path] = &engine{kind: kind, kv: kv, entries: map[string][]*version{}}
	})
}

// Put writes a secret, a new version with KV 2.
func (f *Fake) Put(mount, path string, data map[string]any) {
	f.locked(func() {
		m := f.mounts[mount]
		if m.kv == 1 {
			m.entries[path] = nil
		}
		m.entries[path] = append(m.entries[path], &version{data: data})
		for _, v := range data {
			if text, isText := v.(string); isText {
				f.made = append(f.made, text)
			}
		}
	})
}

// Delete marks a version of KV 2 as deleted, and Destroy takes its data away for good.
func (f *Fake) Delete(mount, path string, n int) {
	f.locked(func() { f.mounts[mount].entries[path][n-1].deleted = f.Now() })
}

// Destroy takes the data of a version away for good.
func (f *Fake) Destroy(mount, path string, n int) {
	f.locked(func() { f.mounts[mount].entries[path][n-1].destroyed = true })
}

// Token makes a token that may read these paths of the API ("secret/data/app"). life 0 is without an end; longest bounds
// renewals, 0 does not.
func (f *Fake) Token(life, longest time.Duration, renewable bool, paths ...string) (text string) {
	f.locked(func() { text = f.token(&login{paths: paths, life: life, longest: longest}, renewable) })
	return text
}

func (f *Fake) token(l *login, renewable bool) string {
	text := "hvs." + rand.Text()
	t := &token{paths: l.paths, life: l.life, renewable: renewable && l.life > 0}
	if l.life > 0 {
		t.ends = f.Now().Add(l.life)
	}
	if l.longest > 0 {
		t.longest = f.Now().Add(l.longest)
	}
	f.tokens[text] = t
	f.made = append(f.made, text)
	return text
}

// Revoke ends a token.
func (f *Fake) Revoke(text string) { f.locked(func() { f.tokens[text].revoked = true }) }

// RevokeAll ends every token, as a sealed and restored Vault may.
func (f *Fake) RevokeAll() {
	f.locked(func() {
		for _, t := range f.tokens {
			t.revoked = true
		}
	})
}

// AppRole makes a role of approle and a secret id for it.
func (f *Fake) AppRole(life, longest time.Duration, paths ...string) (roleID, secretID string) {
	f.locked(func() {
		roleID, secretID = "role-"+rand.Text(), "secret-id-"+rand.Text()
		f.appRole[roleID] = &login{paths: paths, life: life, longest: longest, secretID: secretID}
		f.made = append(f.made, secretID)
	})
	return roleID, secretID
}

// Role makes a role of "kubernetes" or "jwt" for a subject and an audience, or of "aws" for an ARN.
func (f *Fake) Role(method, role, subject, audience string, life time.Duration, paths ...string) {
	f.locked(func() {
		l := &login{paths: paths, life: life, longest: 24 * time.Hour, subject: subject, audience: audience}
		if method == "aws" {
			f.awsRole[role] = l
			return
		}
		f.jwtRole[method+"/"+role] = l
	})
}

// Seal seals it, or unseals it.
func (f *Fake) Seal(sealed bool) { f.locked(func() { f.sealed = sealed }) }

// Standby makes it one that sends its callers elsewhere; "" ends that.
func (f *Fake) Standby(to string) { f.locked(func() { f.standby = to }) }

// HideMounts lets nobody look up mounts, as old versions and some policies do.
func (f *Fake) HideMounts() { f.locked(func() { f.hideUI = true }) }

// Fault answers the next requests in Vault's place.
func (f *Fake) Fault(times int, answer http.HandlerFunc) {
	f.locked(func() { f.times, f.fault = times, answer })
}

// Calls counts requests by their path below /v1/.
func (f *Fake) Calls(path string) (n int) {
	f.locked(func() { n = f.calls[path] })
	return n
}

// Secrets lists every secret, secret id and token that it ever held.
func (f *Fake) Secrets() (made []string) {
	f.locked(func() { made = slices.Clone(f.made) })
	return made
}

// ServeHTTP is Vault.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.mu.Lock()
	f.calls[path]++
	fault, standby := f.fault, f.standby
	if f.times == 0 {
		fault = nil
	} else {
		f.times--
	}
	f.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case standby != "":
		http.Redirect(w, r, standby+r.URL.Path, http.StatusTemporaryRedirect)
	default:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.serve(w, r, path)
	}
}

func (f *Fake) serve(w http.ResponseWriter, r *http.Request, path string) {
	method, isLogin := strings.CutSuffix(strings.TrimPrefix(path, "auth/"), "/login")
	switch {
	case f.sealed:
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
	case r.Header.Get("X-Vault-Request") != "true":
		refuse(w, http.StatusPreconditionFailed, "missing 'X-Vault-Request' header")
	case strings.Trim(r.Header.Get("X-Vault-Namespace"), "/") != f.Namespace:
		refuse(w, http.StatusForbidden, "permission denied")
	case isLogin && strings.HasPrefix(path, "auth/"):
		f.login(w, r, method)
	default:
		t := f.tokens[r.Header.Get("X-Vault-Token")]
		if t == nil || t.revoked || !t.ends.IsZero() && !f.Now().Before(t.ends) {
			refuse(w, http.StatusForbidden, "permission denied", "invalid token")
			return
		}
		f.known(w, r, path, t)
	}
}

func refuse(w http.ResponseWriter, code int, messages ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if messages == nil {
		messages = []string{}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": messages})
}

func give(w http.ResponseWriter, code int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	body["request_id"] = "0b1c"
	_ = json.NewEncoder(w).Encode(body)
}

// known serves who has a token.
func (f *Fake) known(w http.ResponseWriter, r *http.Request, path string, t *token) {
	looked, isLook := strings.CutPrefix(path, "sys/internal/ui/mounts/")
	switch {
	case path == "auth/token/lookup-self":
		ttl := 0
		if !t.ends.IsZero() {
			ttl = int(t.ends.Sub(f.Now()).Seconds())
		}
		give(w, http.StatusOK, map[string]any{"data": map[string]any{"ttl": ttl, "renewable": t.renewable}})
	case path == "auth/token/renew-self":
		f.renew(w, t)
	case isLook:
		f.lookUp(w, looked, t)
	case r.Method != http.MethodGet || !slices.Contains(t.paths, path):
		refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	default:
		f.read(w, r, path)
	}
}

func (f *Fake) renew(w http.ResponseWriter, t *token) {
	if !t.renewable {
		refuse(w, http.StatusBadRequest, "lease is not renewable")
		return
	}
	t.ends = f.Now().Add(t.life)
	if !t.longest.IsZero() && t.ends.After(t.longest) {
		t.ends = t.longest
	}
	give(w, http.StatusOK, map[string]any{"auth": map[string]any{"client_token": "", "lease_duration": int(t.ends.Sub(f.Now()).Seconds()), "renewable": true}})
}

// lookUp tells the mount of a path to whom something in that mount is allowed.
func (f *Fake) lookUp(w http.ResponseWriter, path string, t *token) {
	at, m := f.mountOf(path)
	allowed := m != nil && slices.ContainsFunc(t.paths, func(p string) bool { return strings.HasPrefix(p, at+"/") })
	if !allowed || f.hideUI {
		refuse(w, http.StatusForbidden, "preflight capability check returned 403, please ensure client's policies grant access to path \""+path+"/\"")
		return
	}
	var options any
	if m.kv > 0 {
		options = map[string]string{"version": fmt.Sprint(m.kv)}
	}
	give(w, http.StatusOK, map[string]any{"data": map[string]any{"path": at + "/", "type": m.kind, "options": options}})
}

func (f *Fake) mountOf(path string) (string, *engine) {
	for at := path; ; {
		if m := f.mounts[at]; m != nil {
			return at, m
		}
		cut := strings.LastIndexByte(at, '/')
		if cut < 0 {
			return "", nil
		}
		at = at[:cut]
	}
}

func (f *Fake) read(w http.ResponseWriter, r *http.Request, path string) {
	at, m := f.mountOf(path)
	if m == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path))
		return
	}
	below := strings.TrimPrefix(strings.TrimPrefix(path, at), "/")
	if m.kv == 2 {
		inData, isData := strings.CutPrefix(below, "data/")
		if !isData {
			give(w, http.StatusNotFound, map[string]any{"warnings": []string{"Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use."}})
			return
		}
		f.readVersion(w, r, m.entries[inData])
		return
	}
	if len(m.entries[below]) == 0 {
		refuse(w, http.StatusNotFound)
		return
	}
	give(w, http.StatusOK, map[string]any{"data": m.entries[below][0].data, "lease_duration": 2764800})
}

func (f *Fake) readVersion(w http.ResponseWriter, r *http.Request, versions []*version) {
	n := len(versions)
	if asked := r.URL.Query().Get("version"); asked != "" {
		_, _ = fmt.Sscan(asked, &n)
	}
	if n < 1 || n > len(versions) {
		refuse(w, http.StatusNotFound)
		return
	}
	v := versions[n-1]
	metadata := map[string]any{"version": n, "created_time": f.Now(), "deletion_time": "", "destroyed": v.destroyed, "custom_metadata": nil}
	if !v.deleted.IsZero() {
		metadata["deletion_time"] = v.deleted.UTC().Format(time.RFC3339Nano)
	}
	if v.destroyed || !v.deleted.IsZero() {
		give(w, http.StatusNotFound, map[string]any{"data": map[string]any{"data": nil, "metadata": metadata}})
		return
	}
	give(w, http.StatusOK, map[string]any{"data": map[string]any{"data": v.data, "metadata": metadata}})
}
