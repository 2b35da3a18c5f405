package storetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"pierhead.dev/pierhead"
)

var registryInputTests = []test{
	{"BadRegistriesNameTheField", testRegistryInput},
	{"BadRegistriesDoNotEchoSecrets", testRegistryEcho},
}

// certificate is one in PEM form; key its private key.
var certificate, privateKey = makeCertificate()

func makeCertificate() (string, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}))
}

func testRegistryInput(t *testing.T, w *world) {
	for _, bad := range []struct {
		says   string
		change func(r *pierhead.Registry)
	}{
		{"name", func(r *pierhead.Registry) { r.Name = "Not-A-Name" }},
		{"id", func(r *pierhead.Registry) { r.ID = "reg_x" }},
		{"generic and hosted", func(r *pierhead.Registry) { r.Type = "ecr" }},
		{"docker-registry", func(r *pierhead.Registry) { r.Type = pierhead.RegistryHosted }},
		{"match", func(r *pierhead.Registry) { r.Match = nil }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/x", ""} }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/**/x"} }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/x@sha256:abc"} }},
		{"in full", func(r *pierhead.Registry) { r.Match = []string{"*.azurecr.io/*"} }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"*.io/*"} }},
		{"twice", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/x", "GCR.io:443/x"} }},
		{"200", func(r *pierhead.Registry) { r.Match = strings.Split(strings.Repeat("gcr.io/x ", 300), " ") }},
		{"when_refused", func(r *pierhead.Registry) { r.WhenRefused = "never" }},
		{"one of", func(r *pierhead.Registry) { r.Credential = pierhead.RegistryCredential{Secret: "file:x", Sealed: "y"} }},
		{"file:NAME", func(r *pierhead.Registry) { r.Credential.Secret = "arn:aws:secretsmanager:x" }},
		{"file:", func(r *pierhead.Registry) { r.Credential.Secret = "nothing" }},
		{"one word", func(r *pierhead.Registry) { r.Credential.Secret = "file:../../etc/shadow" }},
		{"one word", func(r *pierhead.Registry) { r.Credential.Secret = "file:.." }},
		{"ca", func(r *pierhead.Registry) { r.CA = "nonsense" }},
		{"ca", func(r *pierhead.Registry) { r.CA = certificate + "trailing" }},
		{"no key", func(r *pierhead.Registry) { r.CA = certificate + privateKey }},
		{"realms", func(r *pierhead.Registry) { r.Realms = []string{"*.example.com"} }},
		{"realms", func(r *pierhead.Registry) { r.Realms = []string{"not a host"} }},
		{"private_networks", func(r *pierhead.Registry) { r.PrivateNetworks = []string{"10.0.0.1"} }},
		{"10.0.0.0/8", func(r *pierhead.Registry) { r.PrivateNetworks = []string{"10.0.0.1/8"} }},
	} {
		r := registry("azure", "myregistry.azurecr.io/*")
		bad.change(&r)
		_, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
		w.wants(err, pierhead.ErrBadInput, bad.says)
	}
	registries, err := w.Registries(w.ctx, w.alice, "acme")
	w.must(err)
	if len(registries) != 1 {
		t.Errorf("a bad registry was saved: %+v", registries)
	}
}

// What was typed into the wrong field comes back in no message and is in no log.
func testRegistryEcho(t *testing.T, w *world) {
	const marker = "hunter2-marker"
	for _, change := range []func(r *pierhead.Registry){
		func(r *pierhead.Registry) { r.Credential.Secret = marker },
		func(r *pierhead.Registry) { r.Credential.Secret = "https://user:" + marker + "@vault/x" },
		func(r *pierhead.Registry) { r.Credential.Secret = "vault:" + marker },
		func(r *pierhead.Registry) { r.Credential.Secret = "file:a/" + marker },
		func(r *pierhead.Registry) { r.Credential.Sealed = marker },
		func(r *pierhead.Registry) { r.Credential.Sealed = "sealed:v1:0123456789abcdef:" + marker },
		func(r *pierhead.Registry) { r.Match = []string{"https://user:" + marker + "@gcr.io/x"} },
		func(r *pierhead.Registry) { r.Match = []string{"user:" + marker + "@gcr.io/x"} },
		func(r *pierhead.Registry) { r.CA = marker },
		func(r *pierhead.Registry) { r.Realms = []string{"user:" + marker + "@auth.example"} },
	} {
		r := registry("azure", "myregistry.azurecr.io/*")
		change(&r)
		_, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
		w.wants(err, pierhead.ErrBadInput)
		if text := err.Error() + pierhead.HintOf(err); strings.Contains(text, marker) {
			t.Errorf("the message repeats what was typed: %s", text)
		}
		if e := w.lastEntry(w.alice, "acme", "registry.create"); e.Outcome != "failed" || strings.Contains(e.Object+e.Detail["why"], marker) {
			t.Errorf("the log says %+v", e)
		}
	}
}
