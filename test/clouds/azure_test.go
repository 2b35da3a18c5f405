package clouds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pierhead.dev/pierhead/identity/azuretest"
)

// azure puts a tenant of Azure's into a world, with a registry in front of the store.
func (w *world) azure(t *testing.T, cloud *azuretest.Cloud, name string) *azuretest.Registry {
	t.Helper()
	w.cloud(cloud.Handler, cloud.Secrets)
	return cloud.Registry(name, w.store.behind(name+".azurecr."+cloud.TLD))
}

// V4, A29: a managed identity of the node pulls, and nobody typed anything in but that it shall.
func TestAzureNode(t *testing.T) {
	w := newWorld(t)
	cloud := azuretest.New(t)
	registry := w.azure(t, cloud, "myregistry")
	w.in(cloud.Handler)
	node := cloud.AssignSystem()
	image := registry.Host + "/ml-training:v2.0"
	digest := w.store.put(t, image)
	h := w.house(t)
	h.refuses(t, 7, words("registry add azure-ml --match myregistry.azurecr.io/* --identity node --sample "+image), "myregistry.azurecr.io", "AcrPull", "az role assignment create")
	registry.Grant(node, azuretest.AcrPull)
	h.add(t, words("azure-ml --match myregistry.azurecr.io/* --identity node --sample "+image)...)
	h.runs(t, image, digest.String())
	h.explains(t, image, node.Object)
}

// V4: a service principal in the secret, a federated token of the node's, and a cloud of its own for one government; two
// registries with two principals in one house.
func TestAzurePrincipals(t *testing.T) {
	w := newWorld(t)
	cloud, government := azuretest.New(t), azuretest.NewIn(t, "us")
	cluster := cloud.Issuer("oidc.prod-aks.azure.com")
	token := filepath.Join(w.dir, "azure-token")
	workload := cloud.Application()
	const subject = "system:serviceaccount:pierhead:agent"
	workload.Federate(cluster.URL, subject, azuretest.Audience)
	must(t, os.WriteFile(token, []byte(cluster.Token(subject, azuretest.Audience, time.Hour)), 0o600))
	h := w.house(t, "AZURE_TENANT_ID="+cloud.Tenant, "AZURE_CLIENT_ID="+workload.Client, "AZURE_FEDERATED_TOKEN_FILE="+token, "AZURE_AUTHORITY_HOST=https://"+cloud.Authority+"/")

	registry := w.azure(t, cloud, "federated")
	image := registry.Host + "/ml/train:v1"
	digest := w.store.put(t, image)
	registry.Grant(workload, azuretest.AcrPull)
	h.runs(t, image, digest.String())
	h.explains(t, image, workload.Client, "with nothing configured")

	for name, of := range map[string]*azuretest.Cloud{"public": cloud, "government": government} {
		registry := w.azure(t, of, name)
		image := registry.Host + "/ml/train:v1"
		digest := w.store.put(t, image)
		principal := of.Application()
		content, err := json.Marshal(map[string]string{"appId": principal.Client, "displayName": "pier", "password": principal.Secret(time.Hour), "tenant": of.Tenant})
		must(t, err)
		registry.Grant(principal, azuretest.AcrPull)
		h.add(t, words(name+" --match "+registry.Host+"/* --secret "+h.lay(t, name, string(content))+" --sample "+image)...)
		h.runs(t, image, digest.String())
		h.explains(t, image, principal.Client)
	}
}
