package azuretest

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Registry is the door of a container registry: the exchange of Entra's tokens, the token server, and the check of its
// tokens in front of a registry that knows nothing of Azure.
type Registry struct {
	Host string

	cloud     *Cloud
	signer    *signer
	behind    http.Handler
	roles     map[string]Role            // by object
	passwords map[string]registryAccount // by user: tokens with a scope map, the admin user
	noARM     bool
	blocked   bool
}

// A Role says what somebody may do in a registry.
type Role string

// The roles.
const (
	AcrPull Role = "AcrPull"
	AcrPush Role = "AcrPush"
)

func (r Role) actions() []string {
	switch r {
	case AcrPull:
		return []string{"pull", "metadata_read"}
	case AcrPush:
		return []string{"pull", "push", "metadata_read", "metadata_write"}
	}
	return nil
}

type registryAccount struct {
	password     string
	role         Role
	repositories []string // nil: all
}

// What the registry's tokens say of themselves, and how long they last.
const (
	acrIssuer   = "Azure Container Registry"
	RefreshLife = 3 * time.Hour
	AccessLife  = 75 * time.Minute
)

// Registry opens NAME.azurecr.TLD in front of behind, which serves /v2/.
func (c *Cloud) Registry(name string, behind http.Handler) *Registry {
	r := &Registry{Host: name + ".azurecr." + c.TLD, cloud: c, signer: newSigner(), behind: behind, roles: map[string]Role{}, passwords: map[string]registryAccount{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registries[r.Host] = r
	return r
}

// Grant gives somebody a role.
func (g *Registry) Grant(a *Application, role Role) {
	g.cloud.mu.Lock()
	defer g.cloud.mu.Unlock()
	g.roles[a.Object] = role
}

// Account makes a token with a scope map, or the admin user, for these repositories or for all, and returns its password.
func (g *Registry) Account(user string, role Role, repositories ...string) string {
	password := g.cloud.keep(newSecret())
	g.cloud.mu.Lock()
	defer g.cloud.mu.Unlock()
	g.passwords[user] = registryAccount{password, role, repositories}
	return password
}

// RefuseARM switches azureADAuthenticationAsArmPolicy off: tokens for management.azure.com are not taken.
func (g *Registry) RefuseARM() {
	g.cloud.mu.Lock()
	defer g.cloud.mu.Unlock()
	g.noARM = true
}

// Block has the registry's firewall refuse the caller's address.
func (g *Registry) Block() {
	g.cloud.mu.Lock()
	defer g.cloud.mu.Unlock()
	g.blocked = true
}

// ServeHTTP is the registry's host.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := map[string]string{"/oauth2/exchange": "acr.exchange", "/oauth2/token": "acr.token"}[r.URL.Path]
	if operation == "" {
		operation = "registry"
	}
	if !g.cloud.begin(operation, w, r) {
		return
	}
	g.cloud.mu.Lock()
	blocked := g.blocked
	g.cloud.mu.Unlock()
	switch {
	case blocked:
		ociError(w, http.StatusForbidden, "DENIED", "client with IP '192.0.2.1' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.")
	case operation == "acr.exchange":
		g.exchange(w, r)
	case operation == "acr.token":
		g.token(w, r)
	default:
		g.serve(w, r)
	}
}

func ociError(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"errors": []map[string]any{{"code": code, "message": message}}})
}

func unauthorized(w http.ResponseWriter) {
	ociError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required, visit https://aka.ms/acr/authorization for more information.")
}

// exchange takes an access token of Entra's and gives a refresh token of the registry's.
func (g *Registry) exchange(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	g.cloud.mu.Lock()
	audiences := []string{"https://containerregistry.azure.net"}
	if !g.noARM {
		audiences = append(audiences, "https://management.azure.com")
	}
	g.cloud.mu.Unlock()
	form := r.PostForm
	tenant := form.Get("tenant")
	switch {
	case form.Get("grant_type") != "access_token" || form.Get("access_token") == "":
		ociError(w, http.StatusBadRequest, "UNSUPPORTED", "grant_type must be access_token")
		return
	case form.Get("service") != g.Host, tenant != "" && !strings.EqualFold(tenant, g.cloud.Tenant):
		unauthorized(w)
		return
	}
	app, err := g.cloud.bearer(form.Get("access_token"), audiences...)
	if err != nil || g.roleOf(app.Object) == "" {
		unauthorized(w)
		return
	}
	refresh := g.cloud.keep(g.signer.sign(map[string]any{"iss": acrIssuer, "aud": g.Host, "sub": app.Object, "tenant": g.cloud.Tenant, "jti": NewID(),
		"version": "1.0", "grant_type": "refresh_token", "nbf": now().Unix(), "iat": now().Unix(), "exp": now().Add(RefreshLife).Unix()}))
	answer(w, http.StatusOK, map[string]any{"refresh_token": refresh})
}

