package azuretest

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Vault is a Key Vault.
type Vault struct {
	Host string

	cloud     *Cloud
	challenge string // the header, "" for the right one
	readers   map[*Application]bool
	blocked   bool
	secrets   map[string][]*Version // by name in lower case; the newest last
}

// A Version of a secret in a vault. Fields may be changed before the vault is asked.
type Version struct {
	ID        string
	Value     string
	Disabled  bool
	NotBefore time.Time // zero: none
	Expires   time.Time // zero: none
}

// Vault makes one under a name.
func (c *Cloud) Vault(name string) *Vault {
	v := &Vault{Host: name + "." + c.vault, cloud: c, readers: map[*Application]bool{}, secrets: map[string][]*Version{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vaults[v.Host] = v
	return v
}

// Put makes a new version of a secret.
func (v *Vault) Put(name, value string) *Version {
	if value != "" {
		v.cloud.keep(value)
	}
	version := &Version{ID: strings.ReplaceAll(NewID(), "-", ""), Value: value}
	v.cloud.mu.Lock()
	defer v.cloud.mu.Unlock()
	v.secrets[strings.ToLower(name)] = append(v.secrets[strings.ToLower(name)], version)
	return version
}

// Address is what the portal calls the secret identifier; of one version, or without one.
func (v *Vault) Address(name string, version *Version) string {
	address := "https://" + v.Host + "/secrets/" + name
	if version != nil {
		address += "/" + version.ID
	}
	return address
}

// Grant lets somebody read secrets: the role Key Vault Secrets User.
func (v *Vault) Grant(a *Application) {
	v.cloud.mu.Lock()
	defer v.cloud.mu.Unlock()
	v.readers[a] = true
}

// Block has the vault's firewall refuse the caller's address.
func (v *Vault) Block() {
	v.cloud.mu.Lock()
	defer v.cloud.mu.Unlock()
	v.blocked = true
}

// Challenge has the vault ask for a token in words of the test's own.
func (v *Vault) Challenge(header string) {
	v.cloud.mu.Lock()
	defer v.cloud.mu.Unlock()
	v.challenge = header
}

// ServeHTTP answers GET /secrets/NAME[/VERSION], with a challenge where there is no token.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, hasToken := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	operation := "vault.get"
	if !hasToken {
		operation = "vault.challenge"
	}
	if !v.cloud.begin(operation, w, r) {
		return
	}
	w.Header().Set("x-ms-request-id", NewID())
	w.Header().Set("x-ms-keyvault-service-version", "1.9.2580.1")
	app, err := v.cloud.bearer(token, "https://"+v.cloud.vault)
	if err != nil {
		v.refuseToken(w, hasToken, err)
		return
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method != http.MethodGet || len(path) < 2 || len(path) > 3 || path[0] != "secrets":
		fault(w, http.StatusNotFound, "NotFound", "", "There is nothing here.")
	case r.URL.Query().Get("api-version") == "":
		fault(w, http.StatusBadRequest, "BadParameter", "", "api-version must be specified")
	default:
		v.get(w, app, path[1], strings.Join(path[2:], ""))
	}
}

func (v *Vault) refuseToken(w http.ResponseWriter, hasToken bool, err error) {
	v.cloud.mu.Lock()
	challenge := v.challenge
	v.cloud.mu.Unlock()
	if challenge == "" {
		challenge = fmt.Sprintf("Bearer authorization=%q, resource=%q", "https://"+v.cloud.Authority+"/"+v.cloud.Tenant, "https://"+v.cloud.vault)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	if hasToken {
		fault(w, http.StatusUnauthorized, "Unauthorized", "", "AKV10022: Invalid audience or issuer: "+err.Error())
		return
	}
	fault(w, http.StatusUnauthorized, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.")
}

func (v *Vault) get(w http.ResponseWriter, app *Application, name, id string) {
	v.cloud.mu.Lock()
	blocked, reader, versions := v.blocked, v.readers[app], v.secrets[strings.ToLower(name)]
	v.cloud.mu.Unlock()
	var version *Version
	for _, candidate := range versions {
		if id == "" || candidate.ID == id {
			version = candidate
		}
	}
	switch {
	case blocked:
		fault(w, http.StatusForbidden, "Forbidden", "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.\r\nClient address: 192.0.2.1\r\nVault: "+v.Host)
	case !reader:
		fault(w, http.StatusForbidden, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\nAction: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\nCaller: appid="+app.Client+";oid="+app.Object)
	case version == nil:
		fault(w, http.StatusNotFound, "SecretNotFound", "", "A secret with (name/id) "+name+" was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command.")
	case version.Disabled:
		fault(w, http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
	default:
		v.tell(w, name, version)
	}
}

// tell gives the secret. One that has run out is given too, as the real service does: the dates are for its readers.
func (v *Vault) tell(w http.ResponseWriter, name string, version *Version) {
	attributes := map[string]any{"enabled": true, "created": 1700000000, "updated": 1700000000, "recoveryLevel": "Recoverable+Purgeable"}
	if !version.NotBefore.IsZero() {
		attributes["nbf"] = version.NotBefore.Unix()
	}
	if !version.Expires.IsZero() {
		attributes["exp"] = version.Expires.Unix()
	}
	answer(w, http.StatusOK, map[string]any{"value": version.Value, "id": v.Address(name, version), "attributes": attributes})
}

// fault is an error as Key Vault writes it.
func fault(w http.ResponseWriter, status int, code, inner, message string) {
	e := map[string]any{"code": code, "message": message}
	if inner != "" {
		e["innererror"] = map[string]any{"code": inner}
	}
	answer(w, status, map[string]any{"error": e})
}
