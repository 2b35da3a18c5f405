package main

import (
	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/exchange"
	"pierhead.dev/pierhead/exchange/acr"
	"pierhead.dev/pierhead/identity/azure"
)

// addAzure gives a node what it may be in Azure. Nobody is asked before an image or a secret there is wanted.
func addAzure(exchangers map[pierhead.RegistryType]exchange.Exchanger) {
	identity := azure.New(azure.Config{})
	exchangers[pierhead.RegistryACR] = acr.New(identity)
}
