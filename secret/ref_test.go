package secret_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pierhead.dev/pierhead/secret"
	"pierhead.dev/pierhead/secret/secrettest"
)

func TestParse(t *testing.T) {
	for text, want := range map[string][2]string{
		"file:registry": {"file", "registry"},
		"env:REGISTRY":  {"env", "REGISTRY"},
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:reg-AbCdEf": {"arn", "aws:secretsmanager:eu-west-1:123456789012:secret:reg-AbCdEf"},
		"https://acme.vault.azure.net/secrets/registry":                   {"https", "//acme.vault.azure.net/secrets/registry"},
		"k8s:pull-secret#.dockerconfigjson":                               {"k8s", "pull-secret#.dockerconfigjson"},
	} {
		ref, err := secret.Parse(text)
		if err != nil || ref.Scheme() != want[0] || ref.Name() != want[1] || ref.String() != text || ref.IsZero() {
			t.Errorf("%s: %v, %v", text, ref, err)
		}
	}
	for _, text := range []string{"", "file", "file:", ":x", "File:x", "1x:y", "-x:y", "file:a b", "file:a\nb", "file:ü", "file:\x00", "fi le:x",
		"https://user:hunter2@host/x", "https:///x", "https://", "file:" + strings.Repeat("x", secret.MaxRef), `{"username":"u","password":"hunter2"}`, "hunter2 hunter2"} {
		ref, err := secret.Parse(text)
		if !errors.Is(err, secret.ErrRef) || !ref.IsZero() {
			t.Errorf("%q: %v, %v", text, ref, err)
		} else if strings.Contains(err.Error()+secret.HintOf(err), "hunter2") {
			t.Errorf("the error repeats what may be a secret: %v", err)
		}
	}
}

func TestRefAsText(t *testing.T) {
	type holder struct{ Secret secret.Ref }
	for _, text := range []string{`{"Secret":"file:registry"}`, `{"Secret":""}`} {
		var h holder
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(h); err != nil || string(out) != text {
			t.Errorf("got %s, %v; want %s", out, err, text)
		}
	}
	if err := json.Unmarshal([]byte(`{"Secret":"nothing"}`), new(holder)); !errors.Is(err, secret.ErrRef) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"file:registry", "arn:aws:x", "https://h/x", "https://u@h", "a:b", ":", "a+b.c-d:~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := secret.Parse(text)
		if err != nil {
			return
		}
		again, err := secret.Parse(ref.String())
		if ref.String() != text || err != nil || again != ref || strings.ContainsAny(text, " \n\r\t") {
			t.Errorf("%q: %v, then %v, %v", text, ref, again, err)
		}
	})
}

func TestMux(t *testing.T) {
	var memory secrettest.Memory
	mux := secret.Mux{"memory": &memory, "other": nil}
	ref := memory.Put("a", []byte("x"))
	if v, err := mux.Get(t.Context(), ref); err != nil || string(v.Reveal()) != "x" {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"vault:x", "other:x"} {
		unknown, _ := secret.Parse(text)
		_, err := mux.Get(t.Context(), unknown)
		if !errors.Is(err, secret.ErrUnknownScheme) || !errors.Is(err, secret.ErrRef) || !strings.Contains(err.Error(), text) || secret.HintOf(err) != "the schemes configured here are memory" {
			t.Errorf("got %v (%s)", err, secret.HintOf(err))
		}
	}
	_, err := secret.Mux{}.Get(t.Context(), ref)
	if !errors.Is(err, secret.ErrUnknownScheme) || secret.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if _, err := mux.Get(t.Context(), secret.Ref{}); !errors.Is(err, secret.ErrRef) || errors.Is(err, secret.ErrUnknownScheme) {
		t.Errorf("got %v", err)
	}
}

func TestMemory(t *testing.T) {
	var memory secrettest.Memory
	absent, _ := secret.Parse("memory:absent")
	subject := secrettest.Subject{Source: &memory, Absent: absent, Put: func(_ *testing.T, content []byte) secret.Ref { return memory.Put("one", content) }}
	secrettest.Test(t, subject)
	t.Run("behind a Mux", func(t *testing.T) {
		subject.Source = secret.Mux{"memory": &memory}
		secrettest.Test(t, subject)
	})
}
