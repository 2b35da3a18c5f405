package audit

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pierhead.dev/pierhead/internal/ids"
)

func TestCleanRemovesWhatLooksSecret(t *testing.T) {
	token := ids.NewToken("pat")
	for _, text := range []string{
		"used " + token, "half " + token[:len(token)-3], "Authorization: Bearer abcdefghijkl", "basic dXNlcjpwYXNz",
		"https://user:hunter2@registry.example/v2/",
	} {
		got := CleanText(text)
		if !strings.Contains(got, "(removed)") || strings.Contains(got, "hunter2") || strings.Contains(got, token[:20]) {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, text := range []string{"registry acme/azure-ml", "myregistry.azurecr.io/*", "sha256:abc@x", "a basic test", "https://acme.vault.azure.net/secrets/registry"} {
		if got := CleanText(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestCleanBounds(t *testing.T) {
	got := Clean(map[string]string{"a": strings.Repeat("é", 2000), "b": "x\n\x1b[31m", "c": ""})
	if len(got) != 2 || len(got["a"]) > maxText || !utf8.ValidString(got["a"]) || got["b"] != "x  [31m" {
		t.Errorf("got %q", got)
	}
	if Clean(nil) != nil {
		t.Error("Clean of nothing is not nothing")
	}
}

func FuzzCleanText(f *testing.F) {
	f.Add("pier_pat_0123456789abcdef_0123456")
	f.Add("Bearer \x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := CleanText(text)
		if len(got) > maxText || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x1b\x00") {
			t.Errorf("%q became %q", text, got)
		}
	})
}
