package googletest

import (
	"io"
	"log"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// registryHost is Artifact Registry's, in all its forms.
var registryHost = regexp.MustCompile(`^(?:(?:us\.|eu\.|asia\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.[a-z0-9-]+\.rep\.pkg\.dev)$`)

func isRegistry(host string) bool { return registryHost.MatchString(host) }

// newRegistry keeps images in memory; it has no login of its own.
func newRegistry() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// SetRegistry puts another registry behind the door of every host; it tells them apart by the request's Host.
func (c *Cloud) SetRegistry(next http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registry = next
}

// Everybody is whom a Grant names that opens a repository to the public.
const Everybody = "allUsers"

var (
	repositoryPath = regexp.MustCompile(`^/v2/(.+?)/(?:manifests|blobs|tags)/`)
	pullScope      = regexp.MustCompile(`^repository:([^:]+):([a-z,]+)$`)
)

// registryHandler is Artifact Registry at one host: a challenge, a token service that takes "oauth2accesstoken" with one
// of this Google's access tokens and refuses whoever may not do what he asks for, and images of a registry that does not know
// of any of it. The permissions are those on HOST/REPOSITORY.
func (c *Cloud) registryHandler(host string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/token" {
			if c.begin(w, r, OpRegistryToken) {
				c.registryToken(w, r, host)
			}
			return
		}
		repository := ""
		if path := repositoryPath.FindStringSubmatch(r.URL.Path); path != nil {
			repository = path[1]
		}
		permission, actions := Upload, "pull,push"
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			permission, actions = Download, "pull"
		}
		c.mu.Lock()
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		login, known := c.logins[token]
		known = known && time.Now().Before(login.expires)
		behind := c.registry
		allowed := r.URL.Path == "/v2/" || repository != "" && c.opens(login.principal, permission, host+"/"+repository)
		c.mu.Unlock()
		switch {
		case !known:
			challenge := `Bearer realm="https://` + host + `/v2/token",service="` + host + `"`
			if repository != "" {
				challenge += `,scope="repository:` + repository + ":" + actions + `"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
			registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication failed")
		case !allowed:
			registryDenied(w, login.principal, permission)
		default:
			behind.ServeHTTP(w, r)
		}
	})
}

// opens tells whether a principal may do something, or everybody may. c.mu is held.
func (c *Cloud) opens(principal, permission, resource string) bool {
	return c.may(principal, permission, resource) || c.may(Everybody, permission, resource)
}

func (c *Cloud) registryToken(w http.ResponseWriter, r *http.Request, host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	login := issued{principal: Everybody, expires: time.Now().Add(maxLifetime)}
	if username, password, sent := r.BasicAuth(); sent {
		i, known := c.lookup(password)
		if username != "oauth2accesstoken" || !known {
			registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication failed")
			return
		}
		login = i
	}
	for _, scope := range strings.Fields(strings.Join(r.URL.Query()["scope"], " ")) {
		parts := pullScope.FindStringSubmatch(scope)
		if parts == nil {
			continue
		}
		permission := Download
		if strings.Contains(parts[2], "push") {
			permission = Upload
		}
		if !c.opens(login.principal, permission, host+"/"+parts[1]) {
			registryDenied(w, login.principal, permission)
			return
		}
	}
	token := random(48)
	c.remember(token)
	c.logins[token] = login
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "access_token": token, "expires_in": int(time.Until(login.expires).Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339)})
}

// registryDenied is one answer to those who may not and to those who ask for what is not there.
func registryDenied(w http.ResponseWriter, principal, permission string) {
	text := `Permission "` + permission + `" denied on resource (or it may not exist)`
	if principal == Everybody {
		text = `Unauthenticated request. Unauthenticated requests do not have permission "` + permission + `" on resource (or it may not exist)`
	}
	registryError(w, http.StatusForbidden, "DENIED", text)
}

func registryError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}
