package dialects

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kubelet "k8s.io/kubelet/config/v1"

	"pierhead.dev/pierhead/dialect"
)

// decode reads a CredentialProviderConfig as the kubelet does, which refuses fields that it does not know.
func decode(t *testing.T, text []byte) *kubelet.CredentialProviderConfig {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := kubelet.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return object.(*kubelet.CredentialProviderConfig)
}

// The kubelet asks the plugin for these images, keeps only what the plugin says, and hands on tokens where it was told to.
func TestCredentialProviderConfig(t *testing.T) {
	settings := dialect.Defaults()
	settings.Audience = "pierhead"
	e := export(t, dialect.Kubelet, settings)
	for name, test := range map[string]struct {
		found string
		want  []string
	}{
		"new": {"", []string{"pier-credential-provider"}},
		"yaml": {"apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n# theirs\n- name: ecr-credential-provider\n  matchImages:\n  - \"*.dkr.ecr.*.amazonaws.com\"\n  defaultCacheDuration: 12h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  env:\n  - name: A\n    value: b\n",
			[]string{"ecr-credential-provider", "pier-credential-provider"}},
		"json": {`{"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [{"name": "gcp", "matchImages": ["gcr.io"], "defaultCacheDuration": "1m", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "args": ["get"]}]}`,
			[]string{"gcp", "pier-credential-provider"}},
	} {
		m, err := dialect.MergeProviders([]byte(test.found), e, settings)
		if err != nil {
			t.Fatal(name, err)
		}
		config := decode(t, m.Text)
		var names []string
		for _, p := range config.Providers {
			names = append(names, p.Name)
		}
		if !slices.Equal(names, test.want) {
			t.Fatalf("%s: %v", name, names)
		}
		ours := config.Providers[len(config.Providers)-1]
		if words(ours.MatchImages) != lab+" docker.io gcr.io/my-project/ "+azure || ours.APIVersion != "credentialprovider.kubelet.k8s.io/v1" || ours.DefaultCacheDuration.Duration != 0 ||
			ours.TokenAttributes == nil || ours.TokenAttributes.ServiceAccountTokenAudience != "pierhead" || ours.TokenAttributes.CacheType != kubelet.TokenServiceAccountTokenCacheType || *ours.TokenAttributes.RequireServiceAccount {
			t.Errorf("%s: %+v", name, ours)
		}
		if theirs := config.Providers[0]; test.found != "" && (len(theirs.MatchImages) != 1 || theirs.DefaultCacheDuration.Duration == 0 || len(theirs.Env)+len(theirs.Args) != 1) {
			t.Errorf("%s: theirs is %+v", name, theirs)
		}
	}
}
