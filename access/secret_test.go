package access

import (
	"errors"
	"strings"
	"testing"

	"pierhead.dev/pierhead"
)

func TestMayName(t *testing.T) {
	bob := pierhead.Caller{Name: "bob"}
	allowed := []string{"vault:secret/team-a", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-a", "file:hub", "https://acme.vault.azure.net/secrets", "k8s"}
	for reference, may := range map[string]bool{
		"vault:secret/team-a":                                         true,
		"vault:secret/team-a/hub":                                     true,
		"vault:secret/team-a/hub#password":                            true,
		"vault:secret/team-a/hub?version=2":                           true,
		"vault:secret/team-ab":                                        false,
		"vault:secret/team-ab/hub":                                    false,
		"vault:secret":                                                false,
		"vault:secret/team-a/../prod/hub":                             false,
		"vault:secret/team-a/%2e%2e/prod":                             false,
		"vault:secret/team-a//prod":                                   false,
		"vault:secret/./team-a/hub":                                   false,
		"vault:secret/team-b#team-a":                                  false,
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-a": true,
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-a/hub-a1b2c3":   true,
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:team-a-other-a1b2c3": false,
		"arn:aws:secretsmanager:eu-west-1:999999999999:secret:team-a/hub":          false,
		"file:hub":                                    true,
		"file:hub2":                                   false,
		"https://acme.vault.azure.net/secrets/x":      true,
		"https://acme.vault.azure.net/keys/x":         false,
		"https://acme.vault.azure.net.evil/secrets/x": false,
		"k8s:anything":                                true,
		"env:HUB":                                     false,
	} {
		err := MayName(bob, reference, allowed, "acme", false)
		if may != (err == nil) || err != nil && !errors.Is(err, pierhead.ErrNotAllowed) {
			t.Errorf("%s: %v, want %v", reference, err, may)
		}
	}
}

func TestMayNameSaysWhatToAskFor(t *testing.T) {
	for reference, want := range map[string]string{
		"vault:secret/team-a/hub#password":       "an admin of the organization allows it: pier secret allow vault:secret/team-a --org acme",
		"file:hub":                               "an admin of the organization allows it: pier secret allow file:hub --org acme",
		"https://acme.vault.azure.net/secrets/x": "an admin of the organization allows it: pier secret allow https://acme.vault.azure.net/secrets --org acme",
	} {
		if got := pierhead.HintOf(MayName(pierhead.Caller{Name: "bob"}, reference, nil, "acme", false)); got != want {
			t.Errorf("%s: %q", reference, got)
		}
	}
	if got := pierhead.HintOf(MayName(pierhead.Caller{Name: "bob"}, "file:hub", nil, "bob", true)); !strings.Contains(got, "--person bob") {
		t.Errorf("got %q", got)
	}
}

func FuzzNameOfSecret(f *testing.F) {
	for _, s := range []string{"vault:a/b", "https://h/x", "arn:aws:x:y", "file:a", "a:..", "a://b//c"} {
		f.Add(s, "vault:a")
	}
	f.Fuzz(func(t *testing.T, reference, prefix string) {
		if MayName(pierhead.Caller{}, reference, []string{prefix}, "o", false) != nil {
			return
		}
		plain, _, _ := strings.Cut(reference, "#")
		plain, _, _ = strings.Cut(plain, "?")
		if strings.Contains(plain, "..") && strings.Contains(strings.NewReplacer(":", "/", "//", "/").Replace("/"+plain+"/"), "/../") {
			t.Errorf("%q passes under %q", reference, prefix)
		}
	})
}
