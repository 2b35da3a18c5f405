package clouds

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// An account is a login of a registry that keeps its own, for the repositories below some prefixes.
type account struct{ user, password string }

// accounts are a registry's logins: the prefixes of repositories that each may read.
type accounts map[account][]string

// may tells whether a login is good, and good for a repository.
func (a accounts) may(user, password, repository string) (known, allowed bool) {
	prefixes, known := a[account{user, password}]
	for _, prefix := range prefixes {
		allowed = allowed || strings.HasPrefix(repository, prefix)
	}
	return known, allowed
}

// A basicDoor is a registry with user names and passwords.
type basicDoor struct {
	realm  string
	behind http.Handler

	mu       sync.Mutex
	accounts accounts
}

// let replaces the logins.
func (d *basicDoor) let(accounts accounts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accounts = accounts
}

func (d *basicDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	repository, _ := splitPath(r.URL.Path)
	d.mu.Lock()
	known, allowed := d.accounts.may(user, password, repository)
	d.mu.Unlock()
	switch {
	case !known:
		w.Header().Set("WWW-Authenticate", `Basic realm="`+d.realm+`"`)
		ociError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	case repository != "" && !allowed:
		ociError(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
	default:
		d.behind.ServeHTTP(w, r)
	}
}

// A bearerDoor is a registry whose token server gives tokens for single repositories to its accounts. Docker Hub, GitHub and
// Quay are such.
type bearerDoor struct {
	realm, service string
	public         []string // prefixes of repositories for everybody
	behind         http.Handler

	mu       sync.Mutex
	accounts accounts
	tokens   map[string]string // to the repository
	made     []string
}

// end makes all tokens so far worthless; d.mu is not held.
func (d *bearerDoor) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.tokens)
}

// secrets are the tokens that it gave.
func (d *bearerDoor) secrets() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.made)
}

// ServeHTTP is the registry.
func (d *bearerDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository, _ := splitPath(r.URL.Path)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	d.mu.Lock()
	of, known := d.tokens[token]
	d.mu.Unlock()
	if !known || repository != "" && of != repository {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service=%q,scope="repository:%s:pull"`, d.realm, d.service, repository))
		ociError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	d.behind.ServeHTTP(w, r)
}

// token is its token server.
func (d *bearerDoor) token(w http.ResponseWriter, r *http.Request) {
	user, password, sent := r.BasicAuth()
	repository := strings.TrimSuffix(strings.TrimPrefix(r.URL.Query().Get("scope"), "repository:"), ":pull")
	d.mu.Lock()
	defer d.mu.Unlock()
	known, allowed := d.accounts.may(user, password, repository)
	for _, prefix := range d.public {
		allowed = allowed || strings.HasPrefix(repository, prefix)
	}
	if sent && !known {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintln(w, `{"details":"incorrect username or password"}`) // a client that has gone does not matter
		return
	}
	if !allowed {
		repository = "nothing" // a token comes either way, as at Docker Hub; it opens nothing
	}
	text := rand.Text() + rand.Text()
	d.tokens[text] = repository
	d.made = append(d.made, text)
	_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":300}`+"\n", text)
}

// nobody is a cloud without hosts.
func nobody(string) http.Handler { return nil }

// A cutter calls a function once, before the third blob of a pull is looked at: the login of the first two has ended then.
type cutter struct {
	behind http.Handler
	cut    func(r *http.Request)
	blobs  atomic.Int32
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, kind := splitPath(r.URL.Path); kind == "blobs" && r.Method == http.MethodGet && c.blobs.Add(1) == 3 {
		c.cut(r)
	}
	c.behind.ServeHTTP(w, r)
}

// splitPath reads /v2/REPOSITORY/KIND/….
func splitPath(path string) (repository, kind string) {
	rest := strings.TrimPrefix(path, "/v2/")
	for _, kind := range []string{"manifests", "blobs", "tags", "referrers"} {
		if before, _, found := strings.Cut(rest, "/"+kind+"/"); found {
			return before, kind
		}
	}
	return "", ""
}

func ociError(out http.ResponseWriter, status int, code, message string) {
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(status)
	_, _ = fmt.Fprintf(out, `{"errors":[{"code":%q,"message":%q}]}`+"\n", code, message) // a client that has gone does not matter
}
