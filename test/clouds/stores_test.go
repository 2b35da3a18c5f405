package clouds

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/amazontest"
	"pierhead.dev/pierhead/identity/azuretest"
	"pierhead.dev/pierhead/identity/googletest"
	"pierhead.dev/pierhead/secret/vaulttest"
)

// A2, A3, A11: a login by reference from every store that the node has an identity for, each for its own part of one
// registry; and a rotation in Secrets Manager, in the middle of which the registry still has the old login only.
func TestSecretStores(t *testing.T) {
	w := newWorld(t)
	const host = "registry.example.com"
	amazon, google, azure := w.amazon(), w.google(), azuretest.New(t)
	w.cloud(azure.Handler, azure.Secrets)
	w.in(amazon.Handler)
	role := amazon.Role("aws", ours, "nodes", amazontest.Trust{})
	amazon.SetInstance(&amazontest.Instance{Role: role})
	agent, principal := google.Account(nodeEmail), azure.Application()
	key := filepath.Join(w.dir, "google.json")
	must(t, os.WriteFile(key, agent.Key(), 0o600))

	passwords, logins := map[string]string{}, accounts{}
	content := func(store string) string {
		passwords[store] = w.keep(rand.Text())
		logins[account{store, passwords[store]}] = []string{store + "/"}
		return fmt.Sprintf(`{"username": %q, "password": %q, "server": %q}`, store, passwords[store], host)
	}
	stored := amazon.Secret("aws", region, ours, "registry/login")
	stored.Put([]byte(content("awssm")))
	role.Allow("secretsmanager:GetSecretValue", stored.ARN)
	google.PutSecret("projects/acme-prod/secrets/registry", []byte(content("gcpsm")))
	google.Grant(nodeEmail, googletest.AccessVersion, "projects/acme-prod/secrets/registry")
	vault := azure.Vault("acme")
	vault.Put("registry", content("azurekv"))
	vault.Grant(principal)
	house, err := vaulttest.New()
	must(t, err)
	w.cloud(func(host string) http.Handler {
		if host == "vault.example.com" {
			return house
		}
		return nil
	}, func() []string { // of a login it keeps the user name and the host as well
		return slices.DeleteFunc(house.Secrets(), func(text string) bool { return text == "vault" || text == host })
	})
	house.Enable("secret", 2)
	content("vault")
	house.Put("secret", "registry/login", map[string]any{"username": "vault", "password": passwords["vault"], "server": host})
	door := &basicDoor{realm: "example", behind: w.store.behind(host)}
	w.host(host, door)
	h := w.house(t, "PIER_SECRET_REGISTRY="+content("env"), "GOOGLE_APPLICATION_CREDENTIALS="+key,
		"VAULT_ADDR=https://vault.example.com", "VAULT_TOKEN="+house.Token(time.Hour, time.Hour, true, "secret/data/registry/login"),
		"AZURE_TENANT_ID="+azure.Tenant, "AZURE_CLIENT_ID="+principal.Client, "AZURE_CLIENT_SECRET="+principal.Secret(time.Hour))
	references := map[string]string{"awssm": stored.ARN, "gcpsm": "gcpsm:projects/acme-prod/secrets/registry", "azurekv": vault.Address("registry", nil),
		"env": "env:REGISTRY", "vault": "vault:secret/registry/login", "file": h.lay(t, "registry", content("file"))}
	door.let(logins)
	for store, reference := range references {
		image := host + "/" + store + "/train:v1"
		digest := w.store.put(t, image).String()
		h.add(t, store, "--match", host+"/"+store+"/*", "--secret", reference, "--sample", image)
		h.runs(t, image, digest)
	}
	// The secret is new, and the registry does not know it yet.
	stored.Put([]byte(fmt.Sprintf(`{"username": "awssm", "password": %q, "server": %q}`, w.keep(rand.Text()), host)))
	next := host + "/awssm/train:v2"
	digest := w.store.put(t, next).String()
	before := amazon.Count("secretsmanager:GetSecretValue")
	h.runs(t, next, digest, "--registry-login-secret", stored.ARN)
	if asked := amazon.Count("secretsmanager:GetSecretValue") - before; asked < 2 {
		t.Errorf("Secrets Manager was asked %d times; the pull needed the current login and the previous one", asked)
	}
	// A secret that the role may not read.
	hidden := amazon.Secret("aws", region, ours, "other")
	hidden.Put([]byte(content("hidden")))
	h.refuses(t, 7, []string{"registry", "add", "hidden", "--match", host + "/hidden/*", "--secret", hidden.ARN, "--sample", "hidden/train:v1"},
		"secretsmanager:GetSecretValue", "secretsmanager."+region+".amazonaws.com", "AccessDenied", "Hint: ")
}

