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
	{"V4KindsOfRegistries", testRegistryKinds},
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
		{"not at a host of type ecr", func(r *pierhead.Registry) { r.Type = pierhead.RegistryECR }},
		{"no registry type", func(r *pierhead.Registry) { r.Type = "elastic" }},
		{"docker-registry", func(r *pierhead.Registry) { r.Type = pierhead.RegistryHosted }},
		{"match", func(r *pierhead.Registry) { r.Match = nil }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/x", ""} }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/**/x"} }},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/x@sha256:abc"} }},
		{"in full", func(r *pierhead.Registry) { r.Match = []string{"*.example.com/*"} }},
		{"in full", func(r *pierhead.Registry) { r.Type, r.Match = pierhead.RegistryGeneric, []string{"*.azurecr.io/*"} }},
		{"not at a host", func(r *pierhead.Registry) {
			r.Type, r.Match = pierhead.RegistryACR, []string{"*.azurecr.io.evil.com/*"}
		}},
		{"match", func(r *pierhead.Registry) { r.Match = []string{"*.io/*"} }},
		{"twice", func(r *pierhead.Registry) { r.Match = []string{"gcr.io/x", "GCR.io:443/x"} }},
		{"200", func(r *pierhead.Registry) { r.Match = strings.Split(strings.Repeat("gcr.io/x ", 300), " ") }},
		{"when_refused", func(r *pierhead.Registry) { r.WhenRefused = "never" }},
		{"one of", func(r *pierhead.Registry) { r.Credential = pierhead.RegistryCredential{Secret: "file:x", Sealed: "y"} }},
		{"file:NAME", func(r *pierhead.Registry) { r.Credential.Secret = "memory:x" }},
		{"arn:aws:secretsmanager", func(r *pierhead.Registry) { r.Credential.Secret = "arn:aws:secretsmanager:x" }},
		{"vault.azure.net", func(r *pierhead.Registry) { r.Credential.Secret = "https://acme.vault.azure.net.evil.com/secrets/x" }},
		{"MOUNT/PATH", func(r *pierhead.Registry) { r.Credential.Secret = "vault:x" }},
		{"gcpsm:projects", func(r *pierhead.Registry) { r.Credential.Secret = "gcpsm:x" }},
		{"k8s:NAME", func(r *pierhead.Registry) { r.Credential.Secret = "k8s:other/name/space" }},
		{"no identity", func(r *pierhead.Registry) { r.Credential.Identity = "me" }},
		{"one of", func(r *pierhead.Registry) {
			r.Credential = pierhead.RegistryCredential{Secret: "file:x", Identity: pierhead.IdentityNode}
		}},
		{"no identity at a registry of type generic", func(r *pierhead.Registry) {
			r.Match, r.Credential.Identity = []string{"ghcr.io/acme/*"}, pierhead.IdentityNode
		}},
		{"of use for type ecr", func(r *pierhead.Registry) {
			r.Credential = pierhead.RegistryCredential{Secret: "file:x", AssumeRole: "arn:aws:iam::123456789012:role/puller"}
		}},
		{"of use for type gcp", func(r *pierhead.Registry) {
			r.Credential = pierhead.RegistryCredential{Secret: "file:x", Impersonate: "a@b.iam.gserviceaccount.com"}
		}},
		{"somebody must assume", func(r *pierhead.Registry) { ecr(r).AssumeRole = "arn:aws:iam::123456789012:role/puller" }},
		{"ARN of a role", func(r *pierhead.Registry) {
			*ecr(r) = pierhead.RegistryCredential{Identity: pierhead.IdentityNode, AssumeRole: "arn:aws:iam::123456789012:user/puller"}
		}},
		{"external_id is of use", func(r *pierhead.Registry) {
			*ecr(r) = pierhead.RegistryCredential{Identity: pierhead.IdentityNode, ExternalID: "x1"}
		}},
		{"another organization", func(r *pierhead.Registry) {
			*ecr(r) = pierhead.RegistryCredential{Identity: pierhead.IdentityNode, AssumeRole: "arn:aws:iam::123456789012:role/puller", ExternalID: "org_0000000000000000"}
		}},
		{"proxy", func(r *pierhead.Registry) { r.Proxy = "http://user:x@proxy:3128" }},
		{"proxy", func(r *pierhead.Registry) { r.Proxy = "socks5://proxy:1080" }},
		{"proxy", func(r *pierhead.Registry) { r.Proxy = "http://proxy:3128/path" }},
		{"not covered", func(r *pierhead.Registry) { r.Sample = "ghcr.io/acme/app:1" }},
		{"sample", func(r *pierhead.Registry) { r.Sample = "Not An Image" }},
		{"helper", func(r *pierhead.Registry) { r.Helper = "everything" }},
		{"for some projects only", func(r *pierhead.Registry) {
			r.Helper, r.Projects = pierhead.HelperWholeHost, pierhead.ProjectScope{Names: []string{"train"}}
		}},
		{"make repositories by themselves", func(r *pierhead.Registry) { r.CreateRepositories = true }},
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

