package main

import (
	"os"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/acr"
	"pierhead.dev/pierhead/exchange/ecr"
	"pierhead.dev/pierhead/exchange/gcp"
	"pierhead.dev/pierhead/identity/amazon"
	"pierhead.dev/pierhead/identity/azure"
	"pierhead.dev/pierhead/identity/google"
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/awssm"
	"pierhead.dev/pierhead/secret/azurekv"
	"pierhead.dev/pierhead/secret/gcpsm"
)

// cloudKeys are the files that the clouds' own variables name as this node's keys and tokens.
func cloudKeys() []string {
	var files []string
	for _, name := range []string{"AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS"} {
		if file := os.Getenv(name); file != "" {
			files = append(files, file)
		}
	}
	return files
}

// addAzure gives a node what it may be in Azure. Nobody is asked before an image or a secret there is wanted.
func addAzure(exchangers map[pierhead.RegistryType]exchange.Exchanger, secrets secret.Mux) {
	identity := azure.New(azure.Config{})
	exchangers[pierhead.RegistryACR] = acr.New(identity)
	secrets["https"] = azurekv.New(identity)
}

// addAmazon gives a node what it may be at Amazon, likewise. Its name is in the names of its sessions there.
func addAmazon(exchangers map[pierhead.RegistryType]exchange.Exchanger, secrets secret.Mux, node string) *amazon.Identity {
	identity := amazon.New(amazon.Config{Node: node})
	exchangers[pierhead.RegistryECR] = ecr.New(identity)
	secrets[awssm.Scheme] = awssm.New(identity)
	return identity
}

// addGoogle gives a node what it may be at Google, likewise. The tokens that a registry's secret may name lie in tokenDirs.
func addGoogle(exchangers map[pierhead.RegistryType]exchange.Exchanger, secrets secret.Mux, tokenDirs []string) {
	client := google.NewClient(nil)
	node := google.NewNode(client)
	exchangers[pierhead.RegistryGCP] = gcp.New(gcp.Config{Client: client, Node: node, TokenDirs: tokenDirs})
	secrets[gcpsm.Scheme] = gcpsm.New(node)
}