// What a person sees of each fault at Amazon: the cause, the host, and whose turn it is.
func TestAmazonTroubles(t *testing.T) {
	w := newWorld(t)
	cloud := w.amazon()
	image, _, arn := w.ecr(t, cloud, ours, region, "ml/train")
	user := mayPull(cloud.User("aws", ours, "pier"), arn)
	h := w.office(t)
	const operation, api = "ecr:GetAuthorizationToken", "api.ecr.eu-west-1.amazonaws.com"
	host := ours + ".dkr.ecr." + region + ".amazonaws.com"
	for name, trouble := range map[string]struct {
		key   func(k *amazontest.Key) (id, secret string)
		cause func(undo bool)
		words []string
	}{
		"wrong-key":   {key: func(k *amazontest.Key) (string, string) { return k.ID, "x" + k.Secret[1:] }, words: []string{"InvalidSignatureException", "do not belong together"}},
		"deleted-key": {key: func(k *amazontest.Key) (string, string) { cloud.End(k); return k.ID, k.Secret }, words: []string{"security token"}},
		"no-permission": {cause: func(undo bool) {
			user.Deny()
			if undo {
				mayPull(user, arn)
			}
		}, words: []string{"not authorized to perform"}},
		"throttled": {cause: fault(cloud, operation, amazontest.Fault{Throttle: true}), words: []string{"hrottl"}},
		"garbled":   {cause: fault(cloud, operation, amazontest.Fault{Garble: true}), words: []string{}},
	} {
		k := cloud.AccessKey(user)
		id, secret := k.ID, k.Secret
		if trouble.key != nil {
			id, secret = trouble.key(k)
		}
		if trouble.cause != nil {
			trouble.cause(false)
		}
		content := fmt.Sprintf(`{"username": %q, "password": %q}`, id, secret)
		h.refuses(t, 7, words("registry add "+name+" --match "+host+"/* --when-refused fail --sample "+image+" --secret "+h.lay(t, name, content)), append(trouble.words, api, "Hint: ")...)
		if trouble.cause != nil {
			trouble.cause(true)
		}
	}
	unreachable(t, w, cloud, h, user)
}

// unreachable is a region whose service no name server knows, as in a network without a way out.
func unreachable(t *testing.T, w *world, cloud *amazontest.Cloud, h *house, user *amazontest.Principal) {
	t.Helper()
	image, _, _ := w.ecr(t, cloud, ours, "us-west-2", "ml/train")
	w.away("api.ecr.us-west-2.amazonaws.com")
	k := cloud.AccessKey(user)
	secret := h.lay(t, "far", fmt.Sprintf(`{"username": %q, "password": %q}`, k.ID, k.Secret))
	h.refuses(t, 7, words("registry add far --match "+ours+".dkr.ecr.us-west-2.amazonaws.com/* --when-refused fail --sample "+image+" --secret "+secret),
		"api.ecr.us-west-2.amazonaws.com", "the name does not resolve", "network admin", "DNS")
}

func fault(cloud *amazontest.Cloud, operation string, f amazontest.Fault) func(undo bool) {
	return func(undo bool) {
		if undo {
			f = amazontest.Fault{}
		}
		cloud.On(operation, f)
	}
}
