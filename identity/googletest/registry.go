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

var repositoryPath = regexp.MustCompile(`^/v2/(.+?)/(?:manifests|blobs|tags)/`)

// registryHandler is Artifact Registry at one host: a challenge, a token service that takes "oauth2accesstoken" with one
// of this Google's access tokens, and images of a registry that does not know of any of it. The permissions are those on
// HOST/REPOSITORY.
func (c *Cloud) registryHandler(host string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/token" {
			if c.begin(w, r, OpRegistryToken) {
				c.registryToken(w, r)
			}
			return
		}
		c.mu.Lock()
		token, sent := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		login, known := c.logins[token]
		known = known && time.Now().Before(login.expires)
		permission := Upload
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			permission = Download
		}
		path := repositoryPath.FindStringSubmatch(r.URL.Path)
		allowed := r.URL.Path == "/v2/" || path != nil && c.may(login.principal, permission, host+"/"+path[1])
		c.mu.Unlock()
		switch {
		case !sent || !known:
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+host+`/v2/token",service="`+host+`"`)
			registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication failed")
		case !allowed:
			registryError(w, http.StatusForbidden, "DENIED", `Permission "`+permission+`" denied on resource (or it may not exist)`)
		default:
			c.registry.ServeHTTP(w, r)
		}
	})
}

func (c *Cloud) registryToken(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	username, password, sent := r.BasicAuth()
	i, known := c.lookup(password)
	if !sent || username != "oauth2accesstoken" || !known {
		registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication failed")
		return
	}
	token := random(48)
	c.remember(token)
	c.logins[token] = i
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "access_token": token, "expires_in": int(time.Until(i.expires).Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339)})
}

func registryError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}