func (g *Registry) roleOf(object string) Role {
	g.cloud.mu.Lock()
	defer g.cloud.mu.Unlock()
	return g.roles[object]
}

// token gives an access token for scopes: to a refresh token, posted or as the password of the user without an id, to a
// service principal with its secret, and to the registry's own accounts.
func (g *Registry) token(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || r.Form.Get("service") != g.Host {
		unauthorized(w)
		return
	}
	user, password, basic := r.BasicAuth()
	if r.Method == http.MethodPost && r.PostForm.Get("grant_type") == "refresh_token" {
		user, password, basic = noUser, r.PostForm.Get("refresh_token"), true
	}
	role, repositories, ok := g.who(user, password)
	if !basic || !ok {
		unauthorized(w)
		return
	}
	var access []map[string]any
	for _, scope := range strings.Fields(strings.Join(r.Form["scope"], " ")) {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 || parts[0] != "repository" {
			continue
		}
		granted := slices.DeleteFunc(strings.Split(parts[2], ","), func(action string) bool { return !slices.Contains(role.actions(), action) })
		if len(granted) == 0 || repositories != nil && !slices.Contains(repositories, parts[1]) {
			unauthorized(w)
			return
		}
		access = append(access, map[string]any{"type": parts[0], "name": parts[1], "actions": granted})
	}
	token := g.cloud.keep(g.signer.sign(map[string]any{"iss": acrIssuer, "aud": g.Host, "sub": user, "jti": NewID(), "access": access,
		"nbf": now().Unix(), "iat": now().Unix(), "exp": now().Add(AccessLife).Unix()}))
	answer(w, http.StatusOK, map[string]any{"access_token": token})
}

// noUser is the user name beside a refresh token.
const noUser = "00000000-0000-0000-0000-000000000000"

func (g *Registry) who(user, password string) (role Role, repositories []string, ok bool) {
	if user == noUser {
		claims, err := g.signer.claims(password)
		if err != nil || claims["grant_type"] != "refresh_token" || claims["aud"] != g.Host {
			return "", nil, false
		}
		object, _ := claims["sub"].(string)
		role = g.roleOf(object)
		return role, nil, role != ""
	}
	g.cloud.mu.Lock()
	defer g.cloud.mu.Unlock()
	if account, known := g.passwords[user]; known {
		return account.role, account.repositories, subtle.ConstantTimeCompare([]byte(account.password), []byte(password)) == 1
	}
	app := g.cloud.applications[user]
	if app == nil || app.disabled {
		return "", nil, false
	}
	right, expired := app.secretIs(password)
	return g.roles[app.Object], nil, right && !expired && g.roles[app.Object] != ""
}

// serve checks the access token and lets the registry behind answer.
func (g *Registry) serve(w http.ResponseWriter, r *http.Request) {
	repository, action := scopeOf(r)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := g.signer.claims(token)
	if err == nil && claims["aud"] == g.Host && claims["iss"] == acrIssuer && allowed(claims["access"], repository, action) {
		g.behind.ServeHTTP(w, r)
		return
	}
	challenge := `Bearer realm="https://` + g.Host + `/oauth2/token",service="` + g.Host + `"`
	if repository != "" {
		challenge += `,scope="repository:` + repository + `:` + action + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	unauthorized(w)
}

func scopeOf(r *http.Request) (repository, action string) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		if before, _, found := strings.Cut(path, part); found {
			repository = before
			break
		}
	}
	if action = "pull"; r.Method != http.MethodGet && r.Method != http.MethodHead {
		action = "pull,push"
	}
	return repository, action
}

// allowed reads the claim access of a token: what it lists, for everything in it.
func allowed(access any, repository, actions string) bool {
	if repository == "" {
		return true
	}
	entries, _ := access.([]any)
	for _, entry := range entries {
		of, _ := entry.(map[string]any)
		granted, _ := of["actions"].([]any)
		has := func(action string) bool { return slices.Contains(granted, any(action)) }
		missing := slices.ContainsFunc(strings.Split(actions, ","), func(action string) bool { return !has(action) })
		if of["name"] == repository && !missing {
			return true
		}
	}
	return false
}