// ecr makes r one of Amazon's and returns its credential.
func ecr(r *pierhead.Registry) *pierhead.RegistryCredential {
	r.Match = []string{"123456789012.dkr.ecr.eu-west-1.amazonaws.com/*"}
	return &r.Credential
}

// A24 V4: what is right is saved, and comes back as it was.
func testRegistryKinds(t *testing.T, w *world) {
	node := pierhead.RegistryCredential{Identity: pierhead.IdentityNode}
	role := pierhead.RegistryCredential{Identity: pierhead.IdentityNode, AssumeRole: "arn:aws-cn:iam::123456789012:role/path/puller", ExternalID: "acme-1"}
	for i, good := range []struct {
		want  pierhead.RegistryType
		given pierhead.Registry
	}{
		{pierhead.RegistryECR, pierhead.Registry{Match: []string{"*.dkr.ecr.*.amazonaws.com/*"}, Credential: node, CreateRepositories: true}},
		{pierhead.RegistryECR, pierhead.Registry{Match: []string{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/team/*"}, Credential: role, Sample: "team/app:1", Proxy: "http://proxy.example:3128/"}},
		{pierhead.RegistryECR, pierhead.Registry{Match: []string{"public.ecr.aws/acme/*"}, Credential: node}},
		{pierhead.RegistryGCP, pierhead.Registry{Match: []string{"gcr.io/my-project/*", "europe-docker.pkg.dev/my-project/*"},
			Credential: pierhead.RegistryCredential{Secret: "gcpsm:projects/p/secrets/s/versions/latest", Impersonate: "puller@my-project.iam.gserviceaccount.com"}}},
		{pierhead.RegistryACR, pierhead.Registry{Match: []string{"myregistry.azurecr.io/*"}, Credential: pierhead.RegistryCredential{Secret: "https://acme.vault.azure.net/secrets/registry"}}},
		{pierhead.RegistryDockerHub, pierhead.Registry{Match: []string{"docker.io/me/*"}, Credential: pierhead.RegistryCredential{Secret: "vault:secret/hub#token"}}},
		{pierhead.RegistryJFrog, pierhead.Registry{Match: []string{"example.jfrog.io/docker/*"}, Credential: pierhead.RegistryCredential{Secret: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:jfrog-a1b2c3"}}},
		{pierhead.RegistryJFrog, pierhead.Registry{Type: pierhead.RegistryJFrog, Match: []string{"artifactory.example.com/docker/*"}, Credential: pierhead.RegistryCredential{Secret: "k8s:jfrog/password"}}},
		{pierhead.RegistryGeneric, pierhead.Registry{Match: []string{"quay.io/acme/*"}, Credential: pierhead.RegistryCredential{Secret: "file:quay"}, Sample: "quay.io/acme/app:1"}},
		{pierhead.RegistryGeneric, pierhead.Registry{Type: pierhead.RegistryGeneric, Match: []string{"other.azurecr.io/*"}, Credential: pierhead.RegistryCredential{Secret: "file:acr"}}},
	} {
		r := good.given
		r.Name, r.Enabled, r.Projects = "kind-"+string(rune('a'+i)), true, pierhead.ProjectScope{All: true}
		made, err := w.CreateRegistry(w.ctx, w.alice, "acme", r)
		w.must(err)
		read, err := w.Registry(w.ctx, w.alice, "acme", r.Name)
		w.must(err)
		if made.Type != good.want || read.Type != good.want || read.Credential != r.Credential || read.CreateRepositories != r.CreateRepositories {
			t.Errorf("%v: saved as %+v", r.Match, read)
		}
		if r.Sample != "" && read.Sample != r.Match[0][:len(r.Match[0])-len("/team/*")]+"/team/app:1" && read.Sample != r.Sample || r.Proxy != "" && read.Proxy != "http://proxy.example:3128" {
			t.Errorf("%v: sample %q, proxy %q", r.Match, read.Sample, read.Proxy)
		}
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
