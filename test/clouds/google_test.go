package clouds

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/googletest"
)

// google puts Google into a world, with the store behind its registries.
func (w *world) google() *googletest.Cloud {
	cloud := googletest.New()
	cloud.SetRegistry(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { w.store.behind(r.Host).ServeHTTP(out, r) }))
	w.cloud(cloud.Handler, cloud.Secrets)
	return cloud
}

const (
	artifacts = "europe-west1-docker.pkg.dev"
	nodeEmail = "nodes@acme-prod.iam.gserviceaccount.com"
)

// V8, A14: the service account of the machine pulls from Artifact Registry and from gcr.io with nothing configured, and a
// public image is pulled where it may do nothing.
func TestGoogleNode(t *testing.T) {
	w := newWorld(t)
	cloud := w.google()
	w.in(cloud.Handler)
	cloud.Machine(googletest.Machine{Email: nodeEmail})
	image, old, public := artifacts+"/acme-prod/ml/train:v1", "gcr.io/acme-prod/train:v1", artifacts+"/open/images/train:v1"
	digest, oldDigest, publicDigest := w.store.put(t, image), w.store.put(t, old), w.store.put(t, public)
	cloud.Grant(googletest.Everybody, googletest.Download, artifacts+"/open")
	h := w.house(t)
	h.fails(t, image, artifacts+" answered 403 DENIED", "artifactregistry.repositories.downloadArtifacts", "Hint: ")
	cloud.Grant(nodeEmail, googletest.Download, artifacts+"/acme-prod")
	cloud.Grant(nodeEmail, googletest.Download, "gcr.io/acme-prod")
	h.runs(t, image, digest.String())
	h.runs(t, old, oldDigest.String())
	h.explains(t, image, nodeEmail, "with nothing configured")
	cloud.Machine(googletest.Machine{}) // without a service account
	h.runs(t, public, publicDigest.String())
}

// V4, V8: keys of two service accounts, for two projects on one host; impersonation; workload identity federation.
func TestGoogleAccounts(t *testing.T) {
	w := newWorld(t)
	cloud := w.google()
	h := w.house(t)
	for _, project := range []string{"vision", "speech"} {
		account := cloud.Account("puller@" + project + ".iam.gserviceaccount.com")
		image := artifacts + "/" + project + "/ml/train:v1"
		digest := w.store.put(t, image)
		cloud.Grant(account.Email, googletest.Download, artifacts+"/"+project)
		h.add(t, words(project+" --match "+artifacts+"/"+project+"/* --secret "+h.lay(t, project, string(account.Key()))+" --sample "+image)...)
		h.runs(t, image, digest.String())
		h.explains(t, image, account.Email)
	}
	reader := cloud.Account("reader@shared.iam.gserviceaccount.com")
	shared := "eu.gcr.io/shared/train:v1"
	sharedDigest := w.store.put(t, shared)
	cloud.Grant(reader.Email, googletest.Download, "eu.gcr.io/shared")
	impersonate := words("registry add shared --match eu.gcr.io/shared/* --secret file:vision --sample " + shared + " --impersonate " + reader.Email)
	h.refuses(t, 7, impersonate, "iam.serviceAccounts.getAccessToken", reader.Email, "Hint: ")
	cloud.Grant("puller@vision.iam.gserviceaccount.com", googletest.GetAccessToken, reader.Email)
	h.refuses(t, 0, impersonate, "Proved by node local")
	h.runs(t, shared, sharedDigest.String())

	issuer := cloud.NewIssuer("https://token.actions.githubusercontent.com")
	audience := cloud.Provider(1234567, "ci", "github", issuer)
	subject := "principal://iam.googleapis.com/projects/1234567/locations/global/workloadIdentityPools/ci/subject/repo:acme/ml"
	federated := artifacts + "/federated/ml/train:v1"
	federatedDigest := w.store.put(t, federated)
	cloud.Grant(subject, googletest.Download, artifacts+"/federated")
	path := filepath.Join(h.tokens, "github")
	must(t, os.WriteFile(path, []byte(issuer.Sign("repo:acme/ml", "https:"+audience, time.Hour)), 0o600))
	file, err := json.Marshal(map[string]any{"type": "external_account", "audience": audience, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": "https://sts.googleapis.com/v1/token", "credential_source": map[string]string{"file": path}})
	must(t, err)
	h.add(t, words("federated --match "+artifacts+"/federated/* --secret "+h.lay(t, "federated", string(file))+" --sample "+federated)...)
	h.runs(t, federated, federatedDigest.String())
	h.explains(t, federated, "principalSet://iam.googleapis.com/projects/1234567/locations/global/workloadIdentityPools/ci/")
}
