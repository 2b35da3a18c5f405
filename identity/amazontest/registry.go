package amazontest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// privateHost reads a registry's host: account and region.
var privateHost = regexp.MustCompile(`^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.`)

// SetRegistry puts a registry behind all hosts of ECR's, private and public, each with its own door.
func (c *Cloud) SetRegistry(next http.Handler) {
	private, public := c.Registry(next), c.PublicRegistry(next)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.private, c.public = private, public
}

func (c *Cloud) registryAt(host string) http.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case privateHost.MatchString(host):
		return c.private
	case host == "public.ecr.aws" || host == "ecr-public.aws.com":
		return c.public
	}
	return nil
}

// Registry puts ECR's door before a registry: it takes GetAuthorizationToken's passwords and nothing else, and lets them do
// what the policies of identity and repository allow. The request's Host says which account's registry is asked. Names of
// repositories are the same in all of them, so next is one account's and region's.
func (c *Cloud) Registry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := privateHost.FindStringSubmatch(r.Host)
		user, text, given := r.BasicAuth()
		c.mu.Lock()
		p := c.passwords[text]
		now := c.now()
		c.mu.Unlock()
		switch {
		case parts == nil:
			http.NotFound(w, r)
		case !given || user != "AWS" || p == nil || p.public || p.at.region != parts[2]:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q,service=\"ecr.amazonaws.com\"", "https://"+r.Host+"/"))
			http.Error(w, "Not Authorized", http.StatusUnauthorized)
		case !now.Before(p.expires):
			refuse(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		default:
			c.admit(w, r, p, parts[1], next)
		}
	})
}

var repositoryPath = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags|referrers)/`)

// admit asks the policies.
func (c *Cloud) admit(w http.ResponseWriter, r *http.Request, p *password, account string, next http.Handler) {
	path := repositoryPath.FindStringSubmatch(r.URL.Path)
	if path == nil {
		next.ServeHTTP(w, r) // the ping
		return
	}
	action := "ecr:BatchGetImage"
	switch pull := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case !pull && path[2] == "manifests":
		action = "ecr:PutImage"
	case !pull:
		action = "ecr:InitiateLayerUpload"
	case path[2] == "blobs":
		action = "ecr:GetDownloadUrlForLayer"
	}
	arn := fmt.Sprintf("arn:%s:ecr:%s:%s:repository/%s", p.at.partition, p.at.region, account, path[1])
	c.mu.Lock()
	found, foreign := c.repos[arn], p.by.by.account() != account
	allowed := p.by.by.may(action, arn) && !(foreign && (found == nil || !slices.Contains(found.readers, p.by.by.ARN)))
	c.mu.Unlock()
	switch {
	case !allowed:
		refuse(w, http.StatusForbidden, "DENIED", fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no resource-based policy allows the %s action", p.by.arn, action, arn, action))
	case found == nil:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", path[1], account))
	default:
		next.ServeHTTP(w, r)
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

// PublicRegistry puts ECR Public's door before a registry: bearer tokens from /token/ for a password of ECR Public's or for
// nobody, and status 400 for a token that it does not know.
func (c *Cloud) PublicRegistry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		now := c.now()
		c.mu.Unlock()
		if r.URL.Path == "/token/" {
			c.servePublicToken(w, r)
			return
		}
		bearer, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		c.mu.Lock()
		until, known := c.publicTokens[bearer]
		c.mu.Unlock()
		switch {
		case !given:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q", "https://"+r.Host+"/token/", r.Host))
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Not Authorized")
		case !known || !now.Before(until):
			refuse(w, http.StatusBadRequest, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (c *Cloud) servePublicToken(w http.ResponseWriter, r *http.Request) {
	user, text, given := r.BasicAuth()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, now := c.passwords[text], c.now()
	if given && (user != "AWS" || p == nil || !p.public || !now.Before(p.expires)) {
		refuse(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		return
	}
	token := secretText(100)
	c.publicTokens[token] = now.Add(12 * time.Hour)
	c.made = append(c.made, token)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 12 * 3600})
}
