package acr

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/image"
	"pierhead.dev/pierhead/secret"
)

// The spellings of a service principal's parts: what `az ad sp create-for-rbac` prints (appId, password, tenant), what it
// printed with --json-auth (clientId, clientSecret, tenantId), the variables of Azure's libraries, and what people write.
var (
	tenantKeys = []string{"tenant", "tenant_id", "tenantId", "AZURE_TENANT_ID"}
	clientKeys = []string{"client_id", "clientId", "appId", "app_id", "AZURE_CLIENT_ID", "username"}
	secretKeys = []string{"client_secret", "clientSecret", "password", "AZURE_CLIENT_SECRET"}
	// idleKeys stand beside them in what Azure's command line prints, and say nothing here.
	idleKeys = []string{"displayName", "name", "subscriptionId", "resourceManagerEndpointUrl", "activeDirectoryGraphResourceId",
		"sqlManagementEndpointUrl", "galleryEndpointUrl", "managementEndpointUrl"}
)

// authorityKey is in the output with --json-auth, and tells which cloud the service principal is of.
const authorityKey = "activeDirectoryEndpointUrl"

const expected = `write {"tenant": "…", "client_id": "…", "client_secret": "…"}, which is what az ad sp create-for-rbac prints, or {"username": "…", "password": "…", "server": "…"} for a token or the admin user of the registry`

func content(text string) error {
	return &exchange.Error{Kind: exchange.ErrContent, Text: text, Hint: expected}
}

// parse reads a service principal out of a secret; nil when the secret is a plain login, by its form: a user name that looks
// like an application's id is one too, as long as no tenant says where it is from.
func parse(r exchange.Request) (*azure.ServicePrincipal, error) {
	if r.Secret.Empty() {
		return nil, content("there is no secret to make a login of")
	}
	fields, err := exchange.Fields(r.Secret)
	if err != nil {
		return nil, content(err.Error())
	}
	if isPrincipal(fields) {
		return read(r, fields)
	}
	return nil, plain(fields)
}

// isPrincipal tells by one key that no plain login has.
func isPrincipal(fields map[string]json.RawMessage) bool {
	own := slices.Concat(tenantKeys, clientKeys, secretKeys, []string{authorityKey})
	for _, key := range own {
		if _, ok := fields[key]; ok && key != "username" && key != "password" {
			return true
		}
	}
	return false
}

// plain says which forms there are where the secret is neither; a plain login's own faults are told by its reader.
func plain(fields map[string]json.RawMessage) error {
	for _, key := range []string{"auths", "username", "password"} {
		if _, ok := fields[key]; ok {
			return nil
		}
	}
	return content("the secret is neither a service principal nor a login")
}

// read takes the parts out of the secret: strictly, because what is guessed here is sent to somebody.
func read(r exchange.Request, fields map[string]json.RawMessage) (*azure.ServicePrincipal, error) {
	texts, err := textsOf(fields)
	if err != nil {
		return nil, err
	}
	var parts [3]string
	for i, part := range []struct {
		what string
		keys []string
	}{{"tenant", tenantKeys}, {"application's id", clientKeys}, {"client secret", secretKeys}} {
		if parts[i], err = one(texts, part.what, part.keys); err != nil {
			return nil, err
		}
	}
	if err := check(parts[0], parts[1], parts[2]); err != nil {
		return nil, err
	}
	if err := checkPlace(r, texts); err != nil {
		return nil, err
	}
	return &azure.ServicePrincipal{Tenant: parts[0], Client: parts[1], Secret: secret.NewValue([]byte(parts[2]))}, nil
}

// textsOf reads the members that say something.
func textsOf(fields map[string]json.RawMessage) (map[string]string, error) {
	known := slices.Concat(tenantKeys, clientKeys, secretKeys, idleKeys, []string{authorityKey, "server"})
	texts := map[string]string{}
	for key, field := range fields {
		if !slices.Contains(known, key) {
			return nil, content("the service principal in the secret has a key that is not known")
		}
		if slices.Contains(idleKeys, key) {
			continue
		}
		var text *string
		if err := json.Unmarshal(field, &text); err != nil || text == nil {
			return nil, content(key + " in the secret is not a text in quotes")
		}
		texts[key] = *text
	}
	return texts, nil
}

// one is the value of the one spelling that is there.
func one(texts map[string]string, what string, keys []string) (string, error) {
	value, found := "", ""
	for _, key := range keys {
		text, ok := texts[key]
		switch {
		case ok && found != "":
			return "", content("the " + what + " is in the secret twice, as " + found + " and as " + key)
		case ok:
			value, found = text, key
		}
	}
	if value == "" {
		return "", content("the service principal in the secret has no " + what + " (" + strings.Join(keys[:3], ", ") + ")")
	}
	return value, nil
}

var tenantShape = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func check(tenant, client, password string) error {
	switch {
	case !azure.IsID(tenant) && (!tenantShape.MatchString(tenant) || !strings.Contains(tenant, ".")):
		return content("the tenant in the secret is neither an id nor a domain like contoso.onmicrosoft.com")
	case !azure.IsID(client):
		return content("the application's id in the secret has not the form of one (appId, not the name and not the object's id)")
	case strings.HasSuffix(password, "\n"):
		return &exchange.Error{Kind: exchange.ErrContent, Text: "the client secret in the secret ends in a line break", Hint: "write the secret again without it: printf '%s' instead of echo"}
	case strings.ContainsFunc(password, unicode.IsControl):
		return content("the client secret in the secret has a control character in it")
	}
	return nil
}

// checkPlace checks what the secret says about where it is for: a server, and the cloud's token server.
func checkPlace(r exchange.Request, texts map[string]string) error {
	if text, ok := texts["server"]; ok {
		server, path, err := image.CanonicalServer(text)
		switch {
		case err != nil:
			return &exchange.Error{Kind: exchange.ErrContent, Text: "server in the secret is not a registry host", Hint: "write the host as it stands in image references, as in myregistry.azurecr.io"}
		case server != r.Host, path != "" && r.Repository != path && !strings.HasPrefix(r.Repository, path+"/"):
			return &exchange.Error{Kind: exchange.ErrHostMismatch, Text: "the secret is for " + strings.TrimSuffix(server+"/"+path, "/") + " and the image is at " + r.Host + ": nothing is sent there",
				Hint: `change "server" in the secret to ` + r.Host + ` if the login is for it, or the registry's match patterns if it is not`}
		}
	}
	text, ok := texts[authorityKey]
	tld, isACR := image.ACRCloud(r.Host)
	if !ok || !isACR {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return content(authorityKey + " in the secret is not an address")
	}
	if of, known := azure.CloudOfAuthority(u.Host); known && of != azure.Cloud(tld) {
		return &exchange.Error{Kind: exchange.ErrContent, Text: "the service principal in the secret is of " + of.String() + ", and " + r.Host + " is in " + azure.Cloud(tld).String(),
			Hint: "make a service principal in " + azure.Cloud(tld).String() + " (az cloud set, az login, az ad sp create-for-rbac)"}
	}
	return nil
}
