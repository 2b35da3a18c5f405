package main

import (
	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/k8s"
)

// addKubernetes gives a node the secrets of the namespace that it runs in. Outside of any cluster, a reference to one says
// so.
func addKubernetes(secrets secret.Mux) { secrets[k8s.Scheme] = k8s.New(k8s.Config{}) }
